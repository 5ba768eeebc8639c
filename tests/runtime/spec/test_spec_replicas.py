"""A task with replicas: what it becomes, what each is planned to take, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeray.spec import App, Cluster
from policies.flows.graph import Graph
from policies.model import Device, DeviceId, Profile, Replicas, Snapshot, TaskId, Workload
from policies.placement.demand import Hardware, demand
from policies.registry import load_policy

Job = Callable[..., App]
Refuse = Callable[..., object]

CODE = """
def camera():
    yield from range(3)

def detect(frame):
    return frame

def count(found):
    return 1
"""
JOB = """
tasks:
  camera: {device: e1, items_per_s: 10}
  detect:
    inputs: {camera: 300kB}
    replicas: 3
    dispatch: toof
    deadline: 250ms
    work: 6GFLOP
    memory: 90MB
  count: {inputs: {detect: 1kB, camera: 9B}, work: 1MFLOP}
"""


def test_copies_share_the_items_and_keep_their_names_together(job: Job) -> None:
    app = job(JOB)
    copies = tuple(TaskId(f"detect.{number}") for number in (1, 2, 3))
    assert [task.id for task in app.job.tasks] == ["camera", *copies, "count"]
    assert app.job.replicas == (
        Replicas(
            task=TaskId("detect"), producer=TaskId("camera"), copies=copies, dispatch="toof", deadline_s=0.25
        ),
    )
    assert [task.share for task in app.job.tasks] == [1, 1 / 3, 1 / 3, 1 / 3, 1]
    assert {task.memory_bytes for task in app.job.tasks[1:4]} == {90e6}
    assert {flow.id: (flow.size_bytes, flow.share) for flow in app.job.flows} == {
        **{f"camera->{copy}": (300e3, 1 / 3) for copy in copies},
        **{f"{copy}->count": (1e3, 1 / 3) for copy in copies},
        "camera->count": (9, 1),
    }
    assert app.job.arguments(TaskId("count")) == ("detect.1", "camera")


def test_code_is_that_of_the_task(job: Job) -> None:
    text = """
    tasks:
      camera: {device: e1, run: "tasks:camera"}
      detect: {inputs: [camera], replicas: [e2, e3], run: "tasks:detect"}
      count: {inputs: [detect], run: "tasks:count"}
    """
    app = job(text, tasks=CODE)
    assert {task: code.run for task, code in app.code.items()} == {
        "camera": "tasks:camera",
        "detect.1": "tasks:detect",
        "detect.2": "tasks:detect",
        "count": "tasks:count",
    }
    assert [task.device for task in app.job.tasks] == ["e1", "e2", "e3", None]
    assert app.job.replicas[0].dispatch == "hybrid"
    assert app.job.replicas[0].deadline_s == 1.0
    assert app.needs_profile


@pytest.mark.parametrize("replicas", ["1", "null", "[e2]"])
def test_one_is_a_task_as_any(job: Job, replicas: str) -> None:
    app = job(
        JOB.replace("replicas: 3", f"replicas: {replicas}").replace(
            "    dispatch: toof\n    deadline: 250ms\n", ""
        )
    )
    assert [task.id for task in app.job.tasks] == ["camera", "detect", "count"]
    assert app.job.replicas == ()
    assert app.job.tasks[1].share == 1
    assert app.job.tasks[1].device == ("e2" if "e2" in replicas else None)


def test_numbers_are_shared_wherever_they_come_from(job: Job) -> None:
    app = job(JOB)
    device = Device(id=DeviceId("e1"), type="pi", speed_flop_per_s=3e9, memory_bytes=1e9)
    declared = Workload(job=app.job)
    [copy] = [task for task in app.job.tasks if task.id == "detect.2"]
    [flow] = [flow for flow in app.job.flows if flow.id == "camera->detect.2"]
    assert declared.seconds(copy, device) == pytest.approx(2 / 3)
    assert declared.size_bytes(flow) == pytest.approx(1e5)
    assert declared.memory_bytes(copy) == 90e6
    profile = Profile(
        seconds={},
        output_bytes={},
        peak_memory_bytes={},
        transfer_seconds={(TaskId("camera"), "pi"): 0.03},
    )
    measured = Workload(job=app.job, profile=profile)
    assert measured.transfer_seconds(flow, device) == pytest.approx(0.01)


def test_what_policies_plan_with_is_what_the_workload_says(
    job: Job, cluster: Callable[[str], Cluster]
) -> None:
    app, lab = job(JOB), cluster(LAB)
    asked = demand(Workload(job=app.job), Hardware.of(lab.network, Graph.of(lab.network)))
    seconds = dict(zip((task.id for task in app.job.tasks), asked.class_seconds.tolist(), strict=True))
    assert seconds["detect.1"] == pytest.approx([6 / 3 / 10, 6 / 3 / 5], rel=1e-9) or seconds[
        "detect.1"
    ] == pytest.approx([6 / 3 / 5, 6 / 3 / 10], rel=1e-9)
    bits = dict(zip(asked.flow_ids, asked.bits, strict=True))
    assert bits["camera->detect.3"] == pytest.approx(8e5)


LAB = """
head: e1
devices:
  e1: {type: pi, memory: 1GB, speed: 5GFLOP/s}
  e2: {type: pi, memory: 1GB, speed: 5GFLOP/s}
  e3: {type: nano, memory: 1GB, speed: 10GFLOP/s}
