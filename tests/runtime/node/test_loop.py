"""Stages of mode loop: tasks that run side by side and talk, over real flows on loopback."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from line_ends import AB, BA, HERE, A, B, ends_of, free_ports, new_keys

from edgeray.dataplane import FlowSecurity
from edgeray.errors import FlowError, MissingAssetError, StageError
from edgeray.node import host as hosts
from edgeray.node.code import LoadedTask, TaskCode
from edgeray.node.host import ProfileOrder, StageHost, StageOrder, describe_output
from edgeray.node.loop import LoopContext, LoopStage
from edgeray.scheduler.effects import StagePlan
from edgeray.training.recipe import Recipe
from policies.model import DeviceId, Flow, FlowId, Job, JobId, Rounds, Task, TaskId, Training

DEADLINE_S = 20.0
ROUNDS = Rounds(cuts={B: 2}, micro_batches=1, round_s=1.0, predicted_s=1.1, bound_s=None)
Keys = Mapping[FlowId, FlowSecurity]
Call = Callable[[LoopContext], Any]


def plan_of(me: TaskId, peer: TaskId, ports: tuple[int, int], *, sinks: tuple[TaskId, ...] = ()) -> StagePlan:
    inflow, outflow = ends_of(me, peer, ports)
    return StagePlan(
        job=JobId("j"),
        device=DeviceId(f"device-of-{me}"),
        tasks=(me,),
        inputs={me: (peer,)},
        inflows=(inflow,),
        outflows=(outflow,),
        sinks=sinks,
        depth_items=1,
        granted_per_s=None,
        mode="loop",
        rounds=ROUNDS,
    )


def stage_of(plan: StagePlan, keys: Keys, folder: Path, call: Call, close: Callable[[], None]) -> LoopStage:
    (task,) = plan.tasks
    return LoopStage(
        plan,
        {task: LoadedTask(task=task, call=call, close=close)},
        address=HERE,
        security=keys,
        self_paced=False,
        output_dir=folder,
        cpus=0.5,
    )


class Stages:
    """A stage with task a and one with task b, and what became of their close()."""

    def __init__(self, folder: Path, a: Call, b: Call) -> None:
        ports, keys = free_ports(2), new_keys()
        self.closed: list[str] = []
        self.a = stage_of(plan_of(A, B, ports, sinks=(A,)), keys, folder, a, lambda: self.closed.append("a"))
        self.b = stage_of(plan_of(B, A, ports), keys, folder, b, lambda: self.closed.append("b"))
        self.a.start()
        self.b.start()


def wait(stage: LoopStage) -> None:
    """Until it ends; raises what broke it."""
    ended = threading.Event()

    def body() -> None:
        with suppress(Exception):
            stage.wait()
        ended.set()

    threading.Thread(target=body, daemon=True).start()
    assert ended.wait(DEADLINE_S), "the stage does not end"
    stage.wait()


def test_tasks_talk_until_they_return(tmp_path: Path) -> None:
    seen: list[LoopContext] = []

    def a(context: LoopContext) -> None:
        seen.append(context)
        connection = context.connect(B)
        for number in range(3):
            connection.send(number)
            assert connection.receive(DEADLINE_S) == -number
            context.count(0.25 + number)
        connection.finish()

    def b(context: LoopContext) -> None:
        seen.append(context)
        connection = context.connect(A)
        for _ in range(3):
            connection.send(-connection.receive(DEADLINE_S))
        with pytest.raises(FlowError, match="ended the connection"):
            connection.receive(DEADLINE_S)

    stages = Stages(tmp_path, a, b)
    before_s = time.time()
    wait(stages.a)
    wait(stages.b)
    assert sorted(stages.closed) == ["a", "b"]
    first = next(context for context in seen if context.task == A)
    told = (first.job, first.device, first.peers, first.rounds, first.output_dir, first.cpus)
    assert told == ("j", "device-of-a", (B,), ROUNDS, tmp_path, 0.5)
    counters = stages.a.counters()[A]
    assert (counters.items, list(counters.recent)) == (3, [0.25, 1.25, 2.25])
    assert stages.b.counters()[B].items == 0
    assert stages.a.sink_window(before_s - 1, time.time() + 1)[A].items == 3
    assert {flow: row[0] for flow, row in stages.a.flow_counters().items()} == {AB: 3, BA: 3}
    assert stages.a.flow_counters() == stages.b.flow_counters()


def test_a_stop_wakes_tasks_that_wait_and_what_they_raise_is_no_error(tmp_path: Path) -> None:
    waiting = threading.Barrier(3)

    def receives(context: LoopContext) -> None:
        connection = context.connect(B)
        waiting.wait(DEADLINE_S)
        connection.receive(None)

    def reconnects(context: LoopContext) -> None:
        waiting.wait(DEADLINE_S)
        while True:
            try:
                context.connect(A).receive(None)
            except FlowError:
                if context.stop.is_set():
                    break
        context.connect(A)

    stages = Stages(tmp_path, receives, reconnects)
    waiting.wait(DEADLINE_S)
    for stage in (stages.b, stages.a):
        stage.stop()
        wait(stage)
    assert sorted(stages.closed) == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("seven"), r"^task a raised ValueError: seven$"),
        (MissingAssetError("no weights"), r"^task a: no weights$"),
        (StageError("as it is"), r"^as it is$"),
    ],
    ids=["any", "ours", "stage"],
)
def test_what_a_task_raises_ends_its_stage_and_cuts_its_peer_off(
    tmp_path: Path, error: Exception, told: str
) -> None:
    def a(context: LoopContext) -> None:
        assert context.connect(B).receive(DEADLINE_S) == "ready"
        raise error

    def b(context: LoopContext) -> None:
        connection = context.connect(A)
        connection.send("ready")
        connection.receive(None)

    stages = Stages(tmp_path, a, b)
    with pytest.raises(StageError, match=told):
        wait(stages.a)
    with pytest.raises(FlowError, match="went away"):
        wait(stages.b)
    assert sorted(stages.closed) == ["a", "b"]


def test_a_task_has_flows_with_its_peers_only(tmp_path: Path) -> None:
    stages = Stages(tmp_path, lambda context: context.connect(TaskId("c")), lambda context: None)
    with pytest.raises(StageError, match="task a: there are no flows with 'c', only with b"):
        wait(stages.a)
    wait(stages.b)


def test_tasks_of_one_stage_end_together(tmp_path: Path) -> None:
    """Two clients on one device: one raises, and the other does not go on waiting."""
    ports = free_ports(4)
    clients = (TaskId("c"), TaskId("d"))
    plans = [plan_of(client, A, ports[2 * at : 2 * at + 2]) for at, client in enumerate(clients)]  # type: ignore[arg-type]
    waits = threading.Event()

    def fails(context: LoopContext) -> None:
        assert waits.wait(DEADLINE_S)
        raise ValueError("broken")

    def waits_for_ever(context: LoopContext) -> None:
        connection = context.connect(A)
        waits.set()
        connection.receive(None)

    both = StagePlan(
        job=JobId("j"),
        device=DeviceId("e"),
        tasks=clients,
        inputs=dict.fromkeys(clients, (A,)),
        inflows=tuple(flow for plan in plans for flow in plan.inflows),
        outflows=tuple(flow for plan in plans for flow in plan.outflows),
        sinks=(),
        depth_items=1,
        granted_per_s=None,
        mode="loop",
    )
    stage = LoopStage(
        both,
        {
            task: LoadedTask(task=task, call=call, close=lambda: None)
            for task, call in zip(clients, (fails, waits_for_ever), strict=True)
        },
        address=HERE,
        security={},
        self_paced=False,
        output_dir=tmp_path,
        cpus=1.0,
    )
    stage.start()
    with pytest.raises(StageError, match="task c raised ValueError: broken"):
        wait(stage)


def test_flows_must_go_both_ways(tmp_path: Path) -> None:
    plan = plan_of(A, B, free_ports(2))
    for lame in ({"inflows": ()}, {"outflows": ()}):
        fields = {name: getattr(plan, name) for name in StagePlan.__dataclass_fields__}
        with pytest.raises(StageError, match=r"flow (a->b|b->a) has none that goes back"):
            stage_of(StagePlan(**{**fields, **lame}), {}, tmp_path, lambda context: None, lambda: None)


# The process around it

CODE = """
from edgeray.errors import FlowError


