"""query: where a person went, as the cameras of a job saw it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from edgeray.cli.console import print_json, say, stdout
from edgeray.cli.enter import be_on_head
from edgeray.errors import BadInputError, EdgeRayError

if TYPE_CHECKING:
    from edgeray.scheduler.views import JobView

QUERY_TIMEOUT_S = 60.0
Row = Mapping[str, Any]


def add_commands(app: typer.Typer) -> None:
    app.command()(query)


def query(
    job: Annotated[
        str,
        typer.Argument(
            metavar="APP_OR_JOB",
            help="A job's id, as `edgeray jobs` shows it; or an app's folder or job file: then its latest job.",
        ),
    ],
    person: Annotated[
        int | None, typer.Option(min=0, help="The person's number. Without it: everybody who was seen.")
    ] = None,
    camera: Annotated[str | None, typer.Option(help="Only what this camera saw.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only who was still seen so long ago, say 10min or 2h.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")
    ] = False,
) -> None:
    """Where a person went: camera, device, from when to when. Works while the job runs and after it has ended.

    Devices are asked for what they have not yet brought to the head. Those that do not answer are named on stderr:
    what only they know is not in the answer. Times are this machine's local ones.
    """
    since_s = None if since is None else time.time() - _seconds(since)
    be_on_head()
    from edgeray.client import Client

    client = Client()
    name = _job_of(client.call("jobs"), job)
    told = client.call("query", name, person, timeout_s=QUERY_TIMEOUT_S)
    _warn(told["missing"])
    if person is not None and not told["visits"]:
        raise EdgeRayError(_nobody(name, person, told["known"]))
    shown = _chosen(told, camera, since_s)
    if as_json:
        print_json(shown)
    elif person is None and not told["persons"]:
        say(f"nobody has been identified in {name}")
    elif person is None:
        stdout.print(persons_table(name, shown["persons"]))
    else:
        stdout.print(visits_table(name, person, shown["visits"]))


def persons_table(job: str, rows: Sequence[Row]) -> Table:
    """Everybody who was seen."""
    table = Table(title=f"persons of {job}", title_justify="left")
    for column in ("person", "visits"):
        table.add_column(column, justify="right")
    for column in ("cameras", "first seen", "last seen"):
        table.add_column(column)
    for row in rows:
        times = _time_text(row["first_s"]), _time_text(row["last_s"])
        table.add_row(str(row["person"]), str(row["visits"]), Text(", ".join(row["cameras"])), *times)
    return table


def visits_table(job: str, person: int, rows: Sequence[Row]) -> Table:
    """One person's visits, in order of time."""
    table = Table(title=f"person {person} of {job}", title_justify="left")
    for column in ("camera", "device", "from", "to"):
        table.add_column(column)
    table.add_column("frames", justify="right")
    for row in rows:
        times = _time_text(row["from_s"]), _time_text(row["to_s"])
        table.add_row(Text(row["camera"]), Text(row["device"]), *times, str(row["frames"]))
    return table


def _seconds(text: str) -> float:
    from edgeray.spec.units import VIRTUAL_SECONDS, UnitError

    try:
        return VIRTUAL_SECONDS.parse(text)
    except UnitError as error:
        raise BadInputError(
            f"--since {text}: it {error.problem}\n  expected: {error.expected}\n  remedy:   {error.remedy}"
        ) from error


def _job_of(views: Sequence[JobView], given: str) -> str:
    """The job of this id, else the one of the app there that was submitted last; else what was given.

    Raises BadInputError for an app that has no job here, SpecError for a folder that holds none.
    """
    if any(view.job == given for view in views):  # results may lie in a folder of the job's name
        return given
    app = _app_named(given)
    if app is None:
        return given
    jobs = [view for view in views if view.app == app]
    if not jobs:
        raise BadInputError(
            f"no job of {app} has been submitted to this cluster\n"
            "  expected: an app that runs or has run here, or a job's id\n"
            "  remedy:   see `edgeray jobs`, or `edgeray submit` it"
        )
    return max(jobs, key=lambda view: view.submitted_s).job


def _app_named(given: str) -> str | None:
    """The name of the app in a folder or job file; None where there is neither. Raises SpecError."""
    path = Path(given)
    try:
        if not path.exists():
            return None
    except OSError:  # it is too long for a path, say
        return None
    from edgeray.spec.job_file import find_job_file, job_name
    from edgeray.spec.yaml_file import read_yaml

    document = read_yaml(find_job_file(path), expected="a job file: `kind: streams` and `cameras: ...`")
    named = document.value.get("name")
    return job_name(document, named if isinstance(named, str) else None)


def _chosen(told: Row, camera: str | None, since_s: float | None) -> dict[str, Any]:
    """What was asked for, of what the scheduler told. With a camera, persons keep the sums over all their cameras."""
    shown = {key: value for key, value in told.items() if key != "known"}
    if "visits" in told:
        shown["visits"] = [
            row
            for row in told["visits"]
            if camera in (None, row["camera"]) and (since_s is None or row["to_s"] >= since_s)
        ]
    else:
        shown["persons"] = [
            row
            for row in told["persons"]
            if (camera is None or camera in row["cameras"]) and (since_s is None or row["last_s"] >= since_s)
        ]
    return shown


def _warn(missing: Sequence[Row]) -> None:
    for row in missing:
        last = row["synced_s"]
        known = "nothing of what it saw" if last is None else f"nothing that it saw after {_time_text(last)}"
        say(f"missing: {row['device']} does not answer; {known} is in here")


def _nobody(job: str, person: int, known: int) -> str:
    persons = {0: "nobody has been identified", 1: "there is 1 person"}.get(
        known, f"there are {known} persons"
    )
    return f"no person {person} in {job}: {persons}\n  remedy:   `edgeray query {job}` lists who was seen"


def _time_text(at_s: float) -> str:
    """Local time; with the date unless it is today's."""
    at, today = time.localtime(at_s), time.localtime()
    return time.strftime("%H:%M:%S" if at[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", at)
