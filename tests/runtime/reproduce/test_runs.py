"""Rows are computed once, survive what interrupts a run, and become files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from edgeray.cli.reproduce import reproduce
from edgeray.errors import BadInputError, EdgeRayError
from edgeray.reproduce import running
from edgeray.reproduce.experiments import Cell, Experiment, Trial, experiments, trials
from edgeray.reproduce.page import find, write_findings
from edgeray.reproduce.rows import Row, arrival_times, compute
from edgeray.reproduce.running import collect, run_trials
from edgeray.reproduce.store import NAME, Store

POLICIES = ("lr", "joint")


def small(name: str, measure: str, *, jobs: int = 4) -> Experiment:
    cells = tuple(Cell(measure=measure, devices=n, mean_bps=1e6, jobs=jobs) for n in (5, 8))  # type: ignore[arg-type]
    return Experiment(name=name, title=f"Small {name}", axis="devices", x=(5, 8), cells=cells)


SMALL = {"a": small("a", "online"), "c": small("c", "waiting")}


def quiet(done: int, total: int) -> None:
    pass


def small_run(folder: Path, processes: int) -> list[Row]:
    wanted = trials(tuple(SMALL.values()), range(1), POLICIES)
    return collect(wanted, Store(folder), processes, quiet)


def without_measured(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["planning_s"]
    return rows


def test_a_small_run_becomes_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tmp_path / "first"
    rows = small_run(first, processes=2)
    # Two points: two policies each in both experiments, and the bound of the first.
    assert len(rows) == 2 * 2 * 2 + 2
    page = write_findings(find(rows, SMALL, seeds=1, quick=True), first)
    html = page.read_text()
    assert "Small a" in html and "quick run" in html and html.count("data:image/png;base64,") == 4
    assert (first / "figure-a.png").read_bytes().startswith(b"\x89PNG")
    with (first / "figure-a.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["devices"], line["policy"]) for line in lines] == [
        (devices, policy) for devices in ("5", "8") for policy in (*POLICIES, "bound")
    ]
    by_policy = {line["policy"]: float(line["mean_per_s"]) for line in lines if line["devices"] == "8"}
    assert 0 < by_policy["lr"] <= by_policy["joint"] <= by_policy["bound"]

    second = tmp_path / "second"
    write_findings(find(small_run(second, processes=1), SMALL, seeds=1, quick=True), second)
    assert without_measured(first / "rows.csv") == without_measured(second / "rows.csv")

    def nothing_to_do(*arguments: object) -> None:
        raise AssertionError("rows that are there were computed again")

    monkeypatch.setattr(running, "run_trials", nothing_to_do)
    assert small_run(first, processes=2) == rows


def test_planning_counts_and_waiting_is_virtual() -> None:
    cell = SMALL["c"].cells[0]
    row = compute(Trial(cell=cell, seed=0, policy="otfs"))
    assert row.waiting_s is not None and row.planning_s is not None
    assert row.total_waiting_s == row.waiting_s + row.planning_s
    assert row.mean_per_s is None


def test_no_policy_beats_the_bound_however_jobs_arrive() -> None:
    def mean(measure: str, policy: str) -> float:
        cell = Cell(measure=measure, devices=8, mean_bps=1e6, jobs=4)  # type: ignore[arg-type]
        found = compute(Trial(cell=cell, seed=3, policy=policy)).mean_per_s
        assert found is not None
        return found

    bound = mean("bound", "bound")
    assert all(0 < mean(way, policy) <= bound for way in ("online", "batch") for policy in POLICIES)


def test_fewer_jobs_arrive_as_the_first_of_many() -> None:
    many = arrival_times(400, seed=1)
    assert arrival_times(10, seed=1) == many[:10] != arrival_times(10, seed=2)
    assert many[-1] == pytest.approx(800, rel=0.15)


def a_row(seed: int, mean: float = 1.0) -> Row:
    trial = Trial(cell=SMALL["a"].cells[0], seed=seed, policy="lr")
    return Row(trial=trial, mean_per_s=mean, placed=1.0, planning_s=0.25)


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed in range(3):
        store.add(a_row(seed))
    path = tmp_path / NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    again = Store(tmp_path)
    assert list(again.rows.values()) == [a_row(0), a_row(1)]
    again.add(a_row(2))
    assert path.read_bytes() == whole
    assert list(Store(tmp_path).rows.values()) == [a_row(0), a_row(1), a_row(2)]


def test_rows_of_another_version_and_strangers_lines_do_not_count(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(a_row(0))
    path = tmp_path / NAME
    line = json.loads(path.read_text())
    strange = [line | {"fingerprint": "older", "seed": 1}, line | {"colour": "red"}, [1, 2], "row"]
    path.write_text(path.read_text() + "".join(json.dumps(each) + "\n" for each in strange) + "\xff\n")
    assert list(Store(tmp_path).rows.values()) == [a_row(0)]
    assert dict(Store(tmp_path, again=True).rows) == {}
    assert path.read_text() == ""


def test_a_failing_row_is_named_and_the_others_are_kept() -> None:
    cell = SMALL["a"].cells[0]
    kept: list[Row] = []
    with pytest.raises(EdgeRayError, match=r"1 of 2 rows failed.*5 devices, 1 Mbps.*seed 0, policy nonesuch"):
        run_trials([Trial(cell=cell, seed=0, policy=name) for name in ("nonesuch", "lr")], 1, kept.append)
    assert [row.trial.policy for row in kept] == ["lr"]


def test_what_is_run() -> None:
    full, quick = experiments(), experiments(quick=True)
    assert list(full) == list(quick) == ["a", "b", "c", "d", "e", "f", "table"]
    for name, experiment in quick.items():
        assert set(experiment.cells) < set(full[name].cells)
    wanted = trials(tuple(full.values()), range(3), ("lr",))
    assert len(set(wanted)) == len(wanted)
    # The point of 30 devices, 1 Mbps and 50 jobs is on a, d and f, and is run once.
    shared = Cell(measure="online", devices=30, mean_bps=1e6, jobs=50)
    assert sum(trial.cell == shared for trial in wanted) == 3
    assert all(shared in full[name].cells for name in "adf")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"only": "a,z"}, "--only a,z: expected some of a,b,c,d,e,f,table"),
        ({"only": ","}, "expected some of"),
        ({"seeds": 0}, "expected 1 or more"),
        ({"jobs": -1}, "expected 1 or more"),
        ({"out": Path(__file__)}, "expected a folder, found a file"),
    ],
)
def test_wrong_options(options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInputError, match=told):
        reproduce(**options)
