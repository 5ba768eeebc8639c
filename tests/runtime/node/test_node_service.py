"""The node: how stages end and what it tells of that, what stage processes are told, and results that can be read."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError

from edgeray import actors
from edgeray.errors import BadInputError, FlowError, StageDied, StageError
from edgeray.network.manager import NetworkManager
from edgeray.network.types import DeviceNetwork
from edgeray.node import service as services
from edgeray.node.code import TaskCode
from edgeray.node.host import ProfileOrder, StageCounters, StageOrder
from edgeray.node.measure import SinkWindow
from edgeray.node.service import NodeService, StageEnd
from edgeray.results import write_value
from edgeray.scheduler.effects import StagePlan
from edgeray.telemetry.records import DeviceSample
from policies.model import DeviceId, FlowId, Job, JobId, Task, TaskId

DEADLINE_S = 10.0
JOB, E1 = JobId("j"), DeviceId("e1")
A = TaskId("a")
COUNTERS = StageCounters(at_s=1.0, pid=2, cpu_s=3.0, memory_bytes=4, tasks={}, flows={})


@dataclass
class FakeStage:
    """A stage process: ends with outcome once it is let to, or stopped."""

    outcome: Exception | None = None
    setup: Exception | None = None
    orders: list[StageOrder | ProfileOrder] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    killed: bool = False

    def prepare(self, order: StageOrder) -> int:
        self.orders.append(order)
        if self.setup is not None:
            raise self.setup
        return 1

    def start(self) -> None: ...

    def wait(self) -> None:
        assert self.over.wait(DEADLINE_S)
        if self.outcome is not None:
            raise self.outcome

    def stop(self) -> None:
        self.over.set()

    def start_transfer(self, flow: FlowId) -> None: ...
    def pace(self, granted_per_s: float | None, rates_bps: Mapping[FlowId, float]) -> None: ...

    def counters(self) -> StageCounters:
        if isinstance(self.outcome, StageDied):
            raise self.outcome
        return COUNTERS

    def sink_windows(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]:
        return {}

    def profile(self, order: ProfileOrder) -> dict[TaskId, Any]:
        self.orders.append(order)
        if self.setup is not None:
            raise self.setup
        return {}

    def kill(self) -> None:
        self.killed = True


class FakeReports:
    """The scheduler: keeps what it is told."""

    def __init__(self) -> None:
        self.ends: list[tuple[JobId, DeviceId, StageEnd]] = []
        self.told = threading.Event()

    def stage_ended(self, job: JobId, device: DeviceId, end: StageEnd) -> None:
        self.ends.append((job, device, end))
        self.told.set()

    def telemetry(self, sample: DeviceSample) -> None: ...


class Node:
    """A node service whose stages are the one given."""

    def __init__(self, folder: Path, stage: FakeStage) -> None:
        self.stage = stage
        self.reports = FakeReports()
        network = DeviceNetwork(device=E1, address="10.0.0.1", ports=())
        self.service = NodeService(
            E1,
            address="10.0.0.1",
            cpus=0.5,
            memory_bytes=6e8,
            output_root=folder,
            network=NetworkManager(network, None, reason="a test"),
            launch=lambda job, package: stage,
            reports=self.reports,
        )

    def deploy(self) -> None:
        plan = StagePlan(
            job=JOB,
            device=E1,
            tasks=(A,),
            inputs={A: ()},
            inflows=(),
            outflows=(),
            sinks=(),
            depth_items=1,
            granted_per_s=None,
            mode="loop",
        )
        order = StageOrder(
            plan=plan,
            code={A: TaskCode(run="m:f")},
            security={},
            address="10.0.0.1",
            output_dir="",
            working_dir=None,
            self_paced=False,
        )
        self.service.deploy(order, None)

    def run(self) -> StageEnd:
        """Deploy and start the stage, let it end, and give what the scheduler is told."""
        self.deploy()
        self.service.start_stage(JOB)
        self.stage.over.set()
        assert self.reports.told.wait(DEADLINE_S)
        ((job, device, end),) = self.reports.ends
        assert (job, device) == (JOB, E1)
        assert self.stage.killed
        return end


def test_a_stage_is_told_what_its_device_is(tmp_path: Path) -> None:
    node = Node(tmp_path, FakeStage())
    node.deploy()
    (order,) = node.stage.orders
    assert isinstance(order, StageOrder)
    assert (order.cpus, order.self_paced, order.output_dir) == (0.5, True, str(tmp_path / "j"))
    job = Job(id=JOB, tasks=(Task(id=A),), flows=())
    assert node.service.profile(job, {}, None) == {}
    profile = node.stage.orders[-1]
    assert isinstance(profile, ProfileOrder)
    assert (profile.cpus, profile.memory_bytes) == (0.5, 6e8)


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (None, StageEnd(error=None, peer_lost=False, final=COUNTERS)),
        (StageError("task a raised"), StageEnd(error="task a raised", peer_lost=False, final=COUNTERS)),
        (FlowError("went away"), StageEnd(error="went away", peer_lost=True, final=COUNTERS)),
        (StageDied("killed"), StageEnd(error="killed", peer_lost=False, final=None, died=True)),
    ],
    ids=["well", "raised", "lost its peer", "died"],
)
def test_how_a_stage_ended_is_told(tmp_path: Path, outcome: Exception | None, end: StageEnd) -> None:
    assert Node(tmp_path, FakeStage(outcome=outcome)).run() == end


def test_a_process_killed_for_memory_died_and_says_what_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = iter((0, 0, 1))
    monkeypatch.setattr(services, "memory_kills", lambda: next(kills))
    end = Node(tmp_path, FakeStage(outcome=StageDied("killed"))).run()
    assert end.died
    assert end.error is not None
    assert "the memory limit of e1 was reached" in end.error


@pytest.mark.parametrize("kind", [StageError, StageDied])
def test_a_stage_that_cannot_be_deployed_is_killed(tmp_path: Path, kind: type[StageError]) -> None:
    node = Node(tmp_path, FakeStage(setup=kind("no")))
    with pytest.raises(StageError, match=r"^no$") as caught:
        node.deploy()
    assert type(caught.value) is kind
    assert node.stage.killed
    assert node.service.stop_stage(JOB) == StageEnd(error=None, peer_lost=False, final=None)


@pytest.mark.parametrize("died", [False, True])
def test_a_stage_is_stopped_once(tmp_path: Path, died: bool) -> None:
    node = Node(tmp_path, FakeStage(outcome=StageDied("gone") if died else None))
    node.deploy()
    end = node.service.stop_stage(JOB)
    assert (end.error, end.died) == (("gone", True) if died else (None, False))
    assert node.stage.killed
    assert node.service.stop_stage(JOB).error is None


def test_results_can_be_read_while_the_job_runs(tmp_path: Path) -> None:
    """As a file grows its reader goes on where it was; nothing else of the device can be read."""
    node = Node(tmp_path, FakeStage())
    node.deploy()
    results = tmp_path / "j" / "results"
    results.mkdir(parents=True)
    (tmp_path / "j" / "secret").write_text("no")
    with pytest.raises(BadInputError, match=r"no result named 'rounds\.jsonl'"):
        node.service.read_output(JOB, "rounds.jsonl", 0, 100)
    with (results / "rounds.jsonl").open("w") as growing:
        read = b""
        for number in range(3):
            growing.write(f'{{"round": {number}}}\n')
            growing.flush()
            read += node.service.read_output(JOB, "rounds.jsonl", len(read), 100)
            assert read.count(b"\n") == number + 1
    for name in ("../secret", "/etc/hostname", "."):
        with pytest.raises(BadInputError, match="no result named"):
            node.service.read_output(JOB, name, 0, 100)
    assert node.service.outputs(JOB) == ()
    write_value(results, A, results / "rounds.jsonl")
    (output,) = node.service.outputs(JOB)
    assert node.service.read_output(JOB, output.file, 0, 10_000) == read


class _Dead:
    """An actor whose process is gone: a call fails when its result is fetched."""

    def __getattr__(self, name: str) -> _Dead:
        return self

    def remote(self, *args: Any, **kwargs: Any) -> None:
        return None


def test_a_call_of_a_killed_process_says_that_it_died(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(reference: Any, timeout: float | None = None) -> Any:
        raise RayActorError

    monkeypatch.setattr(actors.ray, "get", get)
    with pytest.raises(StageDied, match="the stage of j on e1 died"):
        actors._RemoteStage(_Dead(), "the stage of j on e1").wait()  # type: ignore[arg-type]