links:
  - {ends: [e1, e2], capacity: 100Mbps}
  - {ends: [e1, e3], capacity: 100Mbps}
  - {ends: [e2, e3], capacity: 100Mbps}
"""


def test_three_share_what_one_could_not_do(job: Job, cluster: Callable[[str], Cluster]) -> None:
    """One device does 5 / 6 or 10 / 6 items a second; three of them together 20 / 6, of which equal parts fit 15 / 6."""
    network = cluster(LAB).network
    policy = load_policy("otfa")
    rates = {}
    for replicas in ("1", "[e1, e2, e3]"):
        text = JOB.replace("replicas: 3", f"replicas: {replicas}").replace("10}", "1000}")
        if replicas == "1":
            text = text.replace("    dispatch: toof\n    deadline: 250ms\n", "")
        decided = policy.decide(Snapshot(network=network), [Workload(job=job(text).job)])
        [plan] = decided.plans.values()
        rates[replicas] = plan.throughput_per_s
    assert rates["1"] == pytest.approx(10 / 6, rel=0.01)
    assert rates["[e1, e2, e3]"] == pytest.approx(15 / 6, rel=0.01)


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("replicas: 3", "replicas: 0"), 5, ["neither how many", "from 1 to 100"]),
        (("replicas: 3", "replicas: 101"), 5, ["neither how many"]),
        (("replicas: 3", "replicas: true"), 5, ["neither how many"]),
        (("replicas: 3", "replicas: []"), 5, ["neither how many"]),
        (("replicas: 3", "replicas: [e1, '-']"), 5, ["not usable as an id"]),
        (("dispatch: toof", "dispatch: tof"), 6, ["no dispatcher 'tof'", "did you mean 'toof'?"]),
        (("deadline: 250ms", "deadline: 0s"), 7, ["deadline"]),
        (("    replicas: 3\n", ""), 5, ["`dispatch`, but no `replicas`"]),
        (("    work: 6GFLOP", "    device: e2\n    work: 6GFLOP"), 5, ["`device` and `replicas`"]),
        (("camera: 300kB}", "camera: 300kB, more: 1B}"), 5, ["2 inputs", "one input"]),
        (("    inputs: {camera: 300kB}\n", ""), 4, ["no inputs", "a source is one"]),
        (("detect: 1kB, ", ""), 5, ["no task takes its output"]),
        (("tasks:\n", "mode: once\ntasks:\n"), 6, ["the job runs once"]),
        (
            ("  count:", "  detect.2: {inputs: {camera: 1B}, work: 1FLOP}\n  count:"),
            5,
            ["'detect.2'", "as a task is"],
        ),
        (("  count: {inputs", "  count: {replicas: 2, inputs"), 10, ["2 inputs"]),
        (
            ("  count: {", "  sum: {inputs: {count: 1B}, work: 1FLOP}\n  count: {replicas: 2, "),
            11,
            ["'count' has `replicas`, and so has its input 'detect'"],
        ),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(
    job: Job, refuse: Refuse, change: tuple[str, str], line: int, words: list[str]
) -> None:
    text = JOB + "  more: {device: e1}\n"
    assert change[0] in text
    text = text.replace(*change, 1)
    if "so has its input" in words[0]:
        text = text.replace(", camera: 9B", "")
    if "mode: once" in change[1]:
        text = text.replace("items_per_s: 10", "work: 0").replace("more: {", "more: {work: 0, ")
    refuse(job, text, line=line, words=words)


def test_a_name_that_would_be_too_long_is_refused(job: Job, refuse: Refuse) -> None:
    refuse(job, JOB.replace("detect", "d" * 62), line=5, words=["not usable as an id", "shorter name"])


def test_errors_of_a_copy_point_at_the_task(job: Job) -> None:
    app = job(JOB)
    assert app.error(("tasks", "detect.2", "memory"), "x", expected="y", remedy="z").where.endswith(":9")
