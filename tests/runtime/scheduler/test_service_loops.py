"""The scheduler's shell with nodes that are fakes: a loop is profiled, deployed, told of, started again, fetched."""

from __future__ import annotations

import queue
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from scheduler_cases import DEVICES, E1, E2, E3, NETWORK, TRAINING, A, B, C, Rote, until, workload

from edgeray.errors import BadInputError, ClusterError, StageDied, StageError
from edgeray.node.code import AppPackage, TaskCode
from edgeray.node.host import StageCounters
from edgeray.node.service import StageEnd
from edgeray.profiler import ProfileStore
from edgeray.profiler.cuts import CutMeasurements
from edgeray.results import Output
from edgeray.scheduler.journal import Journal
from edgeray.scheduler.progress import Progress
from edgeray.scheduler.service import SchedulerService
from edgeray.scheduler.views import JobView
from edgeray.telemetry.records import DeviceSample, StageSample, TaskSample
from policies.model import DeviceId, JobId, TaskId

CUTS = CutMeasurements(
    names=("one", "all"),
    layers=(1, 2),
    up_bytes=(8.0, 0.0),
    down_bytes=(8.0, 0.0),
    weights_bytes=(4.0, 9.0),
    forward_s=(0.1, 0.2),
    backward_s=(0.1, 0.2),
    server_s=(0.1, 0.0),
    memory_bytes=(10.0, 20.0),
    piece_s=(0.0, 0.0),
    server_piece_s=(0.0, 0.0),
    send_s_per_byte=0.0,
    steps=1,
)
MODEL = Output(task="a", kind="file", file="model.pt", size_bytes=3)


class FakeNode:
    """Does what it is told, and tells it. failures: what the next orders raise, by name."""

    def __init__(self, device: DeviceId) -> None:
        self.device = device
        self.told: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.failures: dict[str, list[Exception]] = {}

    def next(self, name: str) -> Any:
        """What the next order was given, which must have this name."""
        found, what = self.told.get(timeout=10)
        assert found == name, f"{self.device} was told to {found}, not to {name}"
        return what

    def _tell(self, name: str, what: Any) -> None:
        self.told.put((name, what))
        if self.failures.get(name):
            raise self.failures[name].pop()

    def apply_network(self, rules: Any) -> None: ...

    def deploy(self, order: Any, package: Any) -> None:
        self._tell("deploy", order)

    def start_stage(self, job: JobId) -> None:
        self._tell("start", job)

    def stop_stage(self, job: JobId) -> StageEnd:
        self._tell("stop", job)
        return StageEnd(error=None, peer_lost=False, final=None)

    def profile(self, job: Any, code: Any, package: Any) -> CutMeasurements:
        return CUTS

    def logs(self, job: JobId) -> str:
        return ""

    def results(self, job: JobId) -> dict[str, Any]:
        return {}

    def outputs(self, job: JobId) -> tuple[Output, ...]:
        return (MODEL,) if self.device == E1 else ()

    def read_output(self, job: JobId, file: str, offset: int, size: int) -> bytes:
        if self.device != E1:
            raise BadInputError(f"the job has no result named {file!r}")
        return b'{"number": 1}\n'[offset : offset + size]


class NoLearner:
    """Of jobs that do not decide while they run it is never asked."""

    def views(self, jobs: Collection[JobId]) -> dict[JobId, dict[str, Any]]:
        raise AssertionError("asked")

    def forget(self, job: JobId) -> bool:
        raise AssertionError("asked")


