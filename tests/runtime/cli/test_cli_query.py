"""`edgeray query` on a scheduler that is a fake: jobs by id and by app, what is chosen, what is missing, exit codes."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_command import ROOT, edgeray
from training_scheduler import VIEW

from edgeray.cli import query
from edgeray.errors import BadInputError

APP = "apps/reid"
NOON_S = time.mktime((2024, 5, 6, 12, 0, 0, 0, 0, -1))
JOBS = [
    replace(VIEW, job="reid-9", app="reid", submitted_s=30.0),
    replace(VIEW, job="reid-10", app="reid", submitted_s=40.0),
    replace(VIEW, job="other-11", app="other", submitted_s=50.0),
]


def visit(camera: str, device: str, from_s: float, to_s: float, frames: int = 5) -> dict[str, Any]:
    times = {"from_s": NOON_S + from_s, "to_s": NOON_S + to_s}
    return {"person": 7, "camera": camera, "device": device, **times, "tracks": [1], "frames": frames}


VISITS = [visit("gate", "n1", 0, 61), visit("yard[1]", "n2", 70, 80, 12), visit("gate", "n3", 3600, 3605)]
PERSONS = [
    {"person": 3, "visits": 1, "cameras": ["yard[1]"], "first_s": NOON_S, "last_s": NOON_S + 5},
    {"person": 7, "visits": 3, "cameras": ["gate", "yard[1]"], "first_s": NOON_S, "last_s": NOON_S + 3605},
]


class FakeScheduler:
    """In place of a Client."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.missing: list[dict[str, Any]] = []
        self.persons = PERSONS

    def __call__(self) -> FakeScheduler:
        return self

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        if method == "jobs":
            return JOBS
        assert method == "query"
        self.asked.append(args)
        job, person = args
        if job not in {view.job for view in JOBS}:
            raise BadInputError(f"no job {job!r}; known jobs: reid-9\n  remedy:   see `edgeray jobs`")
        rows = {"persons": self.persons} if person is None else {"visits": VISITS if person == 7 else []}
        told = {"missing": self.missing, "complete": not self.missing}
        return {"job": job, "person": person, **rows, "known": len(self.persons), **told}


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> FakeScheduler:
    fake = FakeScheduler()
    monkeypatch.setattr("edgeray.client.Client", fake)
    monkeypatch.setattr(query, "be_on_head", lambda: None)
    return fake


def now_is(monkeypatch: pytest.MonkeyPatch, after_noon_s: float) -> None:
    monkeypatch.setattr(query.time, "time", lambda: NOON_S + after_noon_s)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]]


def rows(text: str) -> list[list[str]]:
    return [cells(line) for line in text.splitlines() if "│" in line]


def test_a_persons_visits_are_a_table_in_local_time(scheduler: FakeScheduler, tmp_path: Path) -> None:
    done = edgeray("query", "reid-9", "--person", "7", state=tmp_path)
    assert "person 7 of reid-9" in done.stdout
    assert rows(done.stdout) == [
        ["gate", "n1", "2024-05-06 12:00:00", "2024-05-06 12:01:01", "5"],
        ["yard[1]", "n2", "2024-05-06 12:01:10", "2024-05-06 12:01:20", "12"],
        ["gate", "n3", "2024-05-06 13:00:00", "2024-05-06 13:00:05", "5"],
    ]
    assert done.stderr == ""
    assert scheduler.asked == [("reid-9", 7)]


def test_times_of_today_are_shown_without_the_date() -> None:
    today = time.localtime()
    at_s = time.mktime((*today[:3], 0, 0, 1, 0, 0, -1))
    assert query._time_text(at_s) == "00:00:01"
    assert query._time_text(at_s - 3600).endswith(" 23:00:01")


def test_without_a_person_everybody_is_listed(scheduler: FakeScheduler, tmp_path: Path) -> None:
    done = edgeray("query", "reid-9", state=tmp_path)
    assert rows(done.stdout) == [
        ["3", "1", "yard[1]", "2024-05-06 12:00:00", "2024-05-06 12:00:05"],
        ["7", "3", "gate, yard[1]", "2024-05-06 12:00:00", "2024-05-06 13:00:05"],
    ]
    assert scheduler.asked == [("reid-9", None)]


def test_where_nobody_was_identified_it_says_so(scheduler: FakeScheduler, tmp_path: Path) -> None:
    scheduler.persons = []
    done = edgeray("query", "reid-9", state=tmp_path)
    assert done.stderr == "nobody has been identified in reid-9\n"
    assert json.loads(edgeray("query", "reid-9", "--json", state=tmp_path).stdout)["persons"] == []


