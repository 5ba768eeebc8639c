"""What the scheduler says of what jobs learn: the learner's last word with its age, and nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_cases import E1, E2, NETWORK, until

from edgeray.errors import BadInputError, ClusterError
from edgeray.node.code import AppPackage, TaskCode
from edgeray.node.service import StageEnd
from edgeray.profiler import ProfileStore
from edgeray.scheduler.journal import Journal
from edgeray.scheduler.learning import LINGER_S, LOOK_S, Learning
from edgeray.scheduler.service import SchedulerService
from edgeray.scheduler.views import JobView
from policies.model import DeviceId, Flow, Job, JobId, Online, Task, TaskId
from policies.online.shares import OnlinePlacement

JOB, OTHER = JobId("shop-1"), JobId("shop-2")


class FakeLearner:
    """items: of each job that it knows. broken: it does not answer. gate: while it is not set, calls hang."""

    def __init__(self) -> None:
        self.items: dict[JobId, int] = {}
        self.broken = False
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[set[JobId]] = []

    def views(self, jobs: Collection[JobId]) -> dict[JobId, dict[str, Any]]:
        self.asked.append(set(jobs))
        self.gate.wait()
        self._answers()
        return {job: word(items) for job, items in self.items.items() if job in jobs}

    def forget(self, job: JobId) -> bool:
        self.gate.wait()
        self._answers()
        return self.items.pop(job, None) is not None

    def _answers(self) -> None:
        if self.broken:
            raise ConnectionError("the learner does not answer: it is being started again")


def word(items: int) -> dict[str, Any]:
    arm = {"seen": items, "happy": items, "estimate": 0.5}
    rest = {"happy": 1.0, "regret_proxy": 0.25, "arms": {"e2": arm}, "age_s": 0.5}
    return {"policy": "toof", "items": items, **rest}


class Desk:
    """Learning on a clock that stands still unless the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.learner = FakeLearner()
        self.learning = Learning(self.learner, lambda: self.now_s)

    def look(self, *running: JobId, after_s: float = 0.0) -> None:
        """And wait for what comes of it."""
        self.now_s += after_s
        self.learning.look(self.now_s, running)
        self.settle()

    def settle(self) -> None:
        self.learning._thread.submit(lambda: None).result(timeout=10)

    def of(self, job: JobId = JOB) -> Any:
        return self.learning.of(job, self.now_s)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.learner.gate.set()
    made.learning._thread.shutdown()


def ended(job: JobId = JOB, phase: str = "done") -> JobView:
    values: dict[str, Any] = {
        "plan": None,
        "submitted_s": 0.0,
        "started_s": 0.0,
        "ended_s": 1.0,
        "waited_s": 0.0,
    }
    counts: dict[str, Any] = {
        "items": 0,
        "dropped": 0,
        "rate_per_s": 0.0,
        "latency_p50_s": None,
        "latency_p95_s": None,
    }
    return JobView(job=job, app="shop", policy="toof", phase=phase, detail="", reasons=(), **values, **counts)


def test_the_last_word_is_told_with_its_age(desk: Desk) -> None:
    assert desk.of() is None
    desk.look(JOB)
    assert desk.of() is None, "it does not know the job yet"
    desk.learner.items[JOB] = 7
    desk.look(JOB, after_s=LOOK_S)
    assert desk.of() == word(7) | {"away": False}
    desk.now_s += 1.25
    assert desk.of()["age_s"] == 0.5 + 1.25
    assert desk.of(OTHER) is None


def test_it_is_asked_every_two_seconds_about_jobs_that_run_and_else_not_at_all(desk: Desk) -> None:
    desk.look()
    assert desk.learner.asked == []
    for _ in range(9):
        desk.look(JOB, OTHER, after_s=1.0)
    assert desk.learner.asked == [{JOB, OTHER}] * 5
    desk.now_s -= 500.0  # somebody sets the clock
    desk.look(JOB, OTHER)
    assert len(desk.learner.asked) == 6


