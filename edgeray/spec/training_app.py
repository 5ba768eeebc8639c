"""A job of split training on the devices of a cluster: one task for the server, and one for each client."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeray.spec.app import App, Cluster, Code
from edgeray.spec.learning import test_samples_of
from edgeray.spec.named_devices import RELAYS, Place
from edgeray.spec.split_training import SplitJob, Trained
from policies.model import DeviceId, Flow, Job, JobId, Network, Task, TaskId, Training

if TYPE_CHECKING:
    from edgeray.training.recipe import Recipe

SERVER = TaskId("server")
MICRO_BATCHES = 4
"""Of a model whose batches may be cut into pieces, if the job says nothing."""


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
        test_samples=test_samples_of(form, trained.sizes),
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


def _job(name: str, server: DeviceId, clients: dict[TaskId, DeviceId], training: Training) -> Job:
    return Job(
        id=JobId(name),
        tasks=(
            Task(id=SERVER, device=server),
            *(Task(id=task, device=device) for task, device in clients.items()),
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


def _code(recipe: dict[str, Any], clients: Iterable[TaskId], resume: str | None) -> dict[TaskId, Code]:
    train = Code(run="edgeray.training.tasks:Train", args={"recipe": recipe})
    serve = Code(run="edgeray.training.tasks:Serve", args={"recipe": recipe, "resume": resume})
    return {SERVER: serve, **dict.fromkeys(clients, train)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Devices:
    """Who trains."""

    server: DeviceId
    clients: tuple[DeviceId, ...]

    @staticmethod
    def of(job: SplitJob, trained: Trained, cluster: Cluster | Network) -> _Devices:
        place = Place.of(cluster, job.error)
        server = place.server(trained.form.server)
        clients = _clients(job, trained, place, server)
        place.check_routes(("clients",), "the client", clients, server)
        return _Devices(server=server, clients=clients)


def _clients(job: SplitJob, trained: Trained, place: Place, server: DeviceId) -> tuple[DeviceId, ...]:
    chosen = trained.form.clients
    found = place.chosen("clients", "the client", chosen)
    if chosen is not None and server in chosen.devices:
        raise job.error(
            ("clients",),
            f"'{server}' is the server, and one of its clients",
            expected="clients that are other devices than the server",
            remedy="remove it from `clients`, or name another `server`",
        )
    clients = tuple(device for device in found if device != server)
    if not clients:
        raise job.error(
            ("clients",),
            f"{place.where} has no client beside the server '{server}'"
            + (f": devices of type {' or '.join(RELAYS)} only pass data on" if chosen is None else ""),
            expected="one device more at least",
            remedy="name the clients (`clients: [DEVICE]`), or use a larger cluster",
        )
    return clients


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

    with imported_from(folder):
        try:
            model = light_model(recipe)
        except Exception:  # whatever it raises: the profiler will say it, on the devices that matter
            return True
        return any(isinstance(module, _BatchNorm) for module in model.modules())


@contextmanager
def imported_from(folder: Path) -> Iterator[None]:
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