def test_of_an_app_the_job_that_was_submitted_last_is_asked(scheduler: FakeScheduler, tmp_path: Path) -> None:
    for given in (APP, f"{APP}/job.yaml", ROOT / APP):
        edgeray("query", given, "--person", "7", state=tmp_path)
    assert scheduler.asked == [("reid-10", 7)] * 3
    renamed = tmp_path / "other.yaml"  # without a name of its own: the file's
    renamed.write_text("kind: streams\ncameras: {}\n")
    edgeray("query", renamed, state=tmp_path)
    assert scheduler.asked[-1] == ("other-11", None)


def test_a_job_id_that_is_also_a_folder_is_a_job(
    scheduler: FakeScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reid-9").mkdir()  # where `edgeray submit` left its results, say
    monkeypatch.setattr("cli_command.ROOT", tmp_path)
    edgeray("query", "reid-9", state=tmp_path)
    assert scheduler.asked == [("reid-9", None)]


def test_json_is_one_object_and_nothing_else(scheduler: FakeScheduler, tmp_path: Path) -> None:
    scheduler.missing = [{"device": "n4", "synced_s": NOON_S}]
    done = edgeray("query", "reid-9", "--person", "7", "--json", state=tmp_path)
    assert json.loads(done.stdout) == {
        "job": "reid-9",
        "person": 7,
        "visits": VISITS,
        "complete": False,
        "missing": [{"device": "n4", "synced_s": NOON_S}],
    }
    everybody = json.loads(edgeray("query", "reid-9", "--json", state=tmp_path).stdout)
    assert (everybody["person"], everybody["persons"]) == (None, PERSONS)


def test_devices_that_are_missing_are_named_on_stderr(scheduler: FakeScheduler, tmp_path: Path) -> None:
    scheduler.missing = [{"device": "n4", "synced_s": NOON_S}, {"device": "n5", "synced_s": None}]
    done = edgeray("query", "reid-9", "--person", "7", state=tmp_path)
    assert done.stderr.splitlines() == [
        "missing: n4 does not answer; nothing that it saw after 2024-05-06 12:00:00 is in here",
        "missing: n5 does not answer; nothing of what it saw is in here",
    ]
    assert len(rows(done.stdout)) == len(VISITS)


def test_camera_and_since_choose_visits_and_persons(
    scheduler: FakeScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_is(monkeypatch, 681.0)

    def shown(*options: object) -> list[dict[str, Any]]:
        told = json.loads(edgeray("query", "reid-9", *options, "--json", state=tmp_path).stdout)
        return told["visits"] if "visits" in told else told["persons"]  # type: ignore[no-any-return]

    gate = ["--person", 7, "--camera", "gate"]
    assert shown(*gate) == [VISITS[0], VISITS[2]]
    assert shown("--person", 7, "--since", "10min") == VISITS[2:]  # until 12:01:21
    assert shown("--person", 7, "--since", "601s") == VISITS[1:]
    assert shown("--person", 7, "--since", "0.2h") == VISITS
    assert shown(*gate, "--since", "10min") == VISITS[2:]
    assert shown("--camera", "gate") == PERSONS[1:]
    assert shown("--since", "10min") == PERSONS[1:]
    assert shown("--since", "1h") == PERSONS
    assert shown("--camera", "none") == []


@pytest.mark.parametrize(
    ("persons", "told"),
    [
        ([], "nobody has been identified"),
        (PERSONS[:1], "there is 1 person"),
        (PERSONS, "there are 2 persons"),
    ],
)
@pytest.mark.parametrize("how", [(), ("--json",)])
def test_a_person_that_nobody_knows_is_an_error_that_tells_how_many_there_are(
    scheduler: FakeScheduler, tmp_path: Path, persons: list[dict[str, Any]], told: str, how: tuple[str, ...]
) -> None:
    scheduler.persons, scheduler.missing = persons, [{"device": "n5", "synced_s": None}]
    done = edgeray("query", "reid-9", "--person", "99", *how, state=tmp_path, code=1)
    assert f"error: no person 99 in reid-9: {told}\n  remedy:   `edgeray query reid-9`" in done.stderr
    assert "missing: n5" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("reid-77",), "error: no job 'reid-77'; known jobs: reid-9"),
        (("x" * 5000,), "error: no job 'xxx"),
        (("tests",), "job.yaml"),
        (
            ("apps/split-training",),
            "no job of lenet has been submitted to this cluster\n  expected: an app",
        ),
        (("reid-9", "--since", "yesterday"), "error: --since yesterday: it "),
        (("reid-9", "--since", "-5s"), "error: --since -5s: it "),
        (("reid-9", "--person", "seven"), "--person"),
        (("reid-9", "--person", "-1"), "--person"),
        ((), "APP_OR_JOB"),
    ],
)
def test_bad_input_is_told_as_such(
    scheduler: FakeScheduler, tmp_path: Path, args: tuple[str, ...], told: str
) -> None:
    done = edgeray("query", *args, state=tmp_path, code=2)
    assert told in done.stderr
    assert done.stdout == ""
