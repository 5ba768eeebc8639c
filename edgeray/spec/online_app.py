"""A job that decides while it runs, on the devices of a cluster: a server's task, and one on each other device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeray.spec.app import App, Cluster, Code
from edgeray.spec.named_devices import Place
from edgeray.spec.online_forms import CodeForm, FramesForm, ItemsForm, OffloadForm, PowerForm
from edgeray.spec.online_jobs import OnlineJob
from policies.flows.graph import Graph
from policies.model import DeviceId, Flow, Job, JobId, Network, Online, Task, TaskId
from policies.partition.routes import widths_to


def online_app(job: OnlineJob, cluster: Cluster | Network) -> App:
    """The job's App. Raises SpecError for devices that are not there or not reached."""
    place = Place.of(cluster, job.error)
    if isinstance(job.form, OffloadForm):
        return _offload(job, job.form, place)
    return _frames(job, job.form, place)


def _offload(job: OnlineJob, form: OffloadForm, place: Place) -> App:
    source = place.device(("source", "device"), "the source's device", form.source.device)
    helpers = [device for device in place.chosen("helpers", "the helper", form.helpers) if device != source]
    if not helpers:
        raise job.error(
            ("helpers",),
            f"nobody helps '{source}'",
            expected="one device at least beside the source's",
            remedy="name some (`helpers: [DEVICE, DEVICE]`)",
        )
    place.check_routes(("helpers",), "the helper", helpers, source)
    server, tasks = TaskId("dispatch"), {TaskId(f"help-{device}"): device for device in helpers}
    widths = _widths_bps(place.network, source)
    recipe = {
        "server": server,
        "source": _items(form.source),
        "work": _code(form.work),
        "complexity": None if form.complexity is None else _code(form.complexity),
        "sink": None if form.sink is None else _code(form.sink),
        "helpers": {
            task: {"device": device, "cpus": place.network.devices[device].cpus, "bps": widths[device]}
            for task, device in tasks.items()
        },
        "deadline_s": form.deadline,
        "late": form.late,
        "telemetry": {"every_s": form.telemetry.every, "delay_s": form.telemetry.delay},
        "most": form.most,
        "seed": form.seed,
    }
    code = {server: "edgeray.offload.dispatch:Dispatch", **dict.fromkeys(tasks, "edgeray.offload.help:Help")}
    return _app(job, {server: source, **tasks}, code, recipe, form.source.rate)


def _frames(job: OnlineJob, form: FramesForm, place: Place) -> App:
    at = place.server(form.server)
    devices = {
        name: place.device(("users", name, "device"), f"'device' of user '{name}':", user.device)
        for name, user in form.users.items()
    }
    for name, device in devices.items():
        if device == at:
            raise job.error(
                ("users", name, "device"),
                f"user '{name}' is on '{at}', which is the server",
                expected="another device: its packets are to cross a link when they are sent",
                remedy="name another device, or another `server`",
            )
        place.check_routes(("users", name, "device"), f"user '{name}' on", [device], at)
    server, widths = TaskId("server"), _widths_bps(place.network, at)
    tasks = {device: TaskId(f"user-{device}") for device in sorted(set(devices.values()))}
    recipe = {
        "server": server,
        "users": {
            name: {
                "task": tasks[devices[name]],
                "device": devices[name],
                "source": _items(user.source),
                "lambda": user.mean,
                "power": _power(user.power or form.power),
            }
            for name, user in form.users.items()
        },
        "work": _code(form.work),
        "slots": form.slots,
        "slot_s": form.slot,
        "rho": form.drop,
        "M": form.M,
        "link_bps": form.link or min(widths[device] for device in tasks),
        "floor_bps": form.floor,
        "meter": form.meter,
        "frames": form.frames,
    }
    code = {server: "edgeray.frames.server:Server"}
    code |= dict.fromkeys(tasks.values(), "edgeray.frames.user:User")
    where = {server: at, **{task: device for device, task in tasks.items()}}
    return _app(job, where, code, recipe, 1 / (form.slots * form.slot))


def _app(
    job: OnlineJob,
    where: Mapping[TaskId, DeviceId],
    code: Mapping[TaskId, str],
    recipe: Mapping[str, Any],
    items_per_s: float,
) -> App:
    """where: the server's task first."""
    server, *clients = where
    flows = [(client, server) for client in clients] + [(server, client) for client in clients]
    return App(
        job=Job(
            id=JobId(job.name),
            tasks=tuple(Task(id=task, device=device) for task, device in where.items()),
            flows=tuple(Flow(producer=a, consumer=b) for a, b in flows),
            items_per_s=items_per_s,
            kind=job.mode,
            mode=job.mode,
            online=Online(server=server, clients=tuple(clients)),
        ),
        code={task: Code(run=run, args={"recipe": recipe}) for task, run in code.items()},
        sources={},
        folder=job.folder,
        file=job.file,
        needs_profile=False,
        places=job.places,
    )


def _items(form: ItemsForm) -> dict[str, Any]:
    return {**_code(form), "rate_per_s": form.rate, "items": form.items}


def _code(form: CodeForm) -> dict[str, Any]:
    return {"run": form.run, "args": form.args}


def _power(form: PowerForm) -> dict[str, float]:
    return {"idle_w": form.idle, "local_w": form.local, "send_w": form.send}


def _widths_bps(network: Network, to: DeviceId) -> dict[DeviceId, float]:
    """What the widest route from each device carries."""
    graph = Graph.of(network)
    widths = widths_to(graph.index[to], graph, graph.capacity_bps)
    return dict(zip(graph.devices, widths, strict=True))
