"""Batch training on a real testbed: cycles over shaped flows, a learner that is killed, a cycle that is too short."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from testbed_session import REPO, Session, session_on, until

pytestmark = [pytest.mark.testbed, pytest.mark.timeout(600)]

JOB = """
kind: batch-training
name: NAME
model: {run: own:network, args: {width: 64, blocks: 4}}
dataset: {run: "own:spirals"}
loss: own:smoothed
optimizer: adam
samples: 600
cycles: CYCLES
cycle: CYCLE
margin: 0.3
"""


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with session_on(str(REPO / "cluster" / "testbed" / "three.yaml")) as session:
        for name, cycles, cycle in (("short", 3, "5s"), ("long", 60, "5s"), ("none", 3, "0.2s")):
            folder = session.root / name
            folder.mkdir()
            shutil.copy(REPO / "apps" / "split-training" / "own.py", folder)
            text = JOB.replace("NAME", name).replace("CYCLES", str(cycles)).replace("CYCLE", cycle)
            (folder / "job.yaml").write_text(text)
        session.run("profile", session.root / "short")
        yield session


def cycles_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def test_policies_are_compared_in_cycles(session: Session) -> None:
    out = session.root / "report"
    told = session.json("compare", session.root / "short", "--policies", "eta,mel-exact", "--out", out)
    runs = {run["policy"]: run["jobs"][0] for run in told["runs"]}
    for run in runs.values():
        assert run["failure"] is None and len(run["rounds"]) == 3
        for each in run["rounds"]:
            assert each["iterations"] >= 1
            in_time = {client["client"] for client in each["clients"]}
            assert in_time | set(each["dropped"]) == set(each["predicted_s"])
            if not each["dropped"]:
                assert each["samples"] == 600
        assert run["rounds"][-1]["loss"] < run["rounds"][0]["loss"]
    first = {policy: run["rounds"][0] for policy, run in runs.items()}
    assert first["mel-exact"]["iterations"] >= first["eta"]["iterations"]
    assert (out / "report.html").exists()


def test_the_plan_is_that_of_the_first_cycle(session: Session) -> None:
    planned = session.json("plan", session.root / "short", "--policy", "eta")
    assert planned["feasible"] and planned["batches"] == [300, 300]
    out = session.root / "out"
    view = session.json("submit", session.root / "short", "--policy", "eta", "--out", out)
    assert view["phase"] == "done" and view["rounds_done"] == 3
    cycle = view["plan"]["rounds"]["cycle"]
    assert cycle["iterations"] == planned["tau"] == cycles_in(out)[0]["iterations"]
    assert cycle["samples"] == {"e2": 300, "e4": 300}
    weights = torch.load(out / "model.pt", weights_only=True)
    assert weights["0.0.weight"].shape == (64, 2)


def test_flows_have_rates_that_are_ceilings(session: Session) -> None:
    planned = session.json("plan", session.root / "short")
    assert all(row["rate_bps"] > 0 for row in planned["learners"])
    job = session.run("submit", session.root / "long", "--detach").strip()
    until(lambda: session.job(job)["rounds_done"] >= 1, "a cycle", 120)
    flows = session.job(job)["plan"]["flows"]
    assert len(flows) == 4 and all(flow["ceil_bps"] is None for flow in flows)
    session.run("stop", job)


def test_a_killed_learner_is_left_out_and_comes_back(session: Session) -> None:
    job = session.run("submit", session.root / "long", "--policy", "mel-exact", "--detach").strip()
    until(lambda: session.job(job)["rounds_done"] >= 1, "a cycle", 120)
    [stage] = session.processes("ray::StageHost", "e4")
    os.kill(stage.pid, signal.SIGKILL)
    [path] = session.root.rglob(f"{job}/results/rounds.jsonl")

    def story() -> list[set[str]]:
        return [{client["client"] for client in each["clients"]} for each in cycles_in(path.parent)]

    until(lambda: {"learner-e2"} in story(), "a cycle without it", 120)
    without = story().index({"learner-e2"})
    until(lambda: {"learner-e2", "learner-e4"} in story()[without + 1 :], "a cycle with it again", 120)
    alone = cycles_in(path.parent)[without]
    assert alone["samples"] == 600 or "learner-e4" in alone["dropped"]
    session.run("stop", job)


def test_batches_follow_a_device_that_became_slower(session: Session) -> None:
    """Nobody is told that e4 has a fifth of its cores: its next cycles tell, and it gets fewer samples."""
    job = session.run("submit", session.root / "long", "--policy", "mel-exact", "--detach").strip()
    until(lambda: session.job(job)["rounds_done"] >= 3, "three cycles", 120)
    [path] = session.root.rglob(f"{job}/results/rounds.jsonl")

    def samples() -> list[int]:
        """Of e4, in each cycle in which it was in time."""
        return [
            client["samples"]
            for each in cycles_in(path.parent)
            for client in each["clients"]
            if client["client"] == "learner-e4"
        ]

    before = max(samples())
    session.run("throttle", "e4", "--cpus", "0.04")
    try:
        until(lambda: samples()[-1] < before / 2, "half of the samples", 180)
    finally:
        session.run("throttle", "e4", "--cpus", "0.2")
    session.run("stop", job)


def test_a_cycle_that_is_too_short_names_the_shortest(session: Session) -> None:
    refused = session.json("plan", session.root / "none", code=1)
    assert not refused["feasible"]
    assert any("shortest cycle" in reason for reason in refused["reasons"])
    shortest_s = refused["shortest_cycle_s"]
    out = session.root / "one"
    told = session.json(
        "compare", session.root / "none", "--policies", "mel-exact", "--rounds", 1,
        "--cycle", f"{3 * shortest_s:.2f}s", "--out", out,
    )  # fmt: skip
    (run,) = told["runs"][0]["jobs"]
    assert run["failure"] is None and len(run["rounds"]) == 1


def test_nothing_is_left(session: Session) -> None:
    until(lambda: not session.processes("ray::StageHost"), "no stage is left")
    assert all(view["phase"] in ("done", "stopped", "failed") for view in session.json("jobs")["jobs"])
