"""What every edge of a job is told: its cameras, its code, and how things are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeray.node.code import TaskCode
from edgeray.streams.feed import CameraSpec
from edgeray.streams.sources import SourceSpec
from policies.model import CameraId, DeviceId, TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """server: the device of the edge that has the gallery and the archive. track, gallery: arguments of
    `edgeray.vision.tracking.Tracker` and `edgeray.vision.gallery.Gallery`. again_s: tracks are identified again after
    so long; None: once. sync_s: how often stores go to the head."""

    server: DeviceId
    edges: Mapping[DeviceId, TaskId]
    cameras: Mapping[CameraId, CameraSpec]
    detect: TaskCode
    identify: TaskCode
    track: Mapping[str, Any]
    gallery: Mapping[str, Any]
    again_s: float | None
    sync_s: float

    @staticmethod
    def of(told: Mapping[str, Any]) -> Recipe:
        """Out of the plain values that a job file became (`edgeray.spec.streams_app`)."""
        edges = {DeviceId(device): TaskId(task) for device, task in told["edges"].items()}
        return Recipe(
            server=next(device for device, task in edges.items() if task == told["server"]),
            edges=edges,
            cameras={CameraId(name): _camera(name, camera) for name, camera in told["cameras"].items()},
            detect=TaskCode(run=told["detect"]["run"], args=dict(told["detect"]["args"])),
            identify=TaskCode(run=told["identify"]["run"], args=dict(told["identify"]["args"])),
            track=dict(told["track"]),
            gallery=dict(told["gallery"]),
            again_s=told["again_s"],
            sync_s=float(told["sync_s"]),
        )


def _camera(name: str, told: Mapping[str, Any]) -> CameraSpec:
    return CameraSpec(
        camera=CameraId(name),
        device=DeviceId(told["device"]),
        source=SourceSpec.of(told["source"]),
        reliable=bool(told["reliable"]),
        buffer=int(told["buffer"]),
        quality=int(told["quality"]),
    )
