"""The course of a comparison of jobs that decide while they run: each under each policy, alone on the cluster."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edgeray.cli import comparing
from edgeray.cli.console import stderr
from edgeray.client import LEASE_S, POLL_S, Client
from edgeray.scheduler.views import JobView
from edgeray.spec import App
from edgeray.telemetry.online_records import OnlineComparison, OnlineRun, online_run
from edgeray.telemetry.runs import device_runs
from edgeray.web.numbers import figures, percent
from policies.model import Network

WARM_TIMEOUT_S = 60.0


def compare_online(apps: Sequence[App], policies: Sequence[str], *, seconds: float) -> OnlineComparison:
    """Measure every job under every policy, one after the other, from when its first item or frame is done.

    What a policy has to learn, it learns meanwhile. Ctrl-C keeps those that were measured so far; before the first was
    it raises KeyboardInterrupt.
    """
    client = Client(apps[0].folder)
    network: Network = client.call("network")
    started = datetime.datetime.now(datetime.timezone.utc)
    notes = [f"Each job ran alone under each policy, measured for {seconds:g} s from its first result on."]
    runs = comparing.one_by_one(
        apps, policies, lambda app, policy: _run(client, app, policy, network, seconds), run_line, notes
    )
    return OnlineComparison(
        **comparing.about(apps, network, started),
        kind=apps[0].job.mode,
        seconds=seconds,
        runs=runs,
        notes=tuple(notes),
    )


def run_line(run: OnlineRun) -> str:
    """What came out under one policy, in one line."""
    told = run.figures
    if run.failure is not None:
        return f"{run.policy}: {run.job} did not run: {run.failure}"
    if run.kind == "offload":
        return f"{run.policy}: {percent(told['met_rate'])} of {told['items']} items met their deadline"
    return (
        f"{run.policy}: {figures(told['energy_per_user_frame_j'])} J a user and frame, "
        f"{percent(told['drop_rate'])} of {told['arrived']} packets dropped"
    )


def _run(client: Client, app: App, policy: str, network: Network, seconds: float) -> OnlineRun:
    job = client.submit(app, policy, lease_s=LEASE_S)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=stderr, transient=True
    ) as bar:
        shown = bar.add_task(f"{policy}: starting", total=None)
        try:
            warm = _until_warm(client, job)
            if warm.ended or warm.online is None:
                return online_run(warm, None, None, measured_s=0.0, cpu={})
            bar.update(shown, description=f"{policy}: measuring", total=seconds)
            return _measure(client, warm, network, seconds, lambda s: bar.update(shown, completed=s))
        finally:
            comparing.stop_all(client, [job])


def _until_warm(client: Client, job: str) -> JobView:
    """Once its server has told of a first result, or that takes too long; or the job has ended."""
    by_s = time.monotonic() + WARM_TIMEOUT_S
    while True:
        view: JobView = client.call("renew", job)
        told = view.online or {}
        if view.ended or told.get("items") or told.get("frames"):
            return view
        if view.phase == "running" and time.monotonic() > by_s:
            return view
        time.sleep(POLL_S / 2)


def _measure(
    client: Client, warm: JobView, network: Network, seconds: float, show: Callable[[float], None]
) -> OnlineRun:
    before, from_s, view = client.call("counters"), time.time(), warm
    while (spent_s := time.time() - from_s) < seconds and not view.ended:
        view = client.call("renew", warm.job)
        show(spent_s)
        time.sleep(min(POLL_S, max(0.0, seconds - spent_s)))
    after, view = client.call("counters"), client.call("job", warm.job)
    cpu = {run.device: run.cpu_fraction for run in device_runs(before, after, network, {})}
    return online_run(view, warm.online, view.online, measured_s=time.time() - from_s, cpu=cpu)
