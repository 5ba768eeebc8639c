"""`edgeray simulate`: options and trace files in, jobs and loads out, the same bytes every time."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_command import CLUSTER, FIG32, ONCE, ROOT, edgeray, edgeray_process

QUICK = ("--cluster", CLUSTER, "--detail", "rates")


def simulated(*args: object, state: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(edgeray("simulate", *args, "--json", state=state).stdout)
    return told


@pytest.fixture
def once(tmp_path: Path) -> Path:
    file = tmp_path / "survey.yaml"
    file.write_text(ONCE)
    return file


def test_the_motivating_example_runs_as_planned(tmp_path: Path) -> None:
    told = simulated(FIG32, *QUICK, "--policy", "otfa", "--seconds", "100", state=tmp_path)
    assert told["seed"] == 0 and told["scenario"]["until_s"] == 100
    [run] = told["runs"]
    [job] = run["jobs"]
    assert job["throughput_per_s"] == pytest.approx(4)
    assert run["summary"]["mean_per_s"] == job["throughput_per_s"]
    # The bound lets tasks be spread over devices, so it lies above the four that can be reached.
    assert 4 <= run["summary"]["bound_per_s"] < 6
    assert run["device_busy"]["e4"] == pytest.approx(0.8, abs=0.01)  # a takes 5 / 25 s, four times a second


def test_items_and_rates_agree(tmp_path: Path) -> None:
    rates = [
        simulated(FIG32, "--cluster", CLUSTER, "--detail", detail, state=tmp_path)["runs"][0]["summary"][
            "mean_per_s"
        ]
        for detail in ("items", "rates")
    ]
    assert rates[0] == pytest.approx(rates[1], rel=0.1)


def test_the_same_seed_gives_the_same_bytes_in_any_process(once: Path, tmp_path: Path) -> None:
    asked = (FIG32, once, *QUICK, "--jobs", "8", "--arrivals", "poisson:0.5", "--sources", "random")
    told = [
        edgeray_process(
            "simulate", *asked, "--seed", seed, "--json", state=tmp_path, PYTHONHASHSEED=hashes
        ).stdout
        for seed, hashes in ((7, "1"), (7, "2"), (8, "1"))
    ]
    assert told[0] == told[1]
    assert json.loads(told[0])["seed"] == 7
    times = [[job["submitted_s"] for job in json.loads(text)["runs"][0]["jobs"]] for text in told]
    assert times[0] != times[2]


def test_ways_to_arrive_and_to_end(tmp_path: Path) -> None:
    asked = (FIG32, *QUICK, "--jobs", "3", "--arrivals", "every:20s", "--items", "8")
    told = simulated(*asked, state=tmp_path)
    jobs = told["runs"][0]["jobs"]
    assert [job["job"] for job in jobs] == ["fig32", "fig32-2", "fig32-3"]
    assert [job["submitted_s"] for job in jobs] == [0, 20, 40]
    assert all(job["phase"] == "done" and job["items"] == 8 for job in jobs)
    assert told["scenario"]["until_s"] is None
    assert told["runs"][0]["summary"]["bound_per_s"] is None, "they do not run together, so no bound holds"
    [job] = simulated(FIG32, *QUICK, "--job-seconds", "5", state=tmp_path)["runs"][0]["jobs"]
    assert job["ended_s"] - job["started_s"] == pytest.approx(5)


def test_sources_move_as_in_a_comparison(tmp_path: Path) -> None:
    jobs = simulated(FIG32, *QUICK, "--sources", "e4,e2", state=tmp_path)["runs"][0]["jobs"]
    assert [job["plan"]["placement"]["camera"] for job in jobs] == ["e4", "e2"]


def test_one_shot_jobs_end_by_themselves(once: Path, tmp_path: Path) -> None:
    [run] = simulated(once, "--cluster", CLUSTER, state=tmp_path)["runs"]
    [job] = run["jobs"]
    assert job["policy"] == "portfolio" and job["phase"] == "done"
    assert job["makespan_s"] == pytest.approx(job["planned_makespan_s"])
    assert run["summary"]["makespan_mean_s"] == job["makespan_s"]
    assert run["end_s"] == job["ended_s"]


def test_a_named_policy_governs_the_jobs_of_its_mode(once: Path, tmp_path: Path) -> None:
    jobs = simulated(FIG32, once, *QUICK, "--policy", "otfa", state=tmp_path)["runs"][0]["jobs"]
    assert [job["policy"] for job in jobs] == ["otfa", "portfolio"]


def test_policies_side_by_side(tmp_path: Path) -> None:
    asked = (FIG32, *QUICK, "--policies", "lr,joint")
    runs = simulated(*asked, state=tmp_path)["runs"]
    assert [run["policy"] for run in runs] == ["lr", "joint"]
    assert runs[0]["summary"]["mean_per_s"] < runs[1]["summary"]["mean_per_s"]
    told = edgeray("simulate", *asked, state=tmp_path).stdout
    rows = [line.split() for line in told.splitlines() if line.strip().startswith(("lr", "joint"))]
    assert [row[0] for row in rows] == ["lr", "joint"]
    for word in ("mean", "geo", "min", "waited", "of bound"):
        assert word in told


def test_disturbances_and_what_a_person_sees(tmp_path: Path) -> None:
    asked = (
        FIG32,
        "--cluster",
        CLUSTER,
        "--fail",
        "e3@30s",
        "--return",
        "e3@40s",
        "--link",
        "e4-e2=40bps@20",
    )
    done = edgeray("simulate", *asked, state=tmp_path)
    assert "joint: 1 stream on fig32" in done.stdout
    assert "busiest devices: e" in done.stdout and "most loaded links: e2-e4" in done.stdout
    assert "decisions, median" in done.stderr


def test_long_lists_are_summarised(tmp_path: Path) -> None:
    told = edgeray("simulate", FIG32, *QUICK, "--policy", "lr", "--jobs", "100", state=tmp_path).stdout
    assert len(told.splitlines()) < 40
    assert "76 more" in told and "never placed: 99 of 100 jobs" in told


def test_jobs_as_csv(tmp_path: Path) -> None:
    asked = (FIG32, *QUICK, "--policies", "lr,joint", "--out", tmp_path / "out")
    runs = simulated(*asked, state=tmp_path)["runs"]
    with (tmp_path / "out" / "jobs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["job"]) for row in rows] == [("lr", "fig32"), ("joint", "fig32")]
    assert [float(row["throughput_per_s"]) for row in rows] == [
        run["jobs"][0]["throughput_per_s"] for run in runs
    ]


def test_a_trace_says_what_the_options_say(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(FIG32.read_text())
    yaml = tmp_path / "trace.yaml"
    yaml.write_text(
        "events:\n"
        "  - {at: 0, job: job.yaml, policy: otfa}\n"
        "  - {at: 10s, link: e2-e4, capacity: 40bps}\n"
        "  - {at: 20s, fails: e3}\n"
        "  - {at: 30s, returns: e3}\n"
        "  - {at: 31s, job: job.yaml, sources: e2, items: 5, policy: otfa}\n"
    )
    table = tmp_path / "trace.csv"
    table.write_text(
        "at,job,policy,sources,items,fails,returns,link,capacity\n"
        "0,job.yaml,otfa,,,,,,\n10s,,,,,,,e2-e4,40bps\n20s,,,,,e3,,,\n30s,,,,,,e3,,\n31s,job.yaml,otfa,e2,5,,,,\n"
    )
    runs = [
        simulated("--trace", file, *QUICK, "--seconds", "60", state=tmp_path)["runs"]
        for file in (yaml, table)
    ]
    assert runs[0] == runs[1]
    first, second = runs[0][0]["jobs"]
    assert (first["submitted_s"], second["submitted_s"]) == (0, 31)
    assert second["plan"] is None or second["plan"]["placement"]["camera"] == "e2"
    asked = ("--link", "e2-e4=40bps@10", "--fail", "e3@20", "--return", "e3@30")
    alone = simulated(FIG32, "--policy", "otfa", *asked, *QUICK, "--seconds", "31", state=tmp_path)
    cut = simulated("--trace", yaml, *QUICK, "--seconds", "31", state=tmp_path)
    assert alone["runs"][0]["jobs"][0] == cut["runs"][0]["jobs"][0]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "no job arrives"),
        ((FIG32, "--fail", "e9@3"), "--fail e9@3: 'e9' is no device of cluster 'fig32'"),
        ((FIG32, "--fail", "e1"), "--fail e1: expected WHAT@SECONDS"),
        ((FIG32, "--return", "e1@soon"), "--return e1@soon: 'soon' is no number"),
        ((FIG32, "--link", "e1-e9=1Mbps@3"), "'e1-e9' is no link of cluster 'fig32'"),
        ((FIG32, "--link", "e1-e2@3"), "expected LINK=CAPACITY@SECONDS"),
        ((FIG32, "--link", "e1-e2=1MB@3"), "has the unknown unit 'MB'"),
        ((FIG32, "--arrivals", "sometimes"), "expected: together, every:SECONDS"),
        ((FIG32, "--arrivals", "poisson:0"), "is zero"),
        ((FIG32, "--sources", "e4,e7"), "'e7' is no device"),
        ((FIG32, "--seconds", "0"), "--seconds 0"),
        ((FIG32, "--jobs", "0"), "--jobs"),
        ((FIG32, "--detail", "some"), "--detail some"),
        ((FIG32, "--sharing", "none"), "--sharing none"),
        ((FIG32, "--policy", "heft"), "'heft' is for one-shot jobs"),
        ((FIG32, "--policies", "lr,best"), "unknown policy 'best'"),
        ((FIG32, "--policies", "lr,lr"), "distinct names"),
        ((FIG32, "--policies", "lr", "--policy", "br"), "exclude each other"),
        (("--trace", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_bad_options_are_named(args: tuple[object, ...], told: str, tmp_path: Path) -> None:
    done = edgeray("simulate", *args, "--cluster", CLUSTER, state=tmp_path, code=2)
    assert told in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("{at: 1s, fails: e9}", "'e9' is no device of cluster"),
        ("{at: 1s, job: job.yaml, policy: heft}", "'heft' is for one-shot jobs"),
        ("{at: 1s, job: job.yaml, sources: e9}", "'e9' is no device of cluster"),
        ("{at: 1s, link: e1-e4, capacity: 1Mbps}", "'e1-e4' is no link of cluster"),
        ("{at: -1s, fails: e2}", "at of event 2: '-1s' is negative"),
    ],
)
def test_bad_events_are_named_by_line(event: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(FIG32.read_text())
    trace = tmp_path / "trace.yaml"
    trace.write_text(f"events:\n  - {{at: 0, job: job.yaml}}\n  - {event}\n")
    done = edgeray("simulate", "--trace", trace, "--cluster", CLUSTER, state=tmp_path, code=2)
    assert f"{trace}:3: " in done.stderr and told in done.stderr


def test_policies_of_a_trace_are_not_compared(tmp_path: Path) -> None:
    trace = tmp_path / "trace.yaml"
    trace.write_text(f"events:\n  - {{at: 0, job: {FIG32}, policy: lr}}\n")
    asked = ("--trace", trace, "--cluster", CLUSTER, "--policies", "lr,br")
    assert "compare nothing" in edgeray("simulate", *asked, state=tmp_path, code=2).stderr


def test_simulating_does_not_need_ray(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['ray'] = None; sys.argv = ['edgeray', 'simulate', "
        f"{str(FIG32)!r}, '--cluster', {str(CLUSTER)!r}, '--json']; from edgeray.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
