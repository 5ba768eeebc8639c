"""`edgeray plan` of one-shot jobs: the timetable in words, as JSON and as a chart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_command import CLUSTER, FIG32, ONCE, edgeray

from edgeray.cli.gantt import MOST_LINES, gantt
from edgeray.cli.plan import MOST_ROWS, print_timetable


@pytest.fixture
def once(tmp_path: Path) -> Path:
    file = tmp_path / "survey.yaml"
    file.write_text(ONCE)
    return file


def chain(tasks: int, devices: int = 2, links: int = 1) -> dict[str, Any]:
    """A plan of tasks one after the other, a second each and half a second for each transfer between them."""
    rows = [
        {"task": f"t{n}", "device": f"d{n % devices}", "start_s": 1.5 * n, "end_s": 1.5 * n + 1}
        for n in range(tasks)
    ]
    flows = [
        {
            "from": f"t{n - 1}",
            "to": f"t{n}",
            "route": [f"d{n % links}", f"x{n % links}"],
            "rate_bps": 1e6,
            "item_bytes": 62_500,
            "start_s": 1.5 * n - 0.5,
            "end_s": 1.5 * n,
        }
        for n in range(1, tasks)
    ]
    end_s = rows[-1]["end_s"]
    return {
        "name": "chain",
        "mode": "once",
        "makespan_s": end_s,
        "bound_s": end_s / 2,
        "contention_free_s": end_s,
        "tasks": rows,
        "flows": flows,
    }


def test_json_of_a_one_shot_plan(once: Path, tmp_path: Path) -> None:
    done = edgeray("plan", once, "--cluster", CLUSTER, "--policy", "heft", "--json", state=tmp_path)
    answer = json.loads(done.stdout)
    assert answer["policy"] == "heft" and answer["feasible"] is True
    [job] = answer["jobs"]
    assert job["mode"] == "once"
    assert job["makespan_s"] >= job["contention_free_s"] > 0
    assert job["makespan_s"] >= job["bound_s"] > 0
    starts = {row["task"]: row["start_s"] for row in job["tasks"]}
    assert set(starts) == {"read", "left", "right", "join"}
    assert max(row["end_s"] for row in job["tasks"]) == job["makespan_s"]
    assert all(row["device"] == job["placement"][row["task"]] for row in job["tasks"])
    for flow in job["flows"]:
        assert 0 <= flow["start_s"] < flow["end_s"] <= starts[flow["to"]]


def test_one_shot_jobs_go_by_portfolio_unless_told_otherwise(once: Path, tmp_path: Path) -> None:
    told = edgeray("plan", once, "--cluster", CLUSTER, state=tmp_path).stdout
    assert "survey by portfolio: 4 tasks" in told
    assert "bound of" in told and "if transfers never waited" in told
    assert "read━" in told


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("joint", "'joint' is for streams, not for one-shot jobs (mode: once); expected one of heft, cpop"),
        ("best", "unknown policy 'best'"),
    ],
)
def test_policies_of_the_other_mode_are_refused(once: Path, policy: str, told: str, tmp_path: Path) -> None:
    done = edgeray("plan", once, "--cluster", CLUSTER, "--policy", policy, state=tmp_path, code=2)
    assert told in done.stderr and "remedy" in done.stderr


def test_streams_refuse_one_shot_policies(tmp_path: Path) -> None:
    done = edgeray("plan", FIG32, "--cluster", CLUSTER, "--policy", "heft", state=tmp_path, code=2)
    assert "'heft' is for one-shot jobs (mode: once), not for streams; expected one of lr, br" in done.stderr


def test_jobs_of_both_modes_are_two_calls(once: Path, tmp_path: Path) -> None:
    done = edgeray("plan", FIG32, once, "--cluster", CLUSTER, state=tmp_path, code=2)
    assert "is a stream and" in done.stderr and "a call for each" in done.stderr


def test_chart_names_what_fits_and_keeps_to_the_width() -> None:
    *lines, axis = gantt(chain(4), 80).plain.splitlines()
    assert [line.partition("│")[0].strip() for line in lines] == ["d0", "d1", "d0-x0"]
    assert all(len(line) <= 80 for line in lines)
    cells = lines[0].partition("│")[2]
    assert cells.startswith("t0━") and cells.index("t2━") > cells.index("╸")
    assert "t1━" in lines[1] and "t1━" not in lines[0]
    assert axis.endswith("5.50 s")


def test_chart_shades_by_how_much_is_filled() -> None:
    busy, link = gantt(chain(1000, devices=1), 60).plain.splitlines()[:2]
    assert set(busy.partition("│")[2]) <= set("▓▒█│")
    assert set(link.partition("│")[2]) <= set("▒░▓ │")


def test_chart_of_many_devices_shows_the_busiest() -> None:
    lines = gantt(chain(200, devices=50, links=40), 100).plain.splitlines()
    assert len(lines) == 2 * (MOST_LINES + 1) + 1
    assert "26 more devices" in lines[MOST_LINES] and "16 more links" in lines[-2]


def test_chart_of_nothing_that_takes_time() -> None:
    plan = chain(1)
    plan["makespan_s"] = plan["tasks"][0]["end_s"] = 0.0
    assert gantt(plan, 40).plain.splitlines()[0].startswith("d0 │")


def test_a_thousand_tasks_do_not_flood_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_timetable(chain(1000), "portfolio")
    told = capsys.readouterr().out
    assert len(told.splitlines()) < MOST_ROWS + 15
    assert "chain by portfolio: 1000 tasks, 999 transfers between devices" in told
    assert f"{1999 - MOST_ROWS} more" in told
    assert " t0 " in told and " t999 " in told and " t500 " not in told
    assert "100.0% above the bound" in told
