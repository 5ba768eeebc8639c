"""The application of a job file of any kind; some become one on a cluster only, with a task for each device."""

from __future__ import annotations

from pathlib import Path

from edgeray.errors import BadInputError
from edgeray.spec.app import App, Cluster
from edgeray.spec.batch_app import batch_app
from edgeray.spec.batch_job import is_batches, load_batches
from edgeray.spec.fog_app import fog_app
from edgeray.spec.fog_job import is_fog, load_fog
from edgeray.spec.job_file import load_app
from edgeray.spec.online_app import online_app
from edgeray.spec.online_jobs import load_online, online_mode
from edgeray.spec.split_training import is_split_training, load_split_training
from edgeray.spec.streams_app import streams_app
from edgeray.spec.streams_job import is_streams, load_streams
from edgeray.spec.training_app import training_app
from policies.model import Network


def load_on(path: str | Path, cluster: Cluster | Network, *, resume: str | None = None) -> App:
    """The application of a job file or folder of any kind, on this cluster. Raises SpecError, or BadInputError.

    resume: see `training_app`.
    """
    if is_split_training(path):
        return training_app(load_split_training(path), cluster, resume=resume)
    if is_batches(path):
        return batch_app(load_batches(path), cluster, resume=resume)
    if is_fog(path):
        return fog_app(load_fog(path), cluster, resume=resume)
    if resume is not None:
        raise BadInputError(
            f"{path} cannot go on after {resume}: it does not train a model\n"
            "  expected: a job of kind split-training, batch-training or fog-training, which keeps checkpoints\n"
            "  remedy:   leave --resume out"
        )
    if is_streams(path):
        return streams_app(load_streams(path), cluster)
    if online_mode(path) is not None:
        return online_app(load_online(path), cluster)
    return load_app(path)
