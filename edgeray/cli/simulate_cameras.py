"""simulate, of jobs that watch cameras: frame by frame under a virtual clock, policies side by side."""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from edgeray import __version__
from edgeray.cli.console import print_json, seconds_text, stderr, stdout
from edgeray.errors import BadInputError

if TYPE_CHECKING:
    from edgeray.simulator import SimulatedCameras
    from edgeray.simulator.watching import Feeding
    from edgeray.spec import App, Cluster
    from policies.model import CameraId

SECONDS = 300.0
HEADER = ["seconds", "camera", "people"]


def simulate_streams(
    jobs: Sequence[Path],
    cluster: Cluster,
    policies: Sequence[str | None],
    *,
    seconds: float | None,
    people: Path | None,
    as_json: bool,
) -> bool:
    """Simulate the one job that watches cameras by each policy (None: the default). Whether all of them had a plan.

    people: a CSV file of how many are to be re-identified a frame, by camera, from each time on.
    """
    from edgeray.planning import chosen_policy, workload_of
    from edgeray.profiler import ProfileStore
    from edgeray.simulator import Course, simulate_cameras
    from edgeray.spec import load_on

    if len(jobs) > 1:
        raise BadInputError(
            f"{len(jobs)} jobs, of which one watches cameras\n"
            "  expected: a job that watches cameras alone: it is simulated on an idle network\n"
            "  remedy:   a call for each"
        )
    with stderr.status("reading"):
        app = load_on(jobs[0], cluster)
        workload = workload_of(app, cluster, ProfileStore())
    cameras = {} if app.job.streams is None else {c.id: c.calls_per_frame for c in app.job.streams.cameras}
    course = Course(
        seconds=SECONDS if seconds is None else seconds,
        people=None if people is None else scripted(people, cameras),
        feeding=feeding(app),
    )
    names = [chosen_policy(policy, app.job.mode) for policy in policies]
    runs = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,
    ) as bar:
        for name in bar.track(names, description="simulating"):
            runs.append(simulate_cameras(workload, cluster.network, name, course))
    if as_json:
        print_json(
            {
                "edgeray": __version__,
                "scenario": {
                    "job": app.job.id,
                    "cluster": str(cluster.file),
                    "seconds": course.seconds,
                    "people": None if people is None else str(people),
                },
                "runs": [run.as_json() for run in runs],
            }
        )
    else:
        _print(runs, app.job.id, cluster.name)
    return all(run.plan is not None for run in runs)


def refuse_options(given: Mapping[str, bool]) -> None:
    """given: options of other kinds of jobs, and whether they were used."""
    used = [option for option, asked in given.items() if asked]
    if used:
        raise BadInputError(
            f"{', '.join(used)}: not for jobs that watch cameras\n"
            "  expected: --cluster, --policy or --policies, --seconds, --people, --json\n"
            "  remedy:   leave the others out; such a job is simulated alone, frame by frame"
        )


def feeding(app: App) -> dict[CameraId, Feeding]:
    """How each camera gives its frames, as its stages are told."""
    from edgeray.simulator.watching import Feeding
    from edgeray.streams.live import is_device, is_url
    from edgeray.streams.recipe import Recipe

    edge = next(iter(app.code.values()))
    cameras = Recipe.of(edge.args["recipe"]).cameras
    found = {}
    for name, camera in cameras.items():
        live = is_url(camera.source.source) or is_device(camera.source.source)
        found[name] = Feeding(waits=camera.reliable and not live, buffer=camera.buffer)
    return found


def scripted(path: Path, before: Mapping[CameraId, float]) -> Callable[[CameraId, float], float]:
    """People to be re-identified a frame, by camera and time. before: each camera's, until the file says other.

    Raises BadInputError for a file that does not say it.
    """
    steps: dict[str, list[tuple[float, float]]] = {camera: [(-math.inf, n)] for camera, n in before.items()}
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(str(path), f"cannot be read: {error}") from error
    if not rows or [word.strip() for word in rows[0]] != HEADER:
        raise _wrong(f"{path}:1", f"the first line is {','.join(rows[0]) if rows else 'missing'}")
    for number, row in enumerate(rows[1:], start=2):
        if row:
            camera, at_s, count = _row(row, f"{path}:{number}", before)
            steps[camera].append((at_s, count))
    for each in steps.values():
        each.sort(key=lambda step: step[0])

    def people(camera: CameraId, at_s: float) -> float:
        known = steps[camera]
        return known[bisect_right(known, at_s, key=lambda step: step[0]) - 1][1]

    return people


def _row(row: Sequence[str], where: str, known: Mapping[CameraId, float]) -> tuple[str, float, float]:
    if len(row) != len(HEADER) or row[1].strip() not in known:
        raise _wrong(where, f"{','.join(row)!r} names none of the cameras {', '.join(known)}")
    try:
        at_s, count = float(row[0]), float(row[2])
    except ValueError:
        at_s = count = math.nan
    if not (at_s >= 0 and 0 <= count <= 1000):  # NaN is not
        raise _wrong(where, f"{','.join(row)!r} has no time and number of people from 0 to 1,000")
    return row[1].strip(), at_s, count


def _wrong(where: str, what: str) -> BadInputError:
    return BadInputError(
        f"--people {where}: {what}\n"
        f"  expected: a CSV file whose first line is {','.join(HEADER)}: people to be re-identified a frame, from that "
        "second on\n"
        "  remedy:   a line such as 120,gate,0.5"
    )


def _print(runs: Sequence[SimulatedCameras], job: str, cluster: str) -> None:
    for run in runs:
        for reason in run.reasons:
            stdout.print(f"{job} cannot be mapped by {run.policy}: {reason}", markup=False, highlight=False)
    done = [run for run in runs if run.plan is not None]
    if not done:
        return
    _print_side_by_side(done, f"{job} on {cluster}, {done[0].seconds:g} virtual s")
    if len(runs) == 1:
        _print_streams(done[0])


def _print_side_by_side(runs: Sequence[SimulatedCameras], title: str) -> None:
    headings = ("FPS, mean", "slowest", "planned", "latency", "95 %", "moves")
    table = _table("policy", headings, title)
    for run in runs:
        told = run.as_json()
        table.add_row(
            escape(run.policy),
            f"{run.fps_mean:.2f}",
            f"{run.fps_least:.2f}",
            _fps(told["planned_fps"]),
            _seconds(told["latency_s"]),
            _seconds(told["latency_p95_s"]),
            str(run.moves),
        )
    stdout.print(table)


def _print_streams(run: SimulatedCameras) -> None:
    headings = ("detector", "identify", "FPS", "planned", "latency", "95 %", "lost", "moves")
    table = _table("camera", headings, f"by {run.policy}")
    for stream in run.streams:
        told = stream.as_json()
        table.add_row(
            escape(stream.camera),
            escape(stream.detect_on),
            escape(stream.identify_on),
            f"{stream.fps:.2f}",
            _fps(told["planned_fps"]),
            _seconds(told["latency_s"]),
            _seconds(told["latency_p95_s"]),
            str(stream.dropped),
            str(stream.moves + stream.identify_moves),
        )
    stdout.print(table)


def _table(first: str, headings: Sequence[str], title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _fps(value: Any) -> str:
    return "" if value is None else f"{value:.2f}"


def _seconds(value: Any) -> str:
    return "" if value is None else seconds_text(value)