class Bench:
    """A service with fake nodes, and a loop that runs there."""

    def __init__(self, folder: Path) -> None:
        self.service = SchedulerService(
            NETWORK,
            policy_named={"rote-loop": Rote("rote-loop")}.__getitem__,
            profiles=ProfileStore(folder / "profiles"),
            journal=Journal(folder / "jobs.jsonl"),
            learner=NoLearner(),
        )
        self.nodes = {device: FakeNode(device) for device in DEVICES}
        for device, node in self.nodes.items():
            self.service.node_joined(device, f"ip-{device}", node)  # type: ignore[arg-type]
        package = AppPackage(
            app="train",
            job=workload("l", "loop").job,
            code={task: TaskCode(run="nowhere:at_all") for task in (A, B, C)},
            working_dir=None,
            fingerprint="f",
            needs_profile=True,
        )
        self.job = self.service.submit(package, "rote-loop")
        self.orders = {device: self.next_deployed(device) for device in DEVICES}
        for node in self.nodes.values():
            assert node.next("start") == self.job

    @property
    def view(self) -> JobView:
        return self.service.job(self.job)

    def next_deployed(self, device: DeviceId) -> Any:
        """What is deployed next; whatever may still be there of an earlier stage goes first."""
        assert self.nodes[device].next("stop") == self.job
        return self.nodes[device].next("deploy")

    def end(self, device: DeviceId, error: str | None = None, **how: Any) -> None:
        end = StageEnd(error=error, peer_lost=False, final=how.pop("final", None), **how)
        self.service.stage_ended(self.job, device, end)

    def story(self) -> list[str]:
        return [row["detail"] for row in self.service.logs(self.job)["story"]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_loop_is_profiled_and_runs_by_its_plan(bench: Bench) -> None:
    assert {device: order.plan.tasks for device, order in bench.orders.items()} == {
        E1: (A,),
        E2: (B,),
        E3: (C,),
    }
    view = bench.view
    assert (view.mode, view.phase, view.rounds_done, view.rounds_total) == ("loop", "running", 0, 3)
    assert view.plan is not None
    assert view.plan["rounds"]["cut_names"] == {E2: "one", E3: "all"}


def test_a_stage_that_was_killed_is_started_again_with_the_keys_that_its_peer_has(bench: Bench) -> None:
    bench.end(E3, "the stage died", died=True)
    assert bench.next_deployed(E3).security == bench.orders[E3].security
    assert bench.nodes[E3].next("start") == bench.job
    assert bench.view.phase == "running"
    assert bench.story()[-1] == "c on e3 is started again (1 of 3): the stage died"


@pytest.mark.parametrize(
    ("order", "error"),
    [
        ("start", StageDied("the stage died")),
        ("start", ClusterError("the node of e3 died")),
        ("deploy", StageError("no memory")),
    ],
)
def test_a_stage_that_does_not_come_back_is_tried_again(bench: Bench, order: str, error: Exception) -> None:
    bench.nodes[E3].failures[order] = [error]
    bench.end(E3, "the stage died", died=True)
    for _ in range(2):
        bench.next_deployed(E3)
        if order == "start":
            bench.nodes[E3].next("start")
    if order == "deploy":
        bench.nodes[E3].next("start")
    assert bench.story()[-1] == f"c on e3 is started again (2 of 3): {error}"


def test_code_that_does_not_start_fails_the_job(bench: Bench) -> None:
    bench.nodes[E3].failures["start"] = [StageError("task c raised")]
    bench.end(E3, "the stage died", died=True)
    bench.next_deployed(E3)
    bench.nodes[E3].next("start")
    for device in (E1, E2):
        bench.nodes[device].next("stop")
    until(lambda: bench.view.ended)
    assert (bench.view.phase, bench.view.detail) == ("failed", "device e3: task c raised")


def test_results_are_read_while_it_runs(bench: Bench) -> None:
    assert bench.service.outputs(bench.job) == [(E1, MODEL)]
    assert bench.service.read_output(bench.job, E1, "rounds.jsonl", 0, 9) == b'{"number"'
    bench.service.node_lost(E3, "gone")
    assert bench.service.outputs(bench.job) == [(E1, MODEL)], "clients hold none"
    assert bench.view.phase == "running"
    bench.service.node_lost(E1, "gone")
    with pytest.raises(ClusterError, match="lie on e1"):
        bench.service.outputs(bench.job)


def test_a_client_comes_back_with_its_device(bench: Bench) -> None:
    bench.service.node_lost(E3, "silent")
    assert bench.story()[-1] == "goes on without e3: device e3 was lost: silent"
    node = bench.nodes[E3] = FakeNode(E3)
    bench.service.node_joined(E3, "ip-e3", node)  # type: ignore[arg-type]
    bench.next_deployed(E3)
    assert node.next("start") == bench.job


def test_rounds_are_counted_over_a_restart_of_the_server(bench: Bench) -> None:
    bench.service.telemetry(sample(bench.job, pid=7, rounds=2, round_s=0.5))
    assert (bench.view.rounds_done, bench.view.round_s) == (2, 0.5)
    bench.end(E1, "killed", died=True)
    bench.next_deployed(E1)
    bench.service.telemetry(sample(bench.job, pid=8, rounds=0, round_s=None))
    assert (bench.view.rounds_done, bench.view.round_s) == (2, None)
    bench.end(E1, final=counters(pid=8, rounds=1, round_s=0.7))
    for device in (E2, E3):
        bench.nodes[device].next("stop")
    until(lambda: bench.view.ended)
    view = bench.view
    assert (view.phase, view.rounds_done, view.round_s, view.items) == ("done", 3, 0.7, 3)


def test_a_round_that_is_done_twice_is_no_round_more() -> None:
    progress, job = Progress(), workload("l", "loop").job
    progress.add(sample(job.id, pid=1, rounds=2, round_s=1.0))
    progress.finish(job.id, counters(pid=2, rounds=2, round_s=1.0))
    assert progress.told(job)["rounds_done"] == TRAINING.rounds


def test_a_late_sample_takes_nothing_back() -> None:
    progress, job = Progress(), workload("l", "loop").job
    progress.finish(job.id, counters(pid=1, rounds=2, round_s=1.0))
    progress.add(sample(job.id, pid=1, rounds=1, round_s=0.9))
    assert progress.told(job)["rounds_done"] == 2


def sample(job: JobId, *, pid: int, rounds: int, round_s: float | None) -> DeviceSample:
    task = TaskSample(
        task=A,
        items=0,
        items_total=rounds,
        dropped_total=0,
        busy_s=0.0,
        queue=0,
        dropped=0,
        latency_p50_s=round_s,
        latency_p95_s=round_s,
    )
    stage = StageSample(
        job=job,
        device=E1,
        at_s=5.0,
        window_s=1.0,
        pid=pid,
        cpu_s=0.0,
        memory_bytes=0,
        tasks=(task,),
        flows=(),
    )
    return DeviceSample(
        device=E1, at_s=5.0, window_s=1.0, cpu_fraction=0.0, memory_bytes=0, enforcement="tc", stages=(stage,)
    )


def counters(*, pid: int, rounds: int, round_s: float) -> StageCounters:
    return StageCounters(
        at_s=6.0,
        pid=pid,
        cpu_s=0.0,
        memory_bytes=0,
        tasks={TaskId(A): (rounds, 0.0, 0, 0, round_s, round_s)},
        flows={},
    )
