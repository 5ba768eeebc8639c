"""The course of a comparison of jobs that watch cameras: each under each policy, alone on the cluster."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edgeray.cli import comparing
from edgeray.cli.console import seconds_text, stderr
from edgeray.client import LEASE_S, POLL_S, Client
from edgeray.scheduler.views import JobView
from edgeray.spec import App
from edgeray.telemetry.camera_records import CamerasComparison, CamerasRun, cameras_run
from edgeray.telemetry.runs import device_runs
from policies.model import Network

WARM_FRAMES = 10
WARM_TIMEOUT_S = 90.0


def compare_cameras(apps: Sequence[App], policies: Sequence[str], *, seconds: float) -> CamerasComparison:
    """Measure every job under every policy, one after the other. Ctrl-C keeps those that were measured so far; before
    the first was it raises KeyboardInterrupt."""
    client = Client(apps[0].folder)
    network: Network = client.call("network")
    comparing.workloads(client, apps)  # what must be profiled is, before the first one runs
    started = datetime.datetime.now(datetime.timezone.utc)
    notes = [
        f"Each job ran alone under each policy, measured for {seconds:g} s once every camera had {WARM_FRAMES} frames "
        f"done (at most {WARM_TIMEOUT_S:g} s of warming up)."
    ]
    runs = comparing.one_by_one(
        apps, policies, lambda app, policy: _run(client, app, policy, network, seconds), run_line, notes
    )
    return CamerasComparison(
        **comparing.about(apps, network, started),
        seconds=seconds,
        runs=runs,
        notes=tuple(notes),
    )


def run_line(run: CamerasRun) -> str:
    """What came out under one policy, in one line."""
    if run.fps_mean is None:
        return f"{run.policy}: {run.job} did not run: {run.failure}"
    off = "" if run.off_plan is None else f", {100 * run.off_plan:+.0f} %"
    return (
        f"{run.policy}: {run.fps_mean:.2f} frames/s a camera (planned {run.planned_fps or 0:.2f}{off}), the slowest "
        f"{run.fps_least:.2f}; latency {seconds_text(run.latency_s)}"
    )


def _run(client: Client, app: App, policy: str, network: Network, seconds: float) -> CamerasRun:
    job = client.submit(app, policy, lease_s=LEASE_S)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=stderr, transient=True
    ) as bar:
        shown = bar.add_task(f"{policy}: warming up", total=None)
        try:
            view = _until_warm(client, job)
            planning_s: float = client.call("planning_s")
            if view.phase != "running":
                return cameras_run(view, {}, {}, {}, measured_s=0.0, planning_s=planning_s, cpu={})
            bar.update(shown, description=f"{policy}: measuring", total=seconds)
            return _measure(
                client, view, network, seconds, planning_s, lambda s: bar.update(shown, completed=s)
            )
        finally:
            comparing.stop_all(client, [job])


def _until_warm(client: Client, job: str) -> JobView:
    """Once every camera that is watched has some frames done, or that takes too long; or the job has ended."""
    running_since_s: float | None = None
    while True:
        view: JobView = client.call("renew", job)
        if view.ended:
            return view
        if view.phase == "running":
            running_since_s = running_since_s or time.monotonic()
            watched = [row for row in view.streams if row.detect_on is not None]
            if all(row.frames >= WARM_FRAMES for row in watched):
                return view
            if time.monotonic() - running_since_s > WARM_TIMEOUT_S:
                return view
        time.sleep(POLL_S / 2)


def _measure(
    client: Client, warm: JobView, network: Network, seconds: float, planning_s: float, show: object
) -> CamerasRun:
    before, from_s = client.call("counters"), time.time()
    while (spent_s := time.time() - from_s) < seconds:
        client.call("renew", warm.job)
        show(spent_s)  # type: ignore[operator]
        time.sleep(min(POLL_S, max(0.0, seconds - spent_s)))
    to_s = time.time()
    windows = client.call("stream_windows", warm.job, from_s, to_s)
    after, view = client.call("counters"), client.call("job", warm.job)
    devices = device_runs(before, after, network, {})
    return cameras_run(
        view,
        windows,
        {row.camera: row.dropped for row in warm.streams},
        {row.camera: row.asked for row in warm.streams},
        measured_s=to_s - from_s,
        planning_s=planning_s,
        cpu={run.device: run.cpu_fraction for run in devices},
    )
