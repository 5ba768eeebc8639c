"""`edgeray compare` of one-shot jobs against a scheduler that is a fake, and how `edgeray jobs` lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cli_command import CLUSTER, ONCE, edgeray
from rich.console import Console

from edgeray.cli import comparing
from edgeray.cli.jobs import jobs_table
from edgeray.scheduler.views import JobView
from edgeray.spec import App, load_app, load_cluster

VIEW = JobView(
    job="survey-1",
    app="survey",
    policy="heft",
    phase="done",
    detail="",
    reasons=(),
    plan={"makespan_s": 2.0, "bound_s": 1.0, "throughput_per_s": 0.5, "tasks": [], "flows": []},
    submitted_s=0.0,
    started_s=0.0,
    ended_s=3.0,
    waited_s=0.0,
    items=0,
    dropped=0,
    rate_per_s=0.0,
    latency_p50_s=None,
    latency_p95_s=None,
    mode="once",
    tasks_done=4,
    tasks_total=4,
    makespan_s=2.5,
)


@dataclass
class FakeClient:
    """A scheduler on which every job is done at once, but for those of policy broken."""

    broken: str | None = None
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def call(self, method: str, *args: Any) -> Any:
        self.calls.append((method, *args))
        if method == "job":
            return replace(VIEW, job=args[0], phase="stopped")
        return {"network": load_cluster(CLUSTER).network, "planning_s": 0.25}.get(method)

    def submit(self, app: App, policy: str, *, lease_s: float | None) -> str:
        self.calls.append(("submit", policy))
        return f"{app.job.id}-{policy}"

    def watch(self, job: str, *, seen: Callable[[JobView], object]) -> JobView:
        seen(replace(VIEW, job=job, phase="running", makespan_s=None))
        self.calls.append(("watched", job))
        if self.broken and job.endswith(self.broken):
            raise KeyboardInterrupt
        return replace(VIEW, job=job)


@pytest.fixture
def app(tmp_path: Path) -> App:
    (tmp_path / "survey.yaml").write_text(ONCE)
    return load_app(tmp_path / "survey.yaml")


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeClient], None]:
    def to(client: FakeClient) -> None:
        monkeypatch.setattr(comparing, "Client", lambda folder: client)
        monkeypatch.setattr(comparing, "emulation", lambda: "a fake")

    return to


def test_each_job_runs_to_its_end_under_each_policy(app: App, connect: Callable[..., None]) -> None:
    client = FakeClient()
    connect(client)
    comparison = comparing.compare_once([app, app], ["heft", "portfolio"])
    steps = [call for call in client.calls if call[0] in ("submit", "watched")]
    assert steps[:4] == [("submit", "heft"), ("watched", "survey-heft")] * 2
    assert [run.policy for run in comparison.runs] == ["heft", "portfolio"]
    assert all(len(run.jobs) == 2 and run.makespan_mean_s == 2.5 for run in comparison.runs)
    assert comparison.runs[0].planning_s == 0.25


def test_an_interrupted_comparison_stops_its_job(app: App, connect: Callable[..., None]) -> None:
    client = FakeClient(broken="heft")
    connect(client)
    with pytest.raises(KeyboardInterrupt):
        comparing.compare_once([app], ["heft"])
    assert ("stop", "survey-heft", "its comparison is done") in client.calls


def test_modes_are_not_mixed(tmp_path: Path) -> None:
    code = "\n".join(f"def {name}(*inputs): return 1" for name in ("read", "left", "right", "join"))
    (tmp_path / "tasks.py").write_text(code)
    text = ONCE.replace("{work: 20}", "{work: 20, run: tasks:read, device: e1}")
    for name in ("left", "right", "join"):
        text = text.replace(f"{name}: {{", f"{name}: {{run: 'tasks:{name}', ")
    (tmp_path / "once.yaml").write_text(text)
    (tmp_path / "stream.yaml").write_text(text.replace("mode: once", "mode: stream"))
    once, stream = tmp_path / "once.yaml", tmp_path / "stream.yaml"
    done = edgeray("compare", once, stream, state=tmp_path / "state", code=2)
    assert "is a stream" in done.stderr and "remedy" in done.stderr
    done = edgeray("compare", once, "--policies", "heft,joint", state=tmp_path / "state", code=2)
    assert "'joint' is for streams" in done.stderr
    assert "edgeray up" in edgeray("compare", once, state=tmp_path / "state", code=1).stderr


def test_jobs_are_listed_by_what_counts_for_them() -> None:
    stream = replace(
        VIEW, job="video-1", mode="stream", items=30, rate_per_s=1.25, latency_p50_s=0.2, makespan_s=None
    )
    running = replace(VIEW, job="survey-2", phase="running", tasks_done=3, makespan_s=None)
    console = Console(width=160)
    with console.capture() as told:
        console.print(jobs_table([stream, VIEW, running]))
    rows = {line.split()[1]: line for line in told.get().splitlines() if "-" in line and "│" in line}
    assert "30 items" in rows["video-1"] and "1.25/s" in rows["video-1"] and "0.50/s" in rows["video-1"]
    assert (
        "4 of 4 tasks" in rows["survey-1"] and "2.50 s" in rows["survey-1"] and "2.00 s" in rows["survey-1"]
    )
    assert "3 of 4 tasks" in rows["survey-2"] and "2.50 s" not in rows["survey-2"]
