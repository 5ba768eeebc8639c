"""Jobs that decide while they run: placed, with shares that their server asks for, and helpers that come and go."""

from __future__ import annotations

import pytest
from scheduler_cases import E1, E2, E3, NETWORK, Cluster

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import ApplyNetwork, DeployStage, Effect, PaceStage, StartStage
from edgeray.scheduler.ports import PortPool
from policies.model import Flow, FlowId, Job, JobId, Online, Task, TaskId, Workload
from policies.online.shares import LEAST_BPS, OnlinePlacement

JOB, SERVER = JobId("o"), TaskId("dispatch")
H2, H3 = TaskId("help-e2"), TaskId("help-e3")
UP2, UP3 = FlowId("help-e2->dispatch"), FlowId("help-e3->dispatch")
WIDE = {link: bps * 1e6 for link, bps in (("e1-e2", 10), ("e2-e3", 8))}


class Office(Cluster):
    """The line e1 - e2 - e3 with megabits, and a policy that decides on e1."""

    def __init__(self) -> None:
        super().__init__(NETWORK)
        self.policies["toof"] = OnlinePlacement("toof", "offload")  # type: ignore[assignment]
        for link, bps in WIDE.items():
            self.handle(ev.LinkChanged(at_s=0, link=link, capacity_bps=bps))  # type: ignore[arg-type]

    def offload(self) -> list[Effect]:
        where = {SERVER: E1, H2: E2, H3: E3}
        job = Job(
            id=JOB,
            tasks=tuple(Task(id=task, device=device) for task, device in where.items()),
            flows=tuple(
                Flow(producer=a, consumer=b) for h in (H2, H3) for a, b in ((h, SERVER), (SERVER, h))
            ),
            kind="offload",
            mode="offload",
            online=Online(server=SERVER, clients=(H2, H3)),
        )
        return self.handle(
            ev.JobSubmitted(
                at_s=1, job=JOB, workload=Workload(job=job), policy="toof", needs_profile=False, lease_s=None
            )
        )

    def ask(self, at_s: float = 5.0, **bps: float) -> list[Effect]:
        rates = {FlowId(f"{task.replace('_', '-')}->dispatch"): rate for task, rate in bps.items()}
        return self.handle(ev.SharesAsked(at_s=at_s, job=JOB, rates_bps=rates))

    def rules(self, effects: list[Effect], device: str) -> dict[str, tuple[float, float | None]]:
        *_, last = (e for e in effects if isinstance(e, ApplyNetwork) and e.device == device)
        return {rule.flow: (rule.rate_bps, rule.ceil_bps) for rule in last.rules}


@pytest.fixture
def office() -> Office:
    office = Office()
    office.offload()
    assert office.phase("o") == "running"
    return office


def test_every_device_has_its_task_and_knows_the_policy(office: Office) -> None:
    stages = {e.device: e.stage for e in office.effects if isinstance(e, DeployStage)}
    assert {device: stage.tasks for device, stage in stages.items()} == {E1: (SERVER,), E2: (H2,), E3: (H3,)}
    assert {stage.policy for stage in stages.values()} == {"toof"}
    assert {stage.mode for stage in stages.values()} == {"offload"}
    assert {device: stage.sinks for device, stage in stages.items()} == {E1: (SERVER,), E2: (), E3: ()}


def test_shares_that_are_asked_for_are_enforced_at_once(office: Office) -> None:
    effects = office.ask(help_e2=2e6, help_e3=1e6)
    assert office.rules(effects, E1)["o/help-e2->dispatch"] == (2e6, 2e6)
    assert office.rules(effects, E3)["o/help-e3->dispatch"] == (1e6, 1e6)
    paced = {e.device: e.rates_bps for e in effects if isinstance(e, PaceStage)}
    assert paced[E2][UP2] == 2e6, "what a sender without tc keeps to"
    assert E1 not in paced, "its own flows have what they had"


def test_more_than_a_link_has_is_scaled_down(office: Office) -> None:
    effects = office.ask(help_e2=9e6, help_e3=9e6)
    shares = office.rules(effects, E1)
    assert shares["o/help-e2->dispatch"][0] == shares["o/help-e3->dispatch"][0] == pytest.approx(4.5e6)


def test_the_same_shares_again_change_nothing(office: Office) -> None:
    office.ask(help_e2=2e6)
    assert office.ask(help_e2=2e6) == []


def test_shares_of_a_job_that_does_not_run_count_for_nothing(office: Office) -> None:
    nobody = ev.SharesAsked(at_s=5, job=JobId("x"), rates_bps={UP2: 1e6})
    assert office.handle(nobody) == []
    office.handle(ev.StopRequested(at_s=6, job=JOB, reason="stop"))
    assert office.phase("o") == "stopped"
    assert office.ask(at_s=7, help_e2=1e6) == []
    assert office.state._ports.free == PortPool().free


def test_a_lost_helper_is_done_without_and_taken_back(office: Office) -> None:
    office.handle(ev.DeviceLost(at_s=10, device=E3, reason="gone"))
    assert office.phase("o") == "running"
    assert "goes on without e3" in " ".join(getattr(e, "detail", "") for e in office.effects)
    effects = office.handle(ev.DeviceJoined(at_s=20, device=E3, address="ip-e3"))
    assert [e.device for e in effects if isinstance(e, DeployStage)] == [E3]
    assert [e.device for e in effects if isinstance(e, StartStage)] == [E3]


def test_it_goes_on_with_no_helper_at_all_and_ends_with_its_server(office: Office) -> None:
    for device in (E3, E2):
        office.handle(ev.DeviceLost(at_s=10, device=device, reason="gone"))
    assert office.phase("o") == "running"
    office.handle(ev.DeviceLost(at_s=11, device=E1, reason="gone"))
    assert office.phase("o") == "failed"


def test_shares_that_were_asked_for_hold_when_a_helper_comes_back(office: Office) -> None:
    office.ask(help_e3=3e5)
    office.handle(ev.DeviceLost(at_s=10, device=E3, reason="gone"))
    effects = office.handle(ev.DeviceJoined(at_s=20, device=E3, address="ip-e3"))
    assert office.rules(effects, E3)["o/help-e3->dispatch"] == (3e5, 3e5)


def test_a_share_of_next_to_nothing_leaves_room_for_talk(office: Office) -> None:
    assert office.rules(office.ask(help_e2=1.0), E1)["o/help-e2->dispatch"] == (LEAST_BPS, LEAST_BPS)
    assert UP3 in office.state.jobs[JOB].plan.rates_bps  # type: ignore[union-attr]
