"""One-shot jobs on a real testbed: the plan's order and makespan, results, faults; nothing is left behind."""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import pytest
from testbed_session import Session, session_on, until

from edgeray.assets import cache_directory

pytestmark = pytest.mark.testbed

TASKS = """
import time
from pathlib import Path

import numpy as np


def numbers(count):
    return np.arange(count)


def halves(array):
    return {"low": array[: len(array) // 2], "text": "low"}


def note(array, output):
    path = Path(output, "note.txt")
    path.write_text(f"sum {array.sum()}")
    return path


def total(halves, note):
    return {"low": int(halves["low"].sum()), "note": note.read_text()}


def fail(array):
    raise ValueError("no numbers today")


def long(array):
    time.sleep(600)
"""
SMALL = "work: 1MFLOP, memory: 1MB"


def job_file(name: str, last: str) -> str:
    return f"""kind: dataflow
mode: once
name: {name}
tasks:
  numbers: {{device: e4, run: "parts:numbers", args: {{count: 10000}}, {SMALL}}}
  halves: {{device: e2, inputs: {{numbers: 80kB}}, run: "parts:halves", {SMALL}}}
  note: {{device: e1, inputs: {{numbers: 80kB}}, run: "parts:note", args: {{output: "${{OUTPUT_DIR}}"}}, {SMALL}}}
{last}
"""


TOTAL = f'  total: {{inputs: {{halves: 40kB, note: 1kB}}, run: "parts:total", {SMALL}, device: e4}}'
FAIL = f'  fail: {{inputs: {{halves: 40kB}}, run: "parts:fail", {SMALL}}}'
LONG = f'  long: {{device: e2, inputs: {{halves: 40kB}}, run: "parts:long", {SMALL}}}'


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with session_on("cluster/testbed/three.yaml") as session:
        (session.root / "cache").mkdir(exist_ok=True)
        (session.root / "cache" / "originals").symlink_to(cache_directory() / "originals")
        for name, last in (("sums", TOTAL), ("failing", FAIL), ("endless", LONG)):
            folder = session.root / name
            folder.mkdir()
            (folder / "parts.py").write_text(TASKS)
            (folder / "job.yaml").write_text(job_file(name, last))
        yield session


@pytest.fixture(scope="module")
def poster(session: Session) -> dict[str, Any]:
    """The poster app, run once; it is profiled first."""
    view: dict[str, Any] = session.json("submit", "apps/poster", "--out", session.root / "out")
    return view


def test_the_picture_comes_back_to_its_submitter(session: Session, poster: dict[str, Any]) -> None:
    assert (poster["phase"], poster["policy"], poster["mode"]) == ("done", "portfolio", "once")
    assert poster["tasks_done"] == poster["tasks_total"] == 11
    paths = {output["task"]: Path(output["path"]) for output in poster["outputs"]}
    assert paths == {
        "poster": session.root / "out" / "poster.png",
        "summary": session.root / "out" / "summary.json",
    }
    assert cv2.imread(str(paths["poster"])).shape == (576 + 110, 768, 3)
    summary = json.loads(paths["summary"].read_text())
    assert summary["frames"] == len(summary["people"]) == 96
    assert 2 < summary["people_mean"] < 8


def test_the_makespan_is_about_what_was_planned(poster: dict[str, Any]) -> None:
    """Within a factor of two: the machine that emulates the devices may be busy with other things."""
    planned_s = poster["plan"]["makespan_s"]
    assert poster["plan"]["bound_s"] <= planned_s
    assert 0.7 * planned_s < poster["makespan_s"] < 2 * planned_s


def test_a_link_carries_one_transfer_at_a_time(session: Session, poster: dict[str, Any]) -> None:
    told = session.json("logs", poster["job"])["stages"]
    times: dict[str, dict[str, datetime]] = defaultdict(dict)
    for text in told.values():
        for at, flow, what in re.findall(r"^(\S+ \S+) INFO flow (\S+) (is sent|has arrived)$", text, re.M):
            times[flow][what] = datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f")
    links: dict[frozenset[str], list[tuple[datetime, datetime]]] = defaultdict(list)
    for flow in poster["plan"]["flows"]:
        spent = times[f"{flow['from']}->{flow['to']}"]
        for hop in pairwise(flow["route"]):
            links[frozenset(hop)].append((spent["is sent"], spent["has arrived"]))
    assert max(map(len, links.values())) >= 3, "the plan sends no two flows over one link; nothing was tested"
    for spans in links.values():
        for (_, end), (begin, _) in pairwise(sorted(spans)):
            assert end <= begin


def test_files_and_values_reach_tasks_and_a_python_program(session: Session) -> None:
    program = session.root / "program.py"
    program.write_text(
        "import edgeray, json\n"
        f"job = edgeray.submit({str(session.root / 'sums')!r})\n"
        f"print(json.dumps([job.results({str(session.root / 'fetched')!r}), job.status().policy]))\n"
    )
    told = json.loads(session.run("exec", "--", sys.executable, program))
    assert told == [{"total": {"low": sum(range(5000)), "note": f"sum {sum(range(10_000))}"}}, "portfolio"]


def test_a_ray_dag_may_run_once(session: Session) -> None:
    program = session.root / "sums" / "dag.py"
    program.write_text(
        "import edgeray, json, ray, parts\n"
        "numbers = ray.remote(parts.numbers).bind(count=100)\n"
        "halves = ray.remote(parts.halves).bind(numbers)\n"
        "job = edgeray.submit(halves, name='halves', mode='once')\n"
        f"print(json.dumps(job.results({str(session.root / 'halved')!r})['halves']['low'].tolist()))\n"
    )
    told = json.loads(session.run("exec", "--", sys.executable, program))
    assert told == list(range(50))


def test_a_task_that_raises_ends_the_job_by_name(session: Session) -> None:
    process = session.start("submit", session.root / "failing")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "task fail raised ValueError: no numbers today" in err
    until(lambda: not session.processes("ray::StageHost"), "no stage is left")


def submit_endless(session: Session) -> str:
    job = session.run("submit", session.root / "endless", "--detach").strip()
    until(lambda: session.job(job)["tasks_done"] == 3, "all tasks but the last have run")
    return job


def test_a_job_is_stopped_in_the_middle_of_a_task(session: Session) -> None:
    job = submit_endless(session)
    assert "stopped" in session.run("stop", job)
    until(lambda: not session.processes("ray::StageHost"), "no stage is left")


def test_a_lost_device_ends_the_job_by_name(session: Session) -> None:
    job = submit_endless(session)
    [node] = session.processes("ray::NodeActor", "e2")
    node.kill()
    view = until(lambda: (v := session.job(job))["phase"] == "failed" and v, "the job has failed")
    assert "e2" in view["detail"]
    until(lambda: not session.processes("ray::StageHost"), "no stage is left")


def test_a_stream_policy_is_refused_with_the_right_ones(session: Session) -> None:
    process = session.start("submit", session.root / "sums", "--policy", "joint")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "portfolio" in err