class Echo:
    def __init__(self, path, times):
        self.path = path
        self.times = times

    def __call__(self, context):
        connection = context.connect(context.peers[0])
        for number in range(self.times):
            connection.send((context.cpus, connection.receive(None)))
            context.count(1.0)
        results = context.output_dir / "results"
        results.mkdir()
        (results / "rounds.jsonl").write_text("{}")
        connection.finish()

    def close(self):
        open(self.path, "w").close()


def ask(context, *, times):
    connection = context.connect(context.peers[0])
    for number in range(times):
        connection.send(number)
        assert connection.receive(20.0) == (0.5, number)
    try:
        connection.receive(20.0)
    except FlowError as error:
        assert "ended the connection" in str(error)
"""


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A host in this process leaves its output and its groups alone; what it would have entered is noted."""
    entered: list[str] = []
    monkeypatch.setattr(hosts, "redirect_output", lambda path: None)
    monkeypatch.setattr(hosts, "enter_memory_group", lambda: entered.append("memory"))
    monkeypatch.setattr(hosts, "enter_stage_group", lambda: entered.append("stage") is None)
    return entered


class Deaf:
    """An announcer whom nobody needs."""

    def transfer_ready(self, job: JobId, flow: FlowId, *, stop: threading.Event) -> None: ...
    def transfer_done(self, job: JobId, flow: FlowId, *, stop: threading.Event) -> None: ...


