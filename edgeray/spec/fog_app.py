"""A job of fog training on the devices of a cluster: one task for the server, and one for each device."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from edgeray.spec.app import App, Cluster, Code
from edgeray.spec.fog_form import KIND
from edgeray.spec.fog_job import FogJob
from edgeray.spec.learning import test_samples_of
from edgeray.spec.learning_app import SERVER, learning_app, learning_devices
from edgeray.spec.named_devices import Place
from edgeray.spec.words import listed, remedy_for_name
from policies.flows.graph import Graph
from policies.model import DeviceId, Network, TaskId
from policies.partition.routes import widths_to

Pair = tuple[DeviceId, DeviceId]


def fog_app(job: FogJob, cluster: Cluster | Network, *, resume: str | None = None) -> App:
    """The job's App: the task "server", and a task "device-NAME" for each device, pinned to their devices.

    resume: a job of the same folder whose checkpoints it goes on after. Raises SpecError for devices and pairs of them
    that are not there or not joined, and for numbers of devices that do not take part.
    """
    from edgeray.training.fog.settings import Fog
    from edgeray.training.recipe import Recipe

    form, learned = job.form, job.learned
    place = Place.of(cluster, job.error)
    devices = learning_devices(job, place, "devices", "the device", form.devices, form.server)
    others = devices.others
    pairs = _pairs(job, place.network, others)
    fog = Fog(
        collect={device_task(device): points for device, points in _collected(job, others).items()},
        links=tuple((device_task(a), device_task(b)) for a, b in pairs),
        link_bps=_widths_bps(place.network, pairs),
        intervals=form.intervals,
        interval_s=form.interval,
        aggregate=form.aggregate,
        process=_process(job, others),
        link=_link(job, pairs, others),
        discard=form.discard,
        perfect=form.information == "perfect",
    )
    recipe = Recipe(
        model=learned.model.run,
        model_args=learned.model.args,
        dataset=learned.dataset.run,
        dataset_args=learned.dataset.args,
        loss=form.loss,
        clients=others,
        samples=_share(job, len(others)),
        classes_per_client=form.dataset.classes_per_client,
        test_samples=test_samples_of(form, learned.sizes),
        rounds=fog.rounds,
        batch_size=form.batch_size,
        epochs=form.aggregate,
        optimizer=form.optimizer,
        learning_rate=form.learning_rate,
        momentum=form.momentum,
        weight_decay=form.weight_decay,
        seed=form.seed,
        patience_s=form.patience,
    )
    told = {"recipe": recipe.as_args(), "fog": fog.as_args()}
    return learning_app(
        job,
        server=devices.server,
        clients={device_task(device): device for device in others},
        rounds=fog.rounds,
        kind=KIND,
        mode="fog",
        serve=Code(run="edgeray.training.fog.tasks:Serve", args={**told, "resume": resume}),
        client=Code(run="edgeray.training.fog.tasks:Collect", args={**told, "server": SERVER}),
        between=[(device_task(a), device_task(b)) for a, b in pairs],
        needs_profile=False,
    )


def device_task(device: str) -> TaskId:
    """The task that collects points on this device."""
    return TaskId(f"device-{device}")


def _pairs(job: FogJob, network: Network, devices: Sequence[DeviceId]) -> list[Pair]:
    """Those that may send points to each other. All devices have a way to the server, and so to each other."""
    links = job.form.links
    if links is None:
        return list(combinations(devices, 2))
    for number, pair in enumerate(links):
        for name in pair:
            _check_takes_part(job, ("links", str(number)), name, devices)
    return [(DeviceId(a), DeviceId(b)) for a, b in links]


def _widths_bps(network: Network, pairs: Sequence[Pair]) -> tuple[float, ...]:
    """By pair, what the widest way between the two carries."""
    graph = Graph.of(network)
    widths = {a: widths_to(graph.index[a], graph, graph.capacity_bps) for a, _ in pairs}
    return tuple(widths[a][graph.index[b]] for a, b in pairs)


def _collected(job: FogJob, devices: Sequence[DeviceId]) -> dict[DeviceId, int]:
    collect = job.form.collect
    if isinstance(collect, int):
        return dict.fromkeys(devices, collect)
    for name in collect:
        _check_takes_part(job, ("collect", name), name, devices)
    return {device: collect.get(device, 0) for device in devices}


def _process(job: FogJob, devices: Sequence[DeviceId]) -> dict[str, float] | None:
    """By task."""
    if job.form.costs is None:
        return None
    costs = job.form.costs.process
    if not isinstance(costs, dict):
        return {device_task(device): float(costs) for device in devices}
    for name in costs:
        _check_takes_part(job, ("costs", "process", name), name, devices)
    for device in devices:
        if device not in costs:
            raise job.error(
                ("costs", "process"),
                f"nothing says what a point costs that '{device}' processes",
                expected=f"a number for each of {listed(devices)}",
                remedy=f"add `{device}: ...`",
            )
    return {device_task(device): costs[device] for device in devices}


def _link(
    job: FogJob, pairs: Sequence[Pair], devices: Sequence[DeviceId]
) -> dict[str, dict[str, float]] | None:
    """By the tasks of sender and receiver."""
    if job.form.costs is None:
        return None
    costs = job.form.costs.link
    found: dict[str, dict[str, float]] = {}
    if isinstance(costs, dict):
        for name, row in costs.items():
            for one in (name, *row):
                _check_takes_part(job, ("costs", "link", name), one, devices)
    for a, b in pairs:
        for sender, receiver in ((a, b), (b, a)):
            cost = costs.get(sender, {}).get(receiver) if isinstance(costs, dict) else costs
            if cost is None:
                raise job.error(
                    ("costs", "link"),
                    f"nothing says what a point costs that goes from '{sender}' to '{receiver}'",
                    expected="a number for each pair of `links`, in both directions",
                    remedy=f"add it (`{sender}: {{{receiver}: ...}}`), or leave the pair out of `links`",
                )
            found.setdefault(device_task(sender), {})[device_task(receiver)] = float(cost)
    return found


def _check_takes_part(job: FogJob, path: tuple[str, ...], name: str, devices: Sequence[DeviceId]) -> None:
    if name not in devices:
        raise job.error(
            path,
            f"'{path[0]}' names '{name}', which does not take part",
            expected=f"one of {listed(devices)}",
            remedy=remedy_for_name(name, list(devices), "remove it, or add it to `devices`"),
        )


def _share(job: FogJob, devices: int) -> int:
    """Samples of the data set that each device has to collect; 0: nobody knows yet, the data set is one's own."""
    sizes = job.learned.sizes
    if sizes is None:
        return 0
    share = sizes.most_samples(devices, job.form.dataset.classes_per_client)
    if share < 1:
        raise job.error(
            ("dataset",),
            f"{job.form.dataset.name} has {sizes.train:,} samples to train on: too few for {devices} devices",
            expected="fewer devices",
            remedy="name them (`devices: [...]`)",
        )
    return share
