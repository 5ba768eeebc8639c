"""A job of split training on the devices of a cluster: one task for the server, and one for each client."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeray.errors import BadInputError
from edgeray.spec.app import App, Cluster, Code
from edgeray.spec.graph import reachable
from edgeray.spec.job_file import load_app
from edgeray.spec.split_training import SplitJob, Trained, is_split_training, load_split_training
from edgeray.spec.words import listed, remedy_for_name
from policies.model import DeviceId, Flow, Job, JobId, Network, Task, TaskId, Training

if TYPE_CHECKING:
    from edgeray.training.recipe import Recipe

SERVER = TaskId("server")
RELAYS = ("switch", "router")
"""Types of devices that only pass on what others send; they are no clients unless the job names them."""
MICRO_BATCHES = 4
"""Of a model whose batches may be cut into pieces, if the job says nothing."""
_TEST_SAMPLES = 1000


def load_on(path: str | Path, cluster: Cluster | Network, *, resume: str | None = None) -> App:
    """The application of a job file or folder of any kind, on this cluster. Raises SpecError, or BadInputError.

    resume: see `training_app`.
    """
    if is_split_training(path):
        return training_app(load_split_training(path), cluster, resume=resume)
    if resume is not None:
        raise BadInputError(
            f"{path} cannot go on after {resume}: it does not train a model\n"
            "  expected: a job of split training (kind: split-training), which keeps checkpoints\n"
            "  remedy:   leave --resume out"
        )
    return load_app(path)


def training_app(job: SplitJob, cluster: Cluster | Network, *, resume: str | None = None) -> App:
    """The job's App: the task "server", and a task "client-DEVICE" for each client, pinned to their devices.

    resume: a job of the same folder whose checkpoints it goes on after. The model of one's own is built, without its
    weights, to see whether it has BatchNorm, unless the job says `micro_batches`.
    Raises SpecError for devices that are not there, for no clients, and for more samples than there are.
    """
    from edgeray.training.recipe import Recipe

    trained = job.trained
    if trained is None:
        raise job.error(
            ("declared",),
            "the job declares its numbers: it can be planned, but not run",
            expected="`model: ...` and `dataset: ...`",
            remedy="name a model in place of `declared`, or use `edgeray plan`",
        )
    devices = _Devices.of(job, trained, cluster)
    form, samples = trained.form, _samples(job, trained, len(devices.clients))
    recipe = Recipe(
        model=trained.model.run,
        model_args=trained.model.args,
        dataset=trained.dataset.run,
        dataset_args=trained.dataset.args,
        loss=form.loss,
        clients=devices.clients,
        samples=samples,
        classes_per_client=form.dataset.classes_per_client,
        test_samples=_test_samples(trained),
        rounds=form.rounds,
        batch_size=form.batch_size,
        epochs=form.epochs,
        optimizer=form.optimizer,
        learning_rate=form.learning_rate,
        momentum=form.momentum,
        weight_decay=form.weight_decay,
        keep_optimizer=form.keep_optimizer,
        compress=form.compress,
        seed=form.seed,
        server_mode=form.server_mode,
        patience_s=form.patience,
    )
    clients = {client_task(device): device for device in devices.clients}
    training = Training(
        server=SERVER,
        batches=dict.fromkeys(clients, form.epochs * ceil(samples / form.batch_size)),
        rounds=form.rounds,
        micro_batches=_micro_batches(job, trained, recipe),
    )
    return App(
        job=_job(job.name, devices.server, clients, training),
        code=_code(recipe.as_args(), clients, resume),
        sources={},
        folder=job.folder,
        file=job.file,
        needs_profile=True,
        places=job.places,
    )


def client_task(device: str) -> TaskId:
    """The task that trains on this device."""
    return TaskId(f"client-{device}")


def _job(name: str, server: str, clients: dict[TaskId, str], training: Training) -> Job:
    return Job(
        id=JobId(name),
        tasks=(
            Task(id=SERVER, device=DeviceId(server)),
            *(Task(id=task, device=DeviceId(device)) for task, device in clients.items()),
        ),
        flows=tuple(
            Flow(producer=producer, consumer=consumer)
            for task in clients
            for producer, consumer in ((task, SERVER), (SERVER, task))
        ),
        kind="split-training",
        mode="loop",
        training=training,
    )


def _code(recipe: dict[str, Any], clients: dict[TaskId, str], resume: str | None) -> dict[TaskId, Code]:
    train = Code(run="edgeray.training.tasks:Train", args={"recipe": recipe})
    serve = Code(run="edgeray.training.tasks:Serve", args={"recipe": recipe, "resume": resume})
    return {SERVER: serve, **dict.fromkeys(clients, train)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Devices:
    """Who trains."""

    server: str
    clients: tuple[str, ...]

    @staticmethod
    def of(job: SplitJob, trained: Trained, cluster: Cluster | Network) -> _Devices:
        network = cluster.network if isinstance(cluster, Cluster) else cluster
        where = (
            f"cluster '{cluster.name}' ({cluster.file})" if isinstance(cluster, Cluster) else "the cluster"
        )
        server = trained.form.server or (cluster.head if isinstance(cluster, Cluster) else None)
        if server is None:
            raise job.error(
                (),
                "nothing says which device is the server",
                expected=f"one of {listed(network.devices)}",
                remedy="add `server: DEVICE`",
            )
        _check_device(job, "server", server, network, where)
        clients = _clients(job, trained, network, server, where)
        _check_routes(job, network, server, clients, where)
        return _Devices(server=server, clients=clients)


def _clients(job: SplitJob, trained: Trained, network: Network, server: str, where: str) -> tuple[str, ...]:
    chosen = trained.form.clients
    if chosen is None:
        found = [id for id, device in network.devices.items() if device.type not in RELAYS and id != server]
    else:
        for device in chosen.devices:
            _check_device(job, "clients", device, network, where)
            if device == server:
                raise job.error(
                    ("clients",),
                    f"'{device}' is the server, and one of its clients",
                    expected="clients that are other devices than the server",
                    remedy="remove it from `clients`, or name another `server`",
                )
        types = {device.type for device in network.devices.values()}
        for kind in chosen.types:
            if kind not in types:
                raise job.error(
                    ("clients", "types"),
                    f"{where} has no device of type '{kind}'",
                    expected=f"one of {listed(sorted(types))}",
                    remedy=remedy_for_name(kind, sorted(types), "name one of these types"),
                )
        of_types = [
            id
            for id, device in network.devices.items()
            if device.type in chosen.types and id != server and id not in chosen.devices
        ]
        found = [*(DeviceId(device) for device in chosen.devices), *of_types]
    if not found:
        raise job.error(
            ("clients",),
            f"{where} has no client beside the server '{server}'"
            + (f": devices of type {' or '.join(RELAYS)} only pass data on" if chosen is None else ""),
            expected="one device more at least",
            remedy="name the clients (`clients: [DEVICE]`), or use a larger cluster",
        )
    return tuple(found)


def _check_device(job: SplitJob, key: str, device: str, network: Network, where: str) -> None:
    if device not in network.devices:
        named = f"the server '{device}'" if key == "server" else f"the client '{device}'"
        raise job.error(
            (key,),
            f"{named} is no device of {where}",
            expected=f"one of {listed(network.devices)}",
            remedy=remedy_for_name(device, list(network.devices), "name one of these devices"),
        )


def _check_routes(job: SplitJob, network: Network, server: str, clients: tuple[str, ...], where: str) -> None:
    joined = reachable(server, [link.ends for link in network.links.values()])
    for device in clients:
        if device not in joined:
            raise job.error(
                ("clients",),
                f"no links of {where} lead from the client '{device}' to the server '{server}'",
                expected="a route between them",
                remedy="add the link, or leave that client out",
            )


def _samples(job: SplitJob, trained: Trained, clients: int) -> int:
    """Of each client."""
    given, sizes = trained.form.samples, trained.sizes
    if sizes is None:
        assert given is not None, "refused when the file was read"
        return given
    most = sizes.most_samples(clients, trained.form.dataset.classes_per_client)
    if most < 1 or (given is not None and given > most):
        dataset = trained.form.dataset
        shared = f" by {dataset.classes_per_client} classes each" if dataset.classes_per_client else ""
        wanted = f"{given:,} samples for each of " if given is not None else ""
        raise job.error(
            ("samples",),
            f"{wanted}{clients} clients cannot be had: {dataset.name} has {sizes.train:,} to train on, which makes "
            f"{most:,} for each{shared}",
            expected=f"at most {most}" if most else "fewer clients",
            remedy="use fewer, or leave `samples` out" if most else "name fewer clients",
        )
    return most if given is None else given


def _test_samples(trained: Trained) -> int:
    given = trained.form.test_samples
    if given is not None:
        return given
    return _TEST_SAMPLES if trained.sizes is None else min(_TEST_SAMPLES, trained.sizes.test)


def _micro_batches(job: SplitJob, trained: Trained, recipe: Recipe) -> int:
    if trained.form.micro_batches is not None:
        return trained.form.micro_batches
    batch_norm = trained.batch_norm
    if batch_norm is None:
        batch_norm = _may_have_batch_norm(recipe, job.folder)
    return 1 if batch_norm else min(MICRO_BATCHES, trained.form.batch_size)


def _may_have_batch_norm(recipe: Recipe, folder: Path) -> bool:
    """Whether one's own model has it; True, too, where that cannot be seen because the model cannot be built here."""
    from torch.nn.modules.batchnorm import _BatchNorm

    from edgeray.training.build import light_model

    with _imported_from(folder):
        try:
            model = light_model(recipe)
        except Exception:  # whatever it raises: the profiler will say it, on the devices that matter
            return True
        return any(isinstance(module, _BatchNorm) for module in model.modules())


@contextmanager
def _imported_from(folder: Path) -> Iterator[None]:
    """The folder's modules can be imported. Afterwards they are forgotten: another folder may have some of that name."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).is_relative_to(folder):
                del sys.modules[name]
