"""What all kinds of training make of a job in the same way: a server's task, and one for each device that trains."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edgeray.spec.app import App, Code
from edgeray.spec.learning import LearningJob
from edgeray.spec.named_devices import RELAYS, DevicesForm, Place
from policies.model import Cycles, DeviceId, Flow, Job, JobId, Mode, Task, TaskId, Training

SERVER = TaskId("server")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningDevices:
    """The server, and those that train."""

    server: DeviceId
    others: tuple[DeviceId, ...]


def learning_devices(
    job: LearningJob, place: Place, key: str, what: str, form: DevicesForm | None, server: str | None
) -> LearningDevices:
    """Who takes part. key: under which the job names those that train; what: such a device, for messages.

    Raises SpecError for devices that are not there or not reached, and for none.
    """
    at = place.server(server)
    found = place.chosen(key, what, form)
    if form is not None and at in form.devices:
        raise job.error(
            (key,),
            f"'{at}' is the server, and one of its {key}",
            expected=f"{key} that are other devices than the server",
            remedy=f"remove it from `{key}`, or name another `server`",
        )
    others = tuple(device for device in found if device != at)
    if not others:
        relays = f": devices of type {' or '.join(RELAYS)} only pass data on" if form is None else ""
        raise job.error(
            (key,),
            f"{place.where} has none of the {key} beside the server '{at}'{relays}",
            expected="one device more at least",
            remedy=f"name them (`{key}: [DEVICE]`), or use a larger cluster",
        )
    place.check_routes((key,), what, others, at)
    return LearningDevices(server=at, others=others)


def learning_app(
    job: LearningJob,
    *,
    server: DeviceId,
    clients: Mapping[TaskId, DeviceId],
    rounds: int,
    kind: str,
    mode: Mode,
    serve: Code,
    client: Code,
    needs_profile: bool,
    cycles: Cycles | None = None,
    between: Collection[tuple[TaskId, TaskId]] = (),
) -> App:
    """The App. between: pairs of clients that have flows to each other, both ways, as all have with the server."""
    pairs = [(task, SERVER) for task in clients] + [(a, b) for a, b in between]
    return App(
        job=Job(
            id=JobId(job.name),
            tasks=(
                Task(id=SERVER, device=server),
                *(Task(id=task, device=device) for task, device in clients.items()),
            ),
            flows=tuple(
                Flow(producer=producer, consumer=consumer)
                for a, b in pairs
                for producer, consumer in ((a, b), (b, a))
            ),
            kind=kind,
            mode=mode,
            training=Training(server=SERVER, batches=dict.fromkeys(clients, 1), rounds=rounds, cycles=cycles),
        ),
        code={SERVER: serve, **dict.fromkeys(clients, client)},
        sources={},
        folder=job.folder,
        file=job.file,
        needs_profile=needs_profile,
        places=job.places,
    )
