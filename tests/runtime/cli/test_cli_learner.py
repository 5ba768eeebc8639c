"""What the learner holds of a job, for the terminal, and `edgeray forget`, on a scheduler that is a fake."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_command import edgeray
from rich.console import Console

from edgeray.cli import forget, jobs
from edgeray.cli.jobs import end_line, progress_line
from edgeray.cli.online import learner_line, online_table, replica_tables
from edgeray.errors import BadInputError
from edgeray.scheduler.views import JobView

ARMS = {
    "e2": {"seen": 90, "happy": 81, "estimate": 0.9},
    "e3": {"seen": 30, "happy": 9, "estimate": 0.25},
    "e4": {"seen": 0, "happy": 0, "estimate": None},
}
HELD = {
    **{"policy": "toof", "items": 120, "happy": 0.75, "regret_proxy": 3.25},
    **{"arms": ARMS, "age_s": 0.4, "away": False},
}
HELPER = {
    "sent": 60,
    "met": 50,
    "late": 10,
    "failed": 0,
    "lost": 0,
    "queue": 1,
    "probability": 0.5,
    "away": False,
}
VIEW = JobView(
    job="shop-3",
    app="shop",
    policy="toof",
    phase="running",
    detail="",
    reasons=(),
    plan={"throughput_per_s": 1.0},
    submitted_s=0.0,
    started_s=0.0,
    ended_s=None,
    waited_s=0.0,
    items=120,
    dropped=0,
    rate_per_s=5.0,
    latency_p50_s=0.1,
    latency_p95_s=0.2,
    mode="offload",
    online={"items": 60, "met": 50, "late": 10, "helpers": {"e2": HELPER}},
    learner=HELD,
)


class FakeScheduler:
    """In place of a Client; learned: jobs that the learner knows."""

    def __init__(self) -> None:
        self.learned = {"shop-2"}

    def __call__(self) -> FakeScheduler:
        return self

    def call(self, method: str, *args: Any) -> Any:
        if method == "jobs":
            return [VIEW]
        assert method == "forget"
        [job] = args
        if job == "shop-3":
            raise BadInputError("shop-3 is running: what it learns can be forgotten once it has ended")
        if job != "shop-2":
            raise BadInputError(f"no job {job!r}; known jobs: shop-2, shop-3")
        known = job in self.learned
        self.learned.discard(job)
        return known


@pytest.fixture(autouse=True)
def scheduler(monkeypatch: pytest.MonkeyPatch) -> FakeScheduler:
    made = FakeScheduler()
    monkeypatch.setattr("edgeray.client.Client", made)
    for module in (forget, jobs):
        monkeypatch.setattr(module, "be_on_head", lambda: None)
    return made


def test_what_the_learner_holds_is_one_line() -> None:
    line = "learner: 120 items, 75 % happy, regret 3.25 by its own estimates, expects most of e2 (90 %)"
    assert learner_line(VIEW) == f"{line}; the newest of 400 ms ago"
    away = replace(VIEW, learner={**HELD, "age_s": 30.0, "away": True})
    assert learner_line(away) == f"{line}; the newest of 30.0 s ago, and it does not answer now"
    assert learner_line(replace(VIEW, learner=None)) is None


def test_of_a_policy_that_estimates_nothing_no_regret_is_told() -> None:
    arms = {name: {**arm, "estimate": None} for name, arm in ARMS.items()}
    plain = replace(VIEW, learner={**HELD, "regret_proxy": None, "arms": arms})
    assert learner_line(plain) == "learner: 120 items, 75 % happy; the newest of 400 ms ago"


def test_it_is_told_while_the_job_runs_and_with_its_end() -> None:
    first, second = progress_line(VIEW).split("\n")
    assert first == "shop-3 running: 60 items, 83 % met their deadline, 10 late or failed"
    assert second.strip() == learner_line(VIEW)
    assert "\n" not in progress_line(replace(VIEW, learner=None))
    done = replace(VIEW, phase="done")
    assert "\n" not in end_line(done)
    console = Console(file=io.StringIO(), width=160)
    console.print(online_table(done))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert [line for line in told.splitlines() if line.startswith("learner:")] == [learner_line(VIEW)]
    assert "e2" in told.splitlines()[3]


def test_of_replicas_it_is_told_who_got_how_many() -> None:
    rows = {f"detect.{n}": {**HELPER, "sent": 40 + n} for n in (1, 2)}
    dealt = {"detect": {"policy": "toof", "items": 83, "met": 80, "helpers": rows}}
    view = replace(VIEW, mode="stream", online=None, learner=None, replicas=dealt)
    assert progress_line(view).endswith("; detect by toof: 96 % in time")
    before = replace(view, replicas={"detect": {**dealt["detect"], "items": 0, "met": 0, "helpers": {}}})
    assert "detect" not in progress_line(before)
    [table] = replica_tables(view)
    console = Console(file=io.StringIO(), width=160)
    console.print(table)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "detect.2" in told and "42" in told
    assert replica_tables(VIEW) == []


def test_of_frames_the_state_that_is_kept_is_told() -> None:
    held = {
        "policy": "djos",
        "items": 0,
        "happy": None,
        "regret_proxy": None,
        "arms": {},
        "age_s": 2.0,
        "away": False,
    }
    frames = replace(VIEW, mode="frames", online={"frames": 9, "users": {}}, learner=held)
    assert learner_line(frames) == "learner: its newest state is of 2.00 s ago"


def test_json_has_all_of_it(tmp_path: Path) -> None:
    [view] = json.loads(edgeray("jobs", "--json", state=tmp_path).stdout)["jobs"]
    assert view["learner"] == HELD


def test_forget(tmp_path: Path, scheduler: FakeScheduler) -> None:
    assert edgeray("forget", "shop-2", state=tmp_path).stdout == "shop-2: what it learned is forgotten\n"
    assert scheduler.learned == set()
    assert edgeray("forget", "shop-2", state=tmp_path).stdout == "shop-2: nothing that it learned is kept\n"


@pytest.mark.parametrize(
    ("job", "told"), [("shop-3", "shop-3 is running"), ("fly", "no job 'fly'; known jobs: shop-2, shop-3")]
)
def test_forget_says_what_cannot_be_forgotten(job: str, told: str, tmp_path: Path) -> None:
    done = edgeray("forget", job, state=tmp_path, code=2)
    assert told in done.stderr and done.stdout == ""