def test_one_that_is_away_leaves_its_last_word_which_grows_old(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.learner.items[JOB] = 7
    desk.look(JOB)
    desk.learner.broken = True
    for _ in range(5):
        desk.look(JOB, after_s=LOOK_S)
    assert desk.of() == word(7) | {"age_s": 0.5 + 5 * LOOK_S, "away": True}
    assert caplog.text.count("is not known") == 1, "said once"
    desk.learner.broken = False
    desk.learner.items[JOB] = 9
    desk.look(JOB, after_s=LOOK_S)
    assert desk.of() == word(9) | {"away": False}


def test_nobody_waits_for_one_that_hangs(desk: Desk) -> None:
    desk.learner.items[JOB] = 7
    desk.look(JOB)
    desk.learner.gate.clear()
    for _ in range(20):
        desk.now_s += LOOK_S
        desk.learning.look(desk.now_s, [JOB])
    assert desk.of()["items"] == 7
    desk.learner.gate.set()
    desk.settle()
    assert len(desk.learner.asked) == 2, "no questions pile up"


def test_what_comes_last_is_still_heard_and_then_it_is_left_alone(desk: Desk) -> None:
    desk.learner.items[JOB] = 7
    desk.look(JOB)
    desk.learner.broken = True
    desk.look(after_s=LINGER_S + LOOK_S)
    desk.learner.broken = False
    desk.learner.items[JOB] = 8
    desk.look(after_s=LOOK_S)
    assert desk.of()["items"] == 8
    asked = len(desk.learner.asked)
    for _ in range(5):
        desk.look(after_s=LOOK_S)
    assert len(desk.learner.asked) == asked
    desk.learner.broken = True
    desk.look(OTHER, after_s=LOOK_S)
    assert desk.of()["away"] is False, "all of it is known"


@given(
    runs=st.lists(st.tuples(st.floats(0.1, 6.0), st.booleans(), st.booleans()), max_size=25),
    last=st.floats(0.0, LINGER_S - 0.01),  # sums are rounded
)
def test_in_the_end_all_is_known_however_often_it_was_away(
    runs: list[tuple[float, bool, bool]], last: float
) -> None:
    """A job learns while it runs, and once more within LINGER_S of its end."""
    desk = Desk()
    try:
        for after_s, learns, broken in runs:
            desk.learner.broken = broken
            desk.learner.items[JOB] = desk.learner.items.get(JOB, 0) + learns
            desk.look(JOB, after_s=after_s)
        desk.now_s += last
        desk.learner.broken = False
        desk.look()
        desk.learner.items[JOB] = 100
        for _ in range(10):
            desk.look(after_s=1.0)
        assert runs == [] or desk.of()["items"] == 100
        settled = len(desk.learner.asked)
        desk.look(after_s=60.0)
        assert len(desk.learner.asked) == settled
    finally:
        desk.learning._thread.shutdown()


def test_what_is_forgotten_is_gone_though_an_answer_was_on_its_way(desk: Desk) -> None:
    desk.learner.items[JOB] = 7
    desk.look(JOB)
    desk.learner.gate.clear()
    desk.now_s += LOOK_S
    desk.learning.look(desk.now_s, [])
    found: list[bool] = []
    asking = threading.Thread(target=lambda: found.append(desk.learning.forget(ended())))
    asking.start()
    desk.learner.gate.set()
    asking.join(timeout=10)
    desk.settle()
    assert found == [True]
    assert desk.of() is None and desk.learner.items == {}
    assert desk.learning.forget(ended()) is False


def test_a_learner_that_does_not_answer_forgets_nothing(desk: Desk) -> None:
    desk.learner.items[JOB] = 7
    desk.look(JOB)
    desk.learner.broken = True
    with pytest.raises(ClusterError, match="started again\n  remedy:   try again"):
        desk.learning.forget(ended())
    assert desk.of()["items"] == 7


# The scheduler's shell


class ObedientNode:
    """Does what it is told."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_: {
            "stop_stage": StageEnd(error=None, peer_lost=False, final=None),
            "results": {},
        }.get(name)


def offload() -> AppPackage:
    server, helper = TaskId("dispatch"), TaskId("help-e2")
    job = Job(
        id=JobId("shop"),
        tasks=(Task(id=server, device=E1), Task(id=helper, device=E2)),
        flows=(Flow(producer=helper, consumer=server), Flow(producer=server, consumer=helper)),
        kind="offload",
        mode="offload",
        online=Online(server=server, clients=(helper,)),
    )
    code = {task.id: TaskCode(run="nowhere:at_all") for task in job.tasks}
    return AppPackage(app="shop", job=job, code=code, working_dir=None, fingerprint="f", needs_profile=False)


def test_a_job_says_what_it_learned_until_that_is_forgotten(tmp_path: Path) -> None:
    learner = FakeLearner()
    service = SchedulerService(
        NETWORK,
        policy_named={"toof": OnlinePlacement("toof", "offload")}.__getitem__,
        profiles=ProfileStore(tmp_path / "profiles"),
        journal=Journal(tmp_path / "jobs.jsonl"),
        learner=learner,
    )
    for device in NETWORK.devices:
        service.node_joined(DeviceId(device), f"ip-{device}", ObedientNode())  # type: ignore[arg-type]
    job = service.submit(offload(), "toof")
    until(lambda: service.job(job).phase == "running")
    assert service.job(job).learner is None
    learner.items[job] = 7
    service.tick()
    until(lambda: service.job(job).learner)
    [told] = [view.learner for view in service.jobs()]
    assert told is not None and (told["policy"], told["items"], told["away"]) == ("toof", 7, False)
    with pytest.raises(BadInputError, match=f"{job} is running.*\n  remedy:   edgeray stop {job}"):
        service.forget(job)
    service.stop(job)
    until(lambda: service.job(job).ended)
    view = service.job(job).learner
    assert view is not None and view["items"] == 7
    assert service.forget(job) is True
    assert service.job(job).learner is None and learner.items == {}
    assert service.forget(job) is False
    with pytest.raises(BadInputError, match="no job 'shop-9'; known jobs: shop-1"):
        service.forget(JobId("shop-9"))
    again = service.submit(offload(), "toof")
    assert again != job, "another job, which the learner does not know"