def order_of(
    plan: StagePlan, keys: Keys, folder: Path, run: str, self_paced: bool = False, **args: Any
) -> StageOrder:
    (task,) = plan.tasks
    return StageOrder(
        plan=plan,
        code={task: TaskCode(run=f"loop_code:{run}", args=args)},
        security=keys,
        address=HERE,
        output_dir=str(folder / task),
        working_dir=str(folder),
        self_paced=self_paced,
        cpus=0.5,
    )


def test_hosts_run_functions_and_classes_as_tasks(tmp_path: Path, quiet: list[str]) -> None:
    (tmp_path / "loop_code.py").write_text(CODE)
    ports, keys = free_ports(2), new_keys()
    asking, echoing = StageHost(Deaf()), StageHost(Deaf())
    asking.prepare(order_of(plan_of(A, B, ports), keys, tmp_path, "ask", times=5))
    path = "${OUTPUT_DIR}/closed"
    echoing.prepare(
        order_of(plan_of(B, A, ports), keys, tmp_path, "Echo", self_paced=True, path=path, times=5)
    )
    assert quiet == ["memory", "stage"] * 2
    for host in (asking, echoing):
        host.start()
    echoing.pace(None, {BA: 1e9})
    echoing.start_transfer(BA)  # no such thing in a loop
    for host in (asking, echoing):
        host.wait()
    counters = echoing.counters()
    assert counters.flows == asking.counters().flows
    assert {flow: items for flow, (items, _) in counters.flows.items()} == {AB: 5, BA: 5}
    assert all(size > 0 for _, size in counters.flows.values())
    assert (counters.tasks[B][0], counters.tasks[B][4:]) == (5, (1.0, 1.0))
    results = {
        str(tmp_path / "b" / name): size for name, size in (("closed", 0), ("results/rounds.jsonl", 2))
    }
    assert describe_output(tmp_path / "b") == results


def test_a_host_that_never_started_stops(tmp_path: Path, quiet: list[str]) -> None:
    (tmp_path / "loop_code.py").write_text(CODE)
    host = StageHost(Deaf())
    host.prepare(order_of(plan_of(A, B, free_ports(2)), new_keys(), tmp_path, "ask", times=1))
    host.stop()
    host.wait()


def test_the_profile_of_a_training_job_is_that_of_its_cuts(
    tmp_path: Path, quiet: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import edgeray.training.profile as profile

    asked: list[Any] = []
    monkeypatch.setattr(profile, "measure_training", lambda recipe, **kwargs: asked.append((recipe, kwargs)))
    recipe = Recipe(model="m:make", clients=("b",), samples=10)
    job = Job(
        id=JobId("j"),
        tasks=(Task(id=A), Task(id=B)),
        flows=(Flow(producer=A, consumer=B), Flow(producer=B, consumer=A)),
        mode="loop",
        training=Training(server=A, batches={B: 1}, rounds=1),
    )
    code = TaskCode(run="edgeray.training.tasks:Serve", args={"recipe": recipe.as_args(), "resume": None})
    for cpus, capped in ((0.5, True), (4.0, False)):
        quiet.clear()
        StageHost(Deaf()).profile(
            ProfileOrder(
                job=job,
                code={A: code, B: TaskCode(run="edgeray.training.tasks:Train")},
                output_dir=str(tmp_path / "out"),
                working_dir=None,
                cpus=cpus,
                memory_bytes=5e8,
            )
        )
        assert quiet == ["memory", "stage"]
        assert asked.pop() == (recipe, {"cpus": cpus, "capped": capped, "memory_bytes": 5e8})


def test_nobody_imports_torch_who_does_not_train() -> None:
    script = "import sys, edgeray.actors, edgeray.node.host; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
