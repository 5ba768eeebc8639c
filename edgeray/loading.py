"""Job files on their way to a cluster. What the files alone tell is checked before the cluster is asked for anything.

Jobs that are no dataflows become applications only there: they have a task for each of the
cluster's devices that takes part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from edgeray.errors import BadInputError
from policies.model import DeviceId, Mode, Network

if TYPE_CHECKING:
    from edgeray.client import Client
    from edgeray.spec import App, Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """Job files, or folders, of one mode, which lie in one folder. resume: the job that training goes on after."""

    paths: tuple[Path, ...]
    mode: Mode
    folder: Path
    resume: str | None

    def opened(self) -> tuple[Client, list[App]]:
        """A connection to the cluster, and the applications as they are there: of jobs that have a server it is the
        cluster's head unless the job names one. Raises SpecError where they do not fit the cluster, and ClusterError."""
        from edgeray.client import Client
        from edgeray.spec import load_app, load_on

        client = Client(self.folder)
        if self.mode in ("stream", "once"):
            return client, [load_app(path) for path in self.paths]
        cluster = _with_head(client.call("network"))
        return client, [load_on(path, cluster, resume=self.resume) for path in self.paths]


def _with_head(network: Network) -> Cluster | Network:
    """The network with its head, where this machine knows it."""
    from edgeray.spec import Cluster
    from edgeray.testbed import current

    state = current()
    if state is None or state.head not in network.devices:
        return network
    return Cluster(name=state.name, head=DeviceId(state.head), network=network, file=Path(state.cluster_file))


def read_job_files(paths: Sequence[Path], *, resume: str | None = None) -> JobFiles:
    """Raises SpecError for what is wrong with a file, and BadInputError for files that do not go together."""
    kinds = {path: _kind_of(path) for path in paths}
    first, *others = paths
    for path in others:
        if kinds[path] is not kinds[first]:
            raise BadInputError(
                f"{first} {kinds[first].value} and {path} {kinds[path].value}\n"
                "  expected: jobs of one kind, since each has policies of its own\n"
                "  remedy:   a call for each"
            )
    if kinds[first] is _Kind.TRAINING:
        return _of_training(paths, resume)
    if kinds[first] in (_Kind.BATCHES, _Kind.FOG):
        return _of_learning(paths, kinds[first], resume)
    if resume is not None:
        raise BadInputError(
            f"--resume {resume}: {first} does not train a model\n"
            "  expected: a job that trains one, which keeps checkpoints\n"
            "  remedy:   leave --resume out"
        )
    if kinds[first] in (_Kind.OFFLOAD, _Kind.FRAMES):
        return _of_online(paths)
    return _of_streams(paths) if kinds[first] is _Kind.STREAMS else _of_apps(paths)


class _Kind(Enum):
    """What a job is, in words."""

    TRAINING = "is split training"
    BATCHES = "trains in cycles (kind: batch-training)"
    FOG = "trains on points that are collected (kind: fog-training)"
    STREAMS = "watches cameras (kind: streams)"
    OFFLOAD = "has items go to helpers (kind: offload)"
    FRAMES = "has frames with deadlines (kind: frames)"
    TASKS = "has tasks (kind: dataflow)"


def _kind_of(path: Path) -> _Kind:
    from edgeray.spec import is_batches, is_fog, is_split_training, is_streams, online_mode

    if is_split_training(path):
        return _Kind.TRAINING
    if is_batches(path):
        return _Kind.BATCHES
    if is_fog(path):
        return _Kind.FOG
    if (mode := online_mode(path)) is not None:
        return _Kind.OFFLOAD if mode == "offload" else _Kind.FRAMES
    return _Kind.STREAMS if is_streams(path) else _Kind.TASKS


def _of_apps(paths: Sequence[Path]) -> JobFiles:
    from edgeray.planning import mode_of_all
    from edgeray.spec import check_runnable, load_app

    apps = [load_app(path) for path in paths]
    for app in apps:
        check_runnable(app)
    folder = _only_folder([app.folder for app in apps])
    return JobFiles(paths=tuple(paths), mode=mode_of_all(apps), folder=folder, resume=None)


def _of_training(paths: Sequence[Path], resume: str | None) -> JobFiles:
    from edgeray.spec import load_split_training

    jobs = [load_split_training(path) for path in paths]
    for job in jobs:
        if job.declared is not None:
            raise BadInputError(
                f"{job.file}: the job declares its numbers, and has nothing to train\n"
                "  expected: `model: ...` and `dataset: ...` in place of `declared`\n"
                "  remedy:   `edgeray plan` takes it as it is"
            )
    return JobFiles(
        paths=tuple(paths), mode="loop", folder=_only_folder([job.folder for job in jobs]), resume=resume
    )


def _of_learning(paths: Sequence[Path], kind: _Kind, resume: str | None) -> JobFiles:
    from edgeray.spec import load_batches, load_fog

    batches = kind is _Kind.BATCHES
    jobs = [load_batches(path) if batches else load_fog(path) for path in paths]
    return JobFiles(
        paths=tuple(paths),
        mode="batches" if batches else "fog",
        folder=_only_folder([job.folder for job in jobs]),
        resume=resume,
    )


def _of_streams(paths: Sequence[Path]) -> JobFiles:
    from edgeray.spec import load_streams

    folder = _only_folder([load_streams(path).folder for path in paths])
    return JobFiles(paths=tuple(paths), mode="cameras", folder=folder, resume=None)


def _of_online(paths: Sequence[Path]) -> JobFiles:
    from edgeray.spec import load_online

    jobs = [load_online(path) for path in paths]
    return JobFiles(
        paths=tuple(paths), mode=jobs[0].mode, folder=_only_folder([job.folder for job in jobs]), resume=None
    )


def _only_folder(folders: Sequence[Path]) -> Path:
    if len(set(folders)) > 1:
        raise BadInputError("the job files must lie in one folder: it travels with the jobs")
    return folders[0]
