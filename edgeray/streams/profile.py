"""What watching each camera of a job takes on one device, measured on its real pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from edgeray.errors import BadInputError
from edgeray.node.code import LoadedTask, load_task
from edgeray.node.limits import enter_stage_group
from edgeray.profiler.measure import TaskMeasurement, measure
from edgeray.streams.feed import CameraSpec
from edgeray.streams.identify import Embed
from edgeray.streams.recipe import Recipe
from edgeray.streams.sources import SourceSpec, open_source
from edgeray.streams.watch import MARGIN, Detect
from edgeray.vision.pictures import Picture, cut, to_jpeg, to_pixels
from edgeray.vision.tracking import Tracker
from policies.model import CameraId, DeviceId, Flow, Job, JobId, Task, TaskId
from policies.streams.reading import STEPS, step

log = logging.getLogger(__name__)

ITEMS, LEAST_ITEMS = 20, 6
BUDGET_S = 15.0
STAND_IN = (576, 768)
"""Rows and columns of a picture where a camera's source cannot be read on this device."""
TYPICAL = np.array([0.45, 0.3, 0.55, 0.7], np.float32)
"""A person's place in a picture on which nobody was found, as fractions."""


def measure_streams(recipe: Mapping[str, Any], *, cpus: float) -> dict[TaskId, TaskMeasurement]:
    """Seconds, bytes and memory of every camera's steps (`STEPS`) on this device, under its CPU limit.

    Steps are measured a frame, identify a person. Where a camera's source is on another device only, a picture of noise
    stands in for it: its pixels cost the detector what any cost; reading and sending it are then told by the other type.
    Raises StageError when the job's code fails.
    """
    told = Recipe.of(recipe)
    process = psutil.Process()
    loaded: dict[str, int] = {}
    before = process.memory_info().rss
    detect: Detect = load_task(TaskId("detect"), told.detect, Path()).call
    loaded["detect"] = process.memory_info().rss - before
    before = process.memory_info().rss
    embed: Embed = load_task(TaskId("identify"), told.identify, Path()).call
    loaded["identify"] = process.memory_info().rss - before
    chains = [_Chain(camera, told.track, detect, embed) for camera in told.cameras.values()]
    capped = enter_stage_group() and cpus < 1
    found = measure(
        _job([chain.camera for chain in chains], told.server),
        {task: loaded_task for chain in chains for task, loaded_task in chain.tasks().items()},
        {step(name, chain.camera): max(0, loaded[name]) for chain in chains[:1] for name in loaded},
        items=ITEMS,
        min_items=LEAST_ITEMS,
        budget_s=BUDGET_S,
        quota_cpus=cpus if capped else None,
        sent=[step(name, chain.camera) for chain in chains for name in ("encode", "detect")],
    )
    elsewhere = {step(name, c.camera) for c in chains if not c.is_here for name in ("camera", "encode")}
    return {task: row for task, row in found.items() if task not in elsewhere}


def _job(cameras: Sequence[CameraId], device: DeviceId) -> Job:
    """The steps of all cameras as a DAG: a chain each."""
    chains = [[step(name, camera) for name in STEPS] for camera in cameras]
    return Job(
        id=JobId("streams"),
        tasks=tuple(Task(id=task, device=device) for chain in chains for task in chain),
        flows=tuple(
            Flow(producer=chain[at], consumer=chain[at + 1])
            for chain in chains
            for at in range(len(chain) - 1)
        ),
    )


class _Chain:
    """One camera's steps, as tasks."""

    def __init__(self, spec: CameraSpec, track: Mapping[str, Any], detect: Detect, embed: Embed) -> None:
        self.camera = spec.camera
        self._spec, self._detect, self._embed = spec, detect, embed
        self._tracker = Tracker(**track)
        self._shown = 0
        self.is_here = True
        self._pictures = self._open()

    def tasks(self) -> dict[TaskId, LoadedTask]:
        calls: dict[str, Callable[..., Any]] = {
            "camera": lambda: self._pictures,
            "encode": lambda picture: to_jpeg(picture, self._spec.quality),
            "decode": to_pixels,
            "detect": self._person,
            "identify": lambda crop: self._embed([crop]),
        }
        return {
            step(name, self.camera): LoadedTask(task=step(name, self.camera), call=call, close=lambda: None)
            for name, call in calls.items()
        }

    def _open(self) -> Iterator[Picture]:
        try:
            source = iter(open_source(self._spec.source))
            first = next(source).picture
        except (BadInputError, StopIteration) as error:
            log.info("camera %s cannot be read here, a stand-in is measured: %s", self.camera, error)
            self.is_here = False
            return _noise(self._spec.source)
        return _after(first, (shot.picture for shot in source))

    def _person(self, picture: Picture) -> Picture:
        """Detect and follow; one person's picture, as it would be sent."""
        boxes, scores = self._detect(picture)
        self._tracker.update(boxes, scores, 0.1 * self._shown)
        self._shown += 1
        height, width = picture.shape[:2]
        box = (
            boxes[int(scores.argmax())] if len(boxes) else TYPICAL * np.array([width, height] * 2, np.float32)
        )
        return cut(picture, box, MARGIN)


def _noise(spec: SourceSpec) -> Iterator[Picture]:
    rng = np.random.default_rng(0)
    width, height = spec.size or STAND_IN[::-1]
    while True:
        yield rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def _after(first: Picture, rest: Iterator[Picture]) -> Iterator[Picture]:
    yield first
    yield from rest
