"""A job that watches cameras, on the devices of a cluster: one task, an "edge", on each device that takes part."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from edgeray.spec.app import App, Cluster, Code
from edgeray.spec.named_devices import RELAYS, Place
from edgeray.spec.streams_form import CameraForm, DetectForm, IdentifyForm, PictureForm
from edgeray.spec.streams_job import Origin, StreamsJob
from policies.model import (
    Camera,
    CameraId,
    DeviceId,
    Flow,
    Job,
    JobId,
    Network,
    Streams,
    Task,
    TaskId,
)

MAX_EDGES = 100
"""Devices that may take part: any two of them talk, so there are nearly as many flows as the square of it."""


def streams_app(job: StreamsJob, cluster: Cluster | Network) -> App:
    """The job's App: a task "edge-DEVICE" on each device that may compute or has a camera, and on the server.

    The server's comes first, then the others by their names; flows join any two, both ways. All run
    edgeray.streams.edge:Edge with one recipe. Raises SpecError for devices that are not there or not reached.
    """
    place = Place.of(cluster, job.error)
    server = place.server(job.form.server)
    workers = _workers(job, place)
    cameras = [
        place.device(("cameras", name, "device"), f"'device' of camera '{name}':", camera.device)
        for name, camera in job.form.cameras.items()
    ]
    edges = {device: edge_task(device) for device in (server, *sorted({*workers, *cameras} - {server}))}
    _check_count(job, len(edges))
    _check_routes(job, place, server, workers)
    recipe = _recipe(job, server, edges)
    return App(
        job=_job(job, edges, server, workers),
        code={
            task: Code(run="edgeray.streams.edge:Edge", args={"recipe": recipe}) for task in edges.values()
        },
        sources={},
        folder=job.folder,
        file=job.file,
        needs_profile=True,
        places=job.places,
    )


def edge_task(device: str) -> TaskId:
    """The task on this device."""
    return TaskId(f"edge-{device}")


def _workers(job: StreamsJob, place: Place) -> tuple[DeviceId, ...]:
    found = place.chosen("devices", "the device", job.form.devices)
    if not found:
        raise job.error(
            ("devices",),
            f"{place.where} has no device that computes: those of type {' or '.join(RELAYS)} only pass data on",
            expected="one at least",
            remedy="name the devices (`devices: [DEVICE]`)",
        )
    return tuple(sorted(found))


def _check_count(job: StreamsJob, count: int) -> None:
    if count > MAX_EDGES:
        raise job.error(
            ("devices",),
            f"{count:,} devices take part, and any two of them have a connection",
            expected=f"at most {MAX_EDGES}",
            remedy="name those that compute (`devices: [DEVICE, DEVICE]`)",
        )


def _check_routes(job: StreamsJob, place: Place, server: DeviceId, workers: tuple[DeviceId, ...]) -> None:
    for name, camera in job.form.cameras.items():
        path = ("cameras", name, "device")
        place.check_routes(path, f"camera '{name}' on", [DeviceId(camera.device)], server)
    place.check_routes(("devices",), "the device", workers, server)


def _job(
    job: StreamsJob, edges: dict[DeviceId, TaskId], server: DeviceId, workers: tuple[DeviceId, ...]
) -> Job:
    form, replan = job.form, job.form.replan
    streams = Streams(
        server=edges[server],
        edges=edges,
        cameras=tuple(
            Camera(id=CameraId(name), device=DeviceId(camera.device), items_per_s=camera.fps)
            for name, camera in form.cameras.items()
        ),
        workers=workers,
        detector_bytes=form.detect.memory,
        identifier_bytes=form.identify.memory,
        least_gain=float("inf") if replan is None else replan.gain,
        settle_s=0.0 if replan is None else replan.settle,
    )
    return Job(
        id=JobId(job.name),
        tasks=tuple(Task(id=task, device=device) for device, task in edges.items()),
        flows=tuple(Flow(producer=a, consumer=b) for a, b in permutations(edges.values(), 2)),
        kind="streams",
        mode="cameras",
        streams=streams,
    )


def _recipe(job: StreamsJob, server: DeviceId, edges: dict[DeviceId, TaskId]) -> dict[str, Any]:
    """What every edge is told, as plain data."""
    form = job.form
    return {
        "server": edges[server],
        "edges": dict(edges),
        "cameras": {name: _camera(camera, job.origins[name]) for name, camera in form.cameras.items()},
        "detect": _step(form.detect),
        "identify": _step(form.identify),
        "track": _given(confirm=form.track.confirm, forget_s=form.track.forget, max_cost=form.track.max_cost),
        "gallery": _given(threshold=form.gallery.threshold, keep=form.gallery.keep),
        "again_s": form.again,
        "sync_s": form.sync,
    }


def _step(form: DetectForm | IdentifyForm) -> dict[str, Any]:
    return {"run": form.run, "args": form.args}


def _camera(camera: CameraForm, origin: Origin) -> dict[str, Any]:
    return {
        "device": camera.device,
        "source": {
            "source": origin.source,
            "items_per_s": camera.fps,
            "frames": camera.frames,
            "repeat": camera.repeat,
            **_picture(camera),
            "scenes": [{"seconds": scene.for_, **_picture(scene)} for scene in camera.scenes],
        },
        "reliable": camera.loss == "reliable" if camera.loss else not origin.live,
        "buffer": camera.buffer,
        "quality": camera.quality,
    }


def _picture(form: PictureForm) -> dict[str, Any]:
    """Under the names of edgeray.streams.sources; what the file does not say is left out."""
    return _given(
        crop=None if form.crop is None else list(form.crop),
        size=None if form.size is None else list(form.size),
        shift_s=form.shift,
        hue_deg=form.hue,
        saturation=form.saturation,
        brightness=form.brightness,
        tiles=form.tiles,
        still=form.still,
    )


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
