"""Items dealt out to replicas, on one device and over real flows: each once, in order, to whoever does well."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stage_cases import A, Collect, D, S, numbers, stages_on, until

from edgeray.errors import FlowError, StageError
from edgeray.learner.service import LearnerService
from edgeray.node.bounds import REPLICA_ITEMS
from edgeray.node.code import TaskCode
from edgeray.node.stage import Stage
from policies.bandit.registry import DISPATCHERS
from policies.model import JobId, Replicas, TaskId

A1, A2, A3 = TaskId("a.1"), TaskId("a.2"), TaskId("a.3")
Work = Callable[[int], int]


def replicas(
    dispatch: str = "round-robin", *, copies: tuple[TaskId, ...] = (A1, A2), deadline_s: float = 10.0
) -> Replicas:
    return Replicas(task=A, producer=S, copies=copies, dispatch=dispatch, deadline_s=deadline_s)


def run_all(stages: dict[str, Stage]) -> None:
    for stage in stages.values():
        stage.start()
    for stage in stages.values():
        stage.wait()


def apart(works: dict[TaskId, Work], items: int, which: Replicas, sink: Any, **more: Any) -> dict[str, Stage]:
    """The source and the sink on one device, each replica on one of its own."""
    where = {"e1": {S: numbers(items), D: sink}} | {
        f"of {copy}": {copy: work} for copy, work in works.items()
    }
    inputs = {**dict.fromkeys(works, (S,)), D: tuple(works)}
    return stages_on(where, inputs, sinks=(D,), replicas=(which,), depth=12, **more)


def told(stage: Stage) -> dict[str, Any]:
    now = stage.told()
    assert now is not None
    found: dict[str, Any] = now[A]
    return found


@pytest.mark.parametrize("items", [0, 1, 2, 3, 60])
@pytest.mark.parametrize("dispatch", DISPATCHERS)
def test_on_one_device_every_item_goes_to_one_and_comes_out_in_order(items: int, dispatch: str) -> None:
    sink, doers, order = Collect(), {A1: Collect(), A2: Collect()}, list[int]()

    def doing(copy: TaskId) -> Work:
        return lambda x: (order.append(x), doers[copy](x))[1]

    where = {"e1": {S: numbers(items), A1: doing(A1), A2: doing(A2), D: sink}}
    stages = stages_on(where, {A1: (S,), A2: (S,), D: (A1, A2)}, sinks=(D,), replicas=(replicas(dispatch),))
    run_all(stages)
    assert len(sink.seen) == items
    assert order == list(range(items))  # none starves because the other is nearer to the sink
    assert sorted(doers[A1].seen + doers[A2].seen) == order
    now = told(stages["e1"])
    assert now["items"] == now["met"] == items
    assert [now["helpers"][copy]["sent"] for copy in (A1, A2)] == [len(doers[A1].seen), len(doers[A2].seen)]


def test_over_flows_every_item_is_done_once_and_comes_out_in_order() -> None:
    sink = Collect()
    stages = apart(
        {A1: lambda x: -x, A2: lambda x: -x, A3: lambda x: -x}, 90, replicas(copies=(A1, A2, A3)), sink
    )
    run_all(stages)
    assert sink.seen == [-n for n in range(90)]
    now = told(stages["e1"])
    assert now["met"] == 90
    sent = {copy: row["sent"] for copy, row in now["helpers"].items()}
    assert sum(sent.values()) == 90
    assert min(sent.values()) > 0
    assert stages["of a.1"].counters()[A1].items == sent[A1]
    assert stages["of a.1"].told() is None


def test_what_replicas_give_is_joined_with_what_never_left() -> None:
    sink = Collect()
    where = {"e1": {S: numbers(50), D: sink}, "e2": {A1: lambda x: -x}, "e3": {A2: lambda x: -x}}
    run_all(
        stages_on(where, {A1: (S,), A2: (S,), D: (S, A1, A2)}, sinks=(D,), replicas=(replicas(),), depth=12)
    )
    assert sink.seen == [(n, -n) for n in range(50)]


def test_two_tasks_take_what_replicas_give() -> None:
    one, other = Collect(), Collect()
    b = TaskId("b")
    where = {"e1": {S: numbers(40), D: one}, "e2": {A1: lambda x: -x, b: other}, "e3": {A2: lambda x: -x}}
    inputs = {A1: (S,), A2: (S,), D: (A1, A2), b: (A1, A2)}
    run_all(stages_on(where, inputs, sinks=(D, b), replicas=(replicas(),), depth=12))
    assert one.seen == other.seen == [-n for n in range(40)]


def test_one_that_hangs_is_given_no_more_than_it_may_have_and_nothing_is_lost() -> None:
    held = threading.Event()

    def hangs(x: int) -> int:
        held.wait()
        return -x

    sink = Collect()
    stages = apart({A1: hangs, A2: lambda x: -x}, 200, replicas("round-robin"), sink)
    for stage in stages.values():
        stage.start()
    source = stages["e1"]
    until(lambda: told(source)["helpers"][A1]["sent"] == REPLICA_ITEMS)
    # The other goes on until the ones behind the first that hangs are as many as may wait for it.
    done_before = REPLICA_ITEMS
    until(lambda: stages["of a.2"].counters()[A2].items > 2 * done_before)
    assert sink.seen == []  # item 0 hangs
    held.set()
    for stage in stages.values():
        stage.wait()
    assert sink.seen == [-n for n in range(200)]
    assert told(source)["met"] == 200


def test_bits_that_come_late_count_against_whom_is_slow() -> None:
    held = threading.Event()

    def slow(x: int) -> int:
        held.wait()
        return x

    stages = apart({A1: slow, A2: lambda x: x}, 400, replicas("toof", deadline_s=0.05), Collect())
    for stage in stages.values():
        stage.start()
    until(lambda: told(stages["e1"])["helpers"][A1]["late"] >= 1)
    held.set()
    for stage in stages.values():
        stage.wait()
    now = told(stages["e1"])
    assert now["items"] == 400
    assert now["met"] + now["late"] == 400
    assert now["helpers"][A1]["late"] >= 1


def test_what_a_replica_raises_names_the_item_of_the_stream() -> None:
    def fails(x: int) -> int:
        if x == 7:
            raise ValueError("seven")
        return x

    stages = apart({A1: fails, A2: fails}, 50, replicas(), Collect())
    for stage in stages.values():
        stage.start()
    with pytest.raises(StageError, match=r"task a\.2 raised ValueError on item 7: seven"):
        stages["of a.2"].wait()
    with pytest.raises(FlowError, match=r"went away|gave up"):  # whoever dealt to it sees it go
        stages["e1"].wait()
    stages["of a.1"].stop()
    stages["of a.1"].wait()


def test_a_stop_ends_all_while_replicas_are_busy() -> None:
    held = threading.Event()

    def hangs(x: int) -> int:
        held.wait()
        return x

    stages = apart({A1: hangs, A2: lambda x: x}, 10**6, replicas(), Collect())
    for stage in stages.values():
        stage.start()
    until(lambda: told(stages["e1"])["items"] > REPLICA_ITEMS)
    for stage in stages.values():
        stage.stop()
    held.set()
    for stage in stages.values():
        stage.wait()


def test_a_source_that_drops_deals_out_what_it_does_not_drop() -> None:
    sink = Collect()
    source = TaskCode(run="x:y", overflow="drop-oldest")
    stages = apart({A1: lambda x: x, A2: lambda x: x}, 3000, replicas("jsq"), sink, source=source)
    run_all(stages)
    assert sink.seen == sorted(set(sink.seen))
    assert sink.seen[-1] == 2999
    dropped = stages["e1"].counters()[S].dropped
    assert len(sink.seen) + dropped == 3000


def test_the_learner_gets_every_bit_and_the_next_run_goes_on_with_them(tmp_path: Path) -> None:
    service = LearnerService(tmp_path)
    opened: list[Any] = []

    def call(method: str, *args: Any) -> Any:
        found = getattr(service, method)(*args)
        if method == "open":
            opened.append(found)
        return found

    for items in (40, 30):
        run_all(apart({A1: lambda x: x, A2: lambda x: x}, items, replicas("hybrid"), Collect(), learner=call))
    view = service.views()[JobId("j/a")]
    assert view["items"] == 70
    assert sum(arm["seen"] for arm in view["arms"].values()) == 70
    before, after = opened
    assert before is None
    assert after is not None


def test_a_learner_that_does_not_answer_is_done_without() -> None:
    def call(method: str, *args: Any) -> Any:
        raise ConnectionError("nobody is there")

    sink = Collect()
    run_all(apart({A1: lambda x: x, A2: lambda x: x}, 30, replicas("hybrid"), sink, learner=call))
    assert sink.seen == list(range(30))
