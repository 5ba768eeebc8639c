"""The course of a comparison: for each policy, submit all jobs, let them settle, measure, stop.

One-shot jobs end by themselves: there each runs to its end, one at a time.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edgeray import __version__
from edgeray.cli.console import say, stderr
from edgeray.cli.jobs import end_line, progress_line
from edgeray.client import LEASE_S, POLL_S, Client
from edgeray.errors import BadInputError
from edgeray.planning import with_sources_on
from edgeray.profiler import merge
from edgeray.scheduler.views import JobView
from edgeray.spec import App
from edgeray.telemetry.records import Comparison, OnceComparison, OnceRun, PolicyRun
from edgeray.telemetry.runs import device_runs, job_run, link_runs, once_policy_run, once_run, policy_run
from policies.bound import throughput_bound
from policies.model import DeviceId, JobId, Network, Workload

Run = TypeVar("Run")

WARM_ITEMS = 3
WARM_TIMEOUT_S = 60.0
PLACE_TIMEOUT_S = 300.0
RELEASE_TIMEOUT_S = 60.0


def arrivals(apps: Sequence[App], sources: Sequence[str] | None) -> list[App]:
    """The jobs in order of arrival: each app once, or once a source device with its sources moved there."""
    if sources is None:
        return list(apps)
    return [with_sources_on(app, DeviceId(device.strip())) for device in sources for app in apps]


def compare(apps: Sequence[App], policies: Sequence[str], *, seconds: float, interval_s: float) -> Comparison:
    """Measure every policy on the same arrivals of streams."""
    client = Client(apps[0].folder)
    network: Network = client.call("network")
    numbered = workloads(client, apps)
    bound = throughput_bound(network, numbered) / len(numbered)
    started = datetime.datetime.now(datetime.timezone.utc)
    runs = [
        _run_policy(client, apps, name, network, seconds=seconds, interval_s=interval_s, bound=bound)
        for name in policies
    ]
    return Comparison(
        **about(apps, network, started),
        seconds=seconds,
        runs=tuple(runs),
        notes=(
            f"{len(apps)} job(s), {interval_s:g} s apart; measured for {seconds:g} s once every job had delivered "
            f"{WARM_ITEMS} items (at most {WARM_TIMEOUT_S:g} s of warming up).",
        ),
    )


def compare_once(apps: Sequence[App], policies: Sequence[str]) -> OnceComparison:
    """Run every one-shot job under every policy, one at a time, each to its end."""
    client = Client(apps[0].folder)
    network: Network = client.call("network")
    workloads(client, apps)  # what must be profiled is, before the first one runs
    started = datetime.datetime.now(datetime.timezone.utc)
    runs = []
    for policy in policies:
        jobs = [_run_once(client, app, policy) for app in apps]
        runs.append(once_policy_run(policy, jobs, planning_s=client.call("planning_s")))
    return OnceComparison(
        **about(apps, network, started),
        runs=tuple(runs),
        notes=("Each job ran once under each policy, alone on the cluster.",),
    )


def _run_once(client: Client, app: App, policy: str) -> OnceRun:
    job = client.submit(app, policy, lease_s=LEASE_S)
    view: JobView | None = None
    with stderr.status(f"{policy}: {job}") as status:
        try:
            view = client.watch(job, seen=lambda v: status.update(f"{policy}: {progress_line(v)}"))
        finally:
            if view is None:
                stop_all(client, [job])
    say(f"{policy}: {end_line(view)}")
    return once_run(view)


def workloads(client: Client, apps: Sequence[App]) -> list[Workload]:
    """Jobs with their numbers; profiles come from the store, or are made now."""
    found = []
    for number, app in enumerate(apps):
        profile = None
        if app.needs_profile:
            with stderr.status(f"profile of {app.job.id}"):
                profile = merge(client.call("profile", client.package(app), timeout_s=1800.0))
        found.append(Workload(job=replace(app.job, id=JobId(f"{app.job.id}-{number}")), profile=profile))
    return found


def _run_policy(
    client: Client,
    apps: Sequence[App],
    policy: str,
    network: Network,
    *,
    seconds: float,
    interval_s: float,
    bound: float | None,
) -> PolicyRun:
    jobs: list[str] = []
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=stderr, transient=True
    ) as bar:
        shown = bar.add_task(f"{policy}: submitting", total=None)
        try:
            for number, app in enumerate(apps):
                if number:
                    _pause(client, jobs, interval_s)
                jobs.append(client.submit(app, policy, lease_s=LEASE_S))
            bar.update(shown, description=f"{policy}: warming up")
            _until_warm(client, jobs)
            bar.update(shown, description=f"{policy}: measuring", total=seconds)
            run = _measure(
                client, jobs, policy, network, seconds, bound, lambda s: bar.update(shown, completed=s)
            )
        finally:
            stop_all(client, jobs)
    say(
        f"{policy}: mean {run.mean_per_s:.3f}/s (planned {run.planned_mean_per_s:.3f}), "
        f"geometric mean {run.geometric_mean_per_s:.3f}, minimum {run.minimum_per_s:.3f}"
    )
    return run


def _pause(client: Client, jobs: Sequence[str], seconds: float) -> None:
    """Wait for the next arrival; the jobs so far keep their leases."""
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        for job in jobs:
            client.call("renew", job)
        time.sleep(min(POLL_S, left_s))


def _until_warm(client: Client, jobs: Sequence[str]) -> None:
    """Until every job that was placed has delivered some items, has ended, or takes too long."""
    begun_s = time.monotonic()
    running_since_s: float | None = None
    while True:
        views: list[JobView] = [client.call("renew", job) for job in jobs]
        settled = [v for v in views if v.phase not in ("profiling", "deploying")]
        if all(v.items >= WARM_ITEMS or v.phase != "running" for v in views) and len(settled) == len(views):
            return
        now_s = time.monotonic()
        if len(settled) == len(views):
            running_since_s = running_since_s or now_s
            if now_s - running_since_s > WARM_TIMEOUT_S:
                return
        elif now_s - begun_s > PLACE_TIMEOUT_S:
            return
        time.sleep(POLL_S / 2)


def _measure(
    client: Client,
    jobs: Sequence[str],
    policy: str,
    network: Network,
    seconds: float,
    bound: float | None,
    show: Any,
) -> PolicyRun:
    from_s = time.time()
    before = client.call("counters")
    while (spent_s := time.time() - from_s) < seconds:
        for job in jobs:
            client.call("renew", job)
        show(spent_s)
        time.sleep(min(POLL_S, max(0.0, seconds - spent_s)))
    after = client.call("counters")
    to_s = time.time()
    views: list[JobView] = [client.call("job", job) for job in jobs]
    enforcement = {v.device: v.enforcement or "unknown" for v in client.call("devices")}
    rows = [
        job_run(view, before, after, client.call("sink_windows", view.job, from_s, to_s), to_s - from_s)
        for view in views
    ]
    return policy_run(
        policy,
        rows,
        device_runs(before, after, network, enforcement),
        link_runs(before, after, network),
        planning_s=client.call("planning_s"),
        bound_per_s=bound,
    )


def one_by_one(
    apps: Sequence[App],
    policies: Sequence[str],
    run: Callable[[App, str], Run],
    line: Callable[[Run], str],
    notes: list[str],
) -> tuple[Run, ...]:
    """Run every job under every policy, one after the other, and say a line of each.

    Ctrl-C keeps those that were measured so far, and adds a note; before the first was it raises KeyboardInterrupt.
    """
    runs: list[Run] = []
    try:
        for policy in policies:
            for app in apps:
                runs.append(run(app, policy))
                say(line(runs[-1]))
    except KeyboardInterrupt:
        if not runs:
            raise
        notes.append(f"Interrupted after {len(runs)} of {len(policies) * len(apps)} runs.")
    return tuple(runs)


def about(apps: Sequence[App], network: Network, started: datetime.datetime) -> dict[str, Any]:
    """What every comparison says of itself: which jobs, where, when, by which version."""
    return {
        "app": ", ".join(dict.fromkeys(str(app.job.id) for app in apps)),
        "cluster": cluster_name(),
        "network": network_json(network),
        "started_at": started.isoformat(timespec="seconds"),
        "edgeray": __version__,
        "emulation": emulation(),
    }


def stop_all(client: Client, jobs: Sequence[str]) -> None:
    for job in jobs:
        client.call("stop", job, "its comparison is done")
    deadline_s = time.monotonic() + RELEASE_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if all(client.call("job", job).ended for job in jobs):
            return
        time.sleep(0.2)


def network_json(network: Network) -> Mapping[str, Any]:
    import os

    return {
        "head": os.environ.get("EDGERAY_DEVICE", ""),
        "devices": {
            d.id: {"type": d.type, "cpus": d.cpus, "memory_bytes": d.memory_bytes}
            for d in network.devices.values()
        },
        "links": [
            {"id": link.id, "ends": list(link.ends), "capacity_bps": link.capacity_bps}
            for link in network.links.values()
        ],
    }


def cluster_name() -> str:
    import os

    return os.environ.get("EDGERAY_CLUSTER", "cluster")


def emulation() -> str:
    """How the devices were made, so that nobody takes an emulation for hardware."""
    from edgeray.testbed import current

    state = current()
    if state is None:
        raise BadInputError("no cluster is up\n  remedy:   edgeray up CLUSTER.yaml")
    kinds = {
        "root": "devices are network namespaces with CPU and memory limits; links are veth pairs under HTB",
        "userns": "devices are network namespaces of an ordinary user; links are veth pairs under HTB",
        "loopback": "devices are processes on loopback; flows are paced by their senders",
    }
    return kinds.get(state.mode, "real machines")
