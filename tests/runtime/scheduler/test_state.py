"""handle(event) == [effects], and what must hold after any sequence of events."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import (
    ApplyNetwork,
    DeployStage,
    JobChanged,
    PaceStage,
    ProfileJob,
    StartStage,
    StopStage,
)
from edgeray.scheduler.jobs import Phase
from edgeray.scheduler.state import SchedulerState
from policies.model import (
    Decision,
    Device,
    DeviceId,
    Flow,
    Infeasible,
    Job,
    JobId,
    Link,
    Network,
    Plan,
    Profile,
    Snapshot,
    Task,
    TaskId,
    Workload,
)

E1, E2 = DeviceId("e1"), DeviceId("e2")
A, B = TaskId("a"), TaskId("b")
LINK = Link(ends=(E1, E2), capacity_bps=10e6)
NETWORK = Network(
    devices={d: Device(id=d, type="pi", memory_bytes=100, speed_flop_per_s=1) for d in (E1, E2)},
    links={LINK.id: LINK},
)


class Across:
    """Puts a on e1 and b on e2; all flows share the link equally. Refuses when memory is short."""

    name = "across"

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        here = [r.workload for r in snapshot.running] + list(arrivals)
        if len(snapshot.network.devices) < 2:
            return Decision(
                infeasible={w.job.id: Infeasible(job=w.job.id, reasons=("e2 is away",)) for w in arrivals}
            )
        rate = LINK.capacity_bps / max(1, len(here))
        return Decision(plans={w.job.id: self._plan(w.job, rate) for w in here})

    def _plan(self, job: Job, rate: float) -> Plan:
        flow = job.flows[0].id
        return Plan(
            job=job.id,
            policy=self.name,
            placement={A: E1, B: E2},
            routes={flow: (E1, E2)},
            rates_bps={flow: rate},
            throughput_per_s=1.0,
            bottleneck="link e1-e2",
        )


class Broken:
    name = "broken"

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        raise ZeroDivisionError


def workload(name: str) -> Workload:
    job = Job(
        id=JobId(name),
        tasks=(Task(id=A, device=E1, work_flop=1), Task(id=B, work_flop=1)),
        flows=(Flow(producer=A, consumer=B, size_bytes=1000),),
    )
    return Workload(job=job)


def new_state(joined: bool = True) -> SchedulerState:
    state = SchedulerState(NETWORK, lambda name: {"across": Across(), "broken": Broken()}[name])
    if joined:
        state.handle(ev.DeviceJoined(at_s=0, device=E1, address="10.0.0.1"))
        state.handle(ev.DeviceJoined(at_s=0, device=E2, address="10.0.0.2"))
        for device in (E1, E2):
            state.handle(ev.NetworkApplied(at_s=0, device=device, version=1))
    return state


def submit(state: SchedulerState, name: str = "j", at_s: float = 1, **kwargs: object) -> list[object]:
    options: dict[str, object] = {"policy": "across", "needs_profile": False, "lease_s": None, **kwargs}
    return list(
        state.handle(ev.JobSubmitted(at_s=at_s, job=JobId(name), workload=workload(name), **options))  # type: ignore[arg-type]
    )


def run_to_running(state: SchedulerState, name: str = "j") -> None:
    for effect in submit(state, name):
        if isinstance(effect, ApplyNetwork):
            state.handle(ev.NetworkApplied(at_s=2, device=effect.device, version=effect.version))
    for device in (E1, E2):
        state.handle(ev.StageDeployed(at_s=2, job=JobId(name), device=device))
    assert state.jobs[JobId(name)].phase is Phase.RUNNING


def test_a_job_is_placed_deployed_shaped_and_only_then_started() -> None:
    state = new_state()
    effects = submit(state)
    applied = [e for e in effects if isinstance(e, ApplyNetwork)]
    deployed = [e for e in effects if isinstance(e, DeployStage)]
    assert [e.device for e in applied] == [E1, E2]
    assert [e.rules[0].rate_bps for e in applied] == [10e6, 10e6]
    assert [(e.device, e.stage.tasks) for e in deployed] == [(E1, (A,)), (E2, (B,))]
    port = deployed[0].stage.outflows[0].port
    assert deployed[1].stage.inflows[0].port == port == applied[0].rules[0].port
    assert deployed[0].stage.outflows[0].address == "10.0.0.2"
    job = JobId("j")
    assert state.handle(ev.StageDeployed(at_s=2, job=job, device=E1)) == []
    assert state.handle(ev.StageDeployed(at_s=2, job=job, device=E2)) == []
    assert state.handle(ev.NetworkApplied(at_s=3, device=E1, version=applied[0].version)) == []
    started = state.handle(ev.NetworkApplied(at_s=3, device=E2, version=applied[1].version))
    assert [type(e) for e in started] == [JobChanged, StartStage, StartStage]


def test_an_older_version_of_the_network_does_not_start_a_job() -> None:
    state = new_state()
    submit(state)
    for device in (E1, E2):
        state.handle(ev.StageDeployed(at_s=2, job=JobId("j"), device=device))
        assert state.handle(ev.NetworkApplied(at_s=2, device=device, version=1)) == []
    assert state.jobs[JobId("j")].phase is Phase.DEPLOYING


def test_running_flows_are_readjusted_without_being_stopped() -> None:
    state = new_state()
    run_to_running(state)
    effects = submit(state, "k", at_s=5)
    rates = {rule.flow: rule.rate_bps for e in effects if isinstance(e, ApplyNetwork) for rule in e.rules}
    assert rates == {"j/a->b": 5e6, "k/a->b": 5e6}
    assert [(e.device, e.job) for e in effects if isinstance(e, PaceStage)] == [(E1, "j")], "e2 sends nothing"
    assert not [e for e in effects if isinstance(e, StopStage)]


def test_what_a_finished_job_held_goes_to_the_others() -> None:
    state = new_state()
    run_to_running(state, "j")
    run_to_running(state, "k")
    state.handle(ev.StageEnded(at_s=9, job=JobId("k"), device=E1, error=None))
    effects = state.handle(ev.StageEnded(at_s=9, job=JobId("k"), device=E2, error=None))
    assert state.jobs[JobId("k")].phase is Phase.DONE
    last = {e.device: e.rules for e in effects if isinstance(e, ApplyNetwork)}
    assert {d: [r.rate_bps for r in rules] for d, rules in last.items()} == {E1: [10e6], E2: [10e6]}


def test_a_broken_stage_fails_the_job_by_name_and_stops_the_rest() -> None:
    state = new_state()
    run_to_running(state)
    effects = state.handle(ev.StageEnded(at_s=5, job=JobId("j"), device=E2, error="task b raised"))
    assert [e.device for e in effects if isinstance(e, StopStage)] == [E1]
    effects = state.handle(ev.StageEnded(at_s=6, job=JobId("j"), device=E1, error="the flow broke"))
    record = state.jobs[JobId("j")]
    assert record.phase is Phase.FAILED
    assert record.detail == "device e2: task b raised"
    assert all(not e.rules for e in effects if isinstance(e, ApplyNetwork))


def test_why_a_peer_went_away_replaces_that_it_did() -> None:
    """The flow breaks in milliseconds; that its other end was killed is known a little later."""
    state = new_state()
    run_to_running(state)
    job = JobId("j")
    state.handle(ev.StageEnded(at_s=5, job=job, device=E2, error="flow a->b from e1 broke", peer_lost=True))
    state.handle(ev.StageEnded(at_s=6, job=job, device=E1, error="the stage died"))
    assert state.jobs[job].detail == "device e1: the stage died"
    assert state.jobs[job].phase is Phase.FAILED


def test_a_lost_device_fails_its_jobs_and_is_not_waited_for() -> None:
    state = new_state()
    run_to_running(state)
    effects = state.handle(ev.DeviceLost(at_s=5, device=E2, reason="silent"))
    assert [e.device for e in effects if isinstance(e, StopStage)] == [E1]
    state.handle(ev.StageEnded(at_s=6, job=JobId("j"), device=E1, error=None))
    record = state.jobs[JobId("j")]
    assert record.phase is Phase.FAILED
    assert "e2 was lost" in record.detail


def test_a_job_waits_for_a_device_that_is_away_and_is_placed_when_it_comes() -> None:
    state = new_state(joined=False)
    state.handle(ev.DeviceJoined(at_s=0, device=E1, address="10.0.0.1"))
    submit(state)
    assert state.jobs[JobId("j")].reasons == ("e2 is away",)
    effects = state.handle(ev.DeviceJoined(at_s=4, device=E2, address="10.0.0.2"))
    assert [e.device for e in effects if isinstance(e, DeployStage)] == [E1, E2]


def test_profiling_comes_first_and_its_failure_ends_the_job() -> None:
    state = new_state()
    assert ProfileJob(job=JobId("j")) in submit(state, needs_profile=True)
    profile = Profile(seconds={}, output_bytes={}, peak_memory_bytes={})
    effects = state.handle(ev.JobProfiled(at_s=3, job=JobId("j"), profile=profile))
    assert any(isinstance(e, DeployStage) for e in effects)
    submit(state, "k", needs_profile=True)
    state.handle(ev.ProfileFailed(at_s=3, job=JobId("k"), reason="no camera"))
    assert state.jobs[JobId("k")].detail == "profiling failed: no camera"


def test_a_lease_that_is_not_renewed_ends_the_job() -> None:
    state = new_state()
    submit(state, lease_s=30)
    state.handle(ev.LeaseRenewed(at_s=20, job=JobId("j")))
    assert state.handle(ev.Ticked(at_s=49)) == []
    assert [type(e) for e in state.handle(ev.Ticked(at_s=51))] == [JobChanged, StopStage, StopStage]


def test_a_refused_network_ends_the_job_that_waits_for_it() -> None:
    state = new_state()
    effects = submit(state)
    version = next(e.version for e in effects if isinstance(e, ApplyNetwork))
    state.handle(ev.NetworkRefused(at_s=2, device=E1, version=version, reason="no HTB"))
    assert state.jobs[JobId("j")].detail == "device e1 cannot enforce its flows: no HTB"


def test_a_policy_that_raises_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        submit(new_state(), policy="broken")


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["submit", "deployed", "applied", "ended", "failed", "stop", "lost", "joined", "tick", "refused"]
        ),
        st.sampled_from(["j", "k", "l"]),
        st.sampled_from([E1, E2]),
        st.integers(1, 12),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_any_order_of_events_leaves_a_sound_state(steps: list[tuple[str, str, DeviceId, int]]) -> None:
    """Loss, duplicates and reordering: ports are unique, ended jobs hold nothing, effects name joined devices."""
    state = new_state()
    for at, (kind, name, device, number) in enumerate(steps):
        at_s, job = float(at), JobId(name)
        event: ev.Event
        match kind:
            case "submit":
                event = ev.JobSubmitted(
                    at_s=at_s,
                    job=job,
                    workload=workload(name),
                    policy="across",
                    needs_profile=False,
                    lease_s=5,
                )
            case "deployed":
                event = ev.StageDeployed(at_s=at_s, job=job, device=device)
            case "applied":
                event = ev.NetworkApplied(at_s=at_s, device=device, version=number)
            case "ended" | "failed":
                error = None if kind == "ended" else "broke"
                event = ev.StageEnded(at_s=at_s, job=job, device=device, error=error)
            case "stop":
                event = ev.StopRequested(at_s=at_s, job=job, reason="stop")
            case "lost":
                event = ev.DeviceLost(at_s=at_s, device=device, reason="gone")
            case "joined":
                event = ev.DeviceJoined(at_s=at_s, device=device, address=f"10.0.0.{number}")
            case "refused":
                event = ev.NetworkRefused(at_s=at_s, device=device, version=number, reason="no")
            case _:
                event = ev.Ticked(at_s=at_s)
        effects = state.handle(event)
        for effect in effects:
            if isinstance(effect, ApplyNetwork):
                assert effect.device in state.devices
        ports = [port for record in state.jobs.values() for port in record.ports.values()]
        assert len(ports) == len(set(ports))
        for record in state.jobs.values():
            if record.phase.ended:
                assert not record.stages
                assert not record.ports
            if record.phase is Phase.STOPPING:
                assert record.stages
    for record in tuple(state.jobs.values()):
        state.handle(ev.StopRequested(at_s=999, job=record.id, reason="end"))
        for device in tuple(record.stages):
            state.handle(ev.StageEnded(at_s=999, job=record.id, device=device, error=None))
        assert record.phase.ended
