"""Batch training and fog training by `edgeray submit` and `compare`, on a scheduler that is a fake: what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_command import edgeray
from training_scheduler import CUTS, DONE, PLAN, ROOT, VIEW, FakeScheduler, lines, round_json

from edgeray.cli.training import TrainingWatch, remedy, round_line, summary_lines
from edgeray.scheduler.views import JobView
from edgeray.telemetry.rounds import RoundsReader

CYCLE_PLAN = {**PLAN, "placement": {"server": "server", "learner-c1": "c1", "learner-c2": "c2"}}
CYCLES = replace(VIEW, mode="batches", plan=CYCLE_PLAN, job="mel-1")
FOG_JOB = """
kind: fog-training
model: mlp
dataset: fashion-mnist
intervals: 60
interval: 1s
aggregate: 10
collect: 12
"""
FOG_PLAN = {"mode": "fog", "placement": {"server": "server", "device-c1": "c1"}, "flows": []}
FOG = replace(VIEW, mode="fog", plan=FOG_PLAN, job="fog-1")


def a_cycle(number: int, seconds_s: float = 10.6, **changes: Any) -> dict[str, Any]:
    made = round_json(
        number, seconds_s, iterations=12, predicted_s={"learner-c1": 10.8, "learner-c2": 4.0}, movement={}
    )
    return {**made, **changes}


def a_fog_round(number: int, **changes: Any) -> dict[str, Any]:
    """Of a device that collects 123 points, at a cost of 1.2."""
    moved = {
        **{"collected": 123, "kept": 80, "sent": 40, "discarded": 3, "arrived": 40, "processed": 120},
        **{"process_cost": 1.0, "transfer_cost": 0.05, "discard_cost": 0.15},
    }
    made = round_json(number, iterations=None, predicted_s={}, movement={"device-c1": moved})
    return {**made, **changes}


def watched(view: JobView, rounds: Sequence[dict[str, Any]], asked: int) -> tuple[str, list[str]]:
    """The line of a job whose server has written these rounds, and what was told for good."""
    told: list[str] = []
    scheduler = FakeScheduler(written=lines(rounds))
    line = TrainingWatch(scheduler.call, asked, told.append).line(view)
    return re.sub(r"for \d+ s", "for a while", line), told


def test_a_cycle_is_told_by_its_iterations_and_its_own_prediction() -> None:
    assert round_line(a_cycle(3), 10, CYCLE_PLAN) == (
        "cycle 3 of 10: 12 iterations, loss 1.00, accuracy 60.0 %, 10.60 s (10.80 s predicted)"
    )
    alone = a_cycle(1, iterations=1, accuracy=None, dropped={"learner-c2": "it had not finished after 12 s"})
    assert round_line(alone, 10, CYCLE_PLAN).splitlines() == [
        "cycle 1 of 10: 1 iteration, loss 3.00, 10.60 s (10.80 s predicted)",
        "  dropped c2: it had not finished after 12 s",
    ]


def test_a_cycle_that_runs_is_told_with_what_is_known_of_it() -> None:
    line, told = watched(CYCLES, [], 10)
    assert line == "mel-1 running: cycle 1 of 10 for a while (10.00 s predicted)" and told == []
    line, told = watched(CYCLES, [a_cycle(1), a_cycle(2)], 10)
    assert line == "mel-1 running: cycle 3 of 10 for a while (10.80 s predicted of the one before)"
    assert [each.split(":")[0] for each in told] == ["cycle 1 of 10", "cycle 2 of 10"]
    assert watched(CYCLES, [a_cycle(1), a_cycle(2)], 2)[0] == "mel-1: all 2 cycles are done"


def test_cycles_are_summed_up() -> None:
    rounds = [
        a_cycle(1, 20.0),
        a_cycle(2, 10.8),
        a_cycle(3, 12.0, iterations=14, dropped={"learner-c2": "late"}),
    ]
    view = replace(DONE, mode="batches", plan=CYCLE_PLAN, job="mel-1")
    assert summary_lines(view, rounds, 3) == [
        "mel-1 done: 3 of 3 cycles, loss 1.00, accuracy 60.0 %",
        "  a cycle: 11.40 s measured (median); 1.06 times the 10.80 s predicted; "
        "1.43 times the 8.00 s T_LB, under which no round can be",
        "  12 iterations in a cycle (median); 1 time a learner was dropped from one",
    ]
    assert "goes on after cycle 3" in remedy("apps/batch-training", "mel-1", rounds, None)


def test_a_round_of_fog_training_is_told_by_its_points() -> None:
    assert round_line(a_fog_round(2), 6, FOG_PLAN) == (
        "round 2 of 6: loss 1.50, accuracy 40.0 %, 120 points processed, 40 sent, 3 discarded, cost 1.20"
    )
    idle = a_fog_round(1, samples=0, loss=0.0, accuracy=None)
    assert round_line(idle, 6, FOG_PLAN).startswith("round 1 of 6: loss –, 120 points"), "nobody trained"


def test_fog_training_is_followed_though_nobody_planned_its_rounds() -> None:
    scheduler = FakeScheduler(written=lines([a_fog_round(1)]))
    assert RoundsReader(scheduler.call).read(FOG) == [a_fog_round(1)]
    line, told = watched(FOG, [a_fog_round(1)], 6)
    assert line == "fog-1 running: round 2 of 6 for a while" and len(told) == 1
    assert summary_lines(replace(FOG, phase="done"), [a_fog_round(1), a_fog_round(2)], 6) == [
        "fog-1 done: 2 of 6 rounds, loss 1.50, accuracy 40.0 %",
        "  cost 2.40: 2.00 of processing, 0.100 of transfers, 0.300 of discards",
        "  246 points collected: 240 processed, 80 sent, 6 discarded",
    ]


def test_policies_of_batch_training_are_compared_by_cycles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def course(*right: float) -> list[tuple[bytes, JobView]]:
        cycles = [a_cycle(number, accuracy=each) for number, each in enumerate(right, start=1)]
        return [(lines(cycles), replace(DONE, mode="batches", plan=CYCLE_PLAN))]

    courses = {"eta": course(0.2, 0.4, 0.6), "mel-exact": course(0.5, 0.7, 0.8)}
    scheduler = FakeScheduler(by_policy=courses, profile=CUTS).put_up(monkeypatch)
    done = edgeray(
        *("compare", ROOT / "apps" / "batch-training", "--policies", "eta,mel-exact", "--rounds", 3),
        *("--cycle", "9s", "--out", tmp_path / "out"),
        state=tmp_path,
    )
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in done.stdout.splitlines() if line.strip()}
    assert rows["mel-exact"].endswith("80.0 % 2 67 % 3/3") and rows["eta"].endswith("60.0 % 3 100 % 3/3")
    assert "mel-exact: cycle 2 of 3: 12 iterations" in done.stderr
    cycles = scheduler.apps[0].job.training.cycles  # type: ignore[union-attr]
    assert cycles is not None and cycles.cycle_s == 9
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert told["runs"][0]["jobs"][0]["mode"] == "batches"


def test_policies_of_fog_training_are_compared_by_costs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def course(cost: float) -> list[tuple[bytes, JobView]]:
        rounds = [a_fog_round(number) for number in (1, 2)]
        for each in rounds:
            each["movement"]["device-c1"]["process_cost"] = cost - 0.2
        return [(lines(rounds), replace(DONE, mode="fog", plan=FOG_PLAN))]

    courses = {"local": course(2.0), "network-aware": course(1.0)}
    FakeScheduler(by_policy=courses, profile=CUTS).put_up(monkeypatch)
    job = tmp_path / "job.yaml"
    job.write_text(FOG_JOB)
    done = edgeray(
        *("compare", job, "--policies", "local,network-aware", "--out", tmp_path / "out"), state=tmp_path
    )
    assert "network-aware 2.00 1.60 0.100" in " ".join(done.stdout.split())
    assert "local: round 2 of 6: loss 1.50" in done.stderr
    assert "costs 50 % less than local" in (tmp_path / "out" / "report.html").read_text()
