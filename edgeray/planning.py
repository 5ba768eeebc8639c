"""Decide without running: jobs and a network in, plans out."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeray.errors import BadInputError, ClusterError
from edgeray.policy_names import check_mode, default_policy, policy_named
from edgeray.profiler import ProfileStore, merge
from edgeray.scheduler.views import plan_json
from edgeray.spec import App, Cluster, check_job_on_cluster
from policies.model import (
    TRAINS,
    Decision,
    Device,
    DeviceId,
    JobId,
    Mode,
    Network,
    Profile,
    Snapshot,
    Workload,
)

_MODES: dict[Mode, str] = {
    "stream": "is a stream",
    "once": "is a one-shot job (mode: once)",
    "loop": "trains a model (kind: split-training)",
    "batches": "trains a model in cycles (kind: batch-training)",
    "fog": "trains a model on points that are collected (kind: fog-training)",
    "cameras": "watches cameras (kind: streams)",
    "offload": "has items go to helpers (kind: offload)",
    "frames": "has frames with deadlines (kind: frames)",
}
_LACKING: dict[Mode, str] = {
    "stream": "declared or measured yet of how long its tasks take",
    "once": "declared or measured yet of how long its tasks take",
    "loop": "measured yet of how long its model takes",
    "batches": "measured yet of how long its model takes",
    "fog": "measured yet of it",
    "cameras": "measured yet of how long its cameras' frames take",
    "offload": "measured yet of it",
    "frames": "measured yet of it",
}


def mode_of_all(apps: Sequence[App]) -> Mode:
    """The mode that all apps have. Raises BadInputError when they have several."""
    modes = {app.job.mode: app for app in apps}
    if len(modes) > 1:
        told = [f"{app.file} {_MODES[mode]}" for mode, app in modes.items()]
        raise BadInputError(
            f"{' and '.join(told)}\n"
            "  expected: jobs of one mode, since each mode has policies of its own\n"
            "  remedy:   a call for each; `edgeray simulate` takes several kinds together"
        )
    return apps[0].job.mode


def chosen_policy(named: str | None, mode: Mode) -> str:
    """The policy that the user named, or the default. Raises BadInputError for an unknown or unfitting one."""
    policy = named if named is not None else default_policy(mode)
    try:
        check_mode(policy, mode)
    except ValueError as error:
        raise BadInputError(f"{error}\n  remedy:   correct --policy") from error
    return policy


def workloads_of(apps: Sequence[App], cluster: Cluster, store: ProfileStore) -> list[Workload]:
    """The apps' jobs with their numbers, in the order given; jobs of one name are numbered."""
    return distinct([workload_of(app, cluster, store) for app in apps])


def workload_of(app: App, cluster: Cluster, store: ProfileStore) -> Workload:
    """The app's job with its numbers.

    Raises SpecError when the job does not fit the cluster file, ClusterError when its profile is missing.
    """
    check_job_on_cluster(app, cluster)
    return Workload(job=app.job, profile=stored_profile(app, cluster.network, store))


def with_sources_on(app: App, device: DeviceId) -> App:
    """The app with all its sources on one device."""
    moved = {task.id for task in app.job.sources}
    tasks = tuple(replace(task, device=device) if task.id in moved else task for task in app.job.tasks)
    return replace(app, job=replace(app.job, tasks=tasks))


def distinct(workloads: Sequence[Workload]) -> list[Workload]:
    """The same workloads, with job ids that are numbered where one comes twice."""
    given = {workload.job.id for workload in workloads}
    counts: dict[JobId, int] = {}
    return [_numbered(workload, given, counts) for workload in workloads]


def _numbered(workload: Workload, given: Set[JobId], counts: dict[JobId, int]) -> Workload:
    name = workload.job.id
    counts[name] = counts.get(name, 0) + 1
    if counts[name] == 1:
        return workload
    while (id := JobId(f"{name}-{counts[name]}")) in given:
        counts[name] += 1
    return replace(workload, job=replace(workload.job, id=id))


def decide(policy: str, workloads: Sequence[Workload], network: Network) -> Decision:
    """The policy's decision on all workloads arriving together, in the order given, on an idle network."""
    return policy_named(policy).decide(Snapshot(network=network), workloads)


def stored_profile(app: App, network: Network, store: ProfileStore) -> Profile | None:
    """The app's measurements on the network's device types; None when it declares all its numbers.

    Of a job that trains a model the types that take part are needed, of others any: where nothing is measured nothing
    is placed. Raises ClusterError.
    """
    if not app.needs_profile:
        return None
    from edgeray.client import fingerprint

    name, used, trains = fingerprint(app), _devices_of(app, network), app.job.mode in TRAINS
    found = {}
    for device in used:
        if device.type not in found and (rows := store.get(name, device)) is not None:
            found[device.type] = rows
    measure = f"edgeray up CLUSTER.yaml, then edgeray profile {_shown(app)}"
    if not found:
        remedy = (
            measure
            if app.job.side_by_side
            else f"{measure}; or declare `work`, and `inputs` with sizes, in the job file"
        )
        raise ClusterError(
            f"{app.file}: nothing is {_LACKING[app.job.mode]} on these devices\n  remedy:   {remedy}"
        )
    missing = sorted({device.type for device in used} - found.keys())
    if missing and trains:
        raise ClusterError(
            f"{app.file}: nothing is measured yet of its model on devices of type {', '.join(missing)}\n"
            f"  remedy:   {measure}, which says what went wrong there"
        )
    return merge(found)


def _devices_of(app: App, network: Network) -> list[Device]:
    """The devices that may run some of it, in the order of their ids."""
    if not app.job.side_by_side:
        return list(network.devices.values())
    pinned = {task.device for task in app.job.tasks}
    return [device for id, device in network.devices.items() if id in pinned]


def _shown(app: App) -> Path:
    """As a person would name it."""
    return app.file.parent if app.file.name == "job.yaml" else app.file


def decision_json(policy: str, decision: Decision, workloads: Sequence[Workload]) -> dict[str, Any]:
    """What `edgeray plan --json` prints."""
    refused = [decision.infeasible[w.job.id] for w in workloads if w.job.id in decision.infeasible]
    return {
        "policy": policy,
        "feasible": all(w.job.id in decision.plans for w in workloads),
        "reasons": [f"{one.job}: {reason}" for one in refused for reason in one.reasons],
        "jobs": [plan_json(decision.plans[w.job.id], w) for w in workloads if w.job.id in decision.plans],
    }
