"""What a camera sees: files, folders of pictures, URLs and local devices; and views that are derived of them."""

from __future__ import annotations

import itertools
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeray.assets import asset
from edgeray.errors import BadInputError, EdgeRayError
from edgeray.vision.pictures import Picture

log = logging.getLogger(__name__)

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
USUAL_PER_S = 10.0
"""Of a folder of pictures, and of a file that does not say its rate."""
RETRY_PER_S = 1.0
STILL_FRAMES = 25
"""Frames whose median is the empty street."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A part of a script: for so many seconds of video the camera's own values are these. overrides: of SourceSpec."""

    seconds: float
    overrides: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """What a camera reads, and what is made of it.

    source: an asset's name, a file, a folder of pictures, a URL, or a local device ("/dev/video0", "0"). items_per_s: its
    rate; None: the source's own. frames: stop after so many. repeat: a file starts again. crop: left, top, right, bottom
    as fractions. size: width and height in pixels, after the crop. shift_s: a file begins so far on. hue_deg, saturation,
    brightness: added, and factors. tiles: n by n views at other times in one picture. still: the empty place, nobody in
    it. scenes: parts with other values, in turn and from the start again.
    """

    source: str
    items_per_s: float | None = None
    frames: int | None = None
    repeat: bool = False
    crop: tuple[float, float, float, float] | None = None
    size: tuple[int, int] | None = None
    shift_s: float = 0.0
    hue_deg: float | None = None
    saturation: float | None = None
    brightness: float | None = None
    tiles: int = 1
    still: bool = False
    scenes: tuple[Scene, ...] = ()

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> SourceSpec:
        """Out of plain values, as job files and messages have them."""
        values = {key: _tuple(value) for key, value in told.items() if key != "scenes"}
        scenes = tuple(
            Scene(
                seconds=float(scene["seconds"]),
                overrides={key: _tuple(value) for key, value in scene.items() if key != "seconds"},
            )
            for scene in told.get("scenes", ())
        )
        return cls(**values, scenes=scenes)

    def as_args(self) -> dict[str, Any]:
        """As plain values; `of` makes it the same again."""
        told = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "scenes"}
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in told.items()}
        scenes = [{"seconds": scene.seconds, **scene.overrides} for scene in self.scenes]
        return {**plain, "scenes": scenes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One frame. number: from 0. time_s: in the video; of a live source, since its first frame by its own rate."""

    number: int
    time_s: float
    picture: Picture


class Source:
    """Frames as fast as they are taken. live: it cannot wait, frames must be taken as they come. frames_per_s: its own
    rate. Iterated once."""

    def __init__(self, spec: SourceSpec) -> None:
        self._spec = spec
        self._reader = _reader(spec.source)
        self.live = self._reader.live
        self.frames_per_s = self._reader.frames_per_s

    def __iter__(self) -> Iterator[Shot]:
        """Raises BadInputError when nothing can be read."""
        rate = self._spec.items_per_s or self.frames_per_s
        pictures = self._scripted(rate) if self._spec.scenes else _views(self._spec, self._reader, rate)
        for number, picture in enumerate(itertools.islice(pictures, self._spec.frames)):
            yield Shot(number=number, time_s=number / rate, picture=picture)

    def _scripted(self, rate: float) -> Iterator[Picture]:
        """Scenes in turn. A video goes on through all of them; it is opened anew where its start or tiling changes."""
        taken = 0
        for scene in itertools.cycle(self._spec.scenes):
            spec = replace(self._spec, scenes=(), **scene.overrides)
            on_s = spec.shift_s + taken / self.frames_per_s if spec.repeat and not self.live else spec.shift_s
            count = max(1, round(scene.seconds * rate))
            given = 0
            for picture in itertools.islice(_views(replace(spec, shift_s=on_s), self._reader, rate), count):
                given += 1
                yield picture
            taken += given
            if given < count:
                return


def open_source(spec: SourceSpec) -> Source:
    """Raises BadInputError for a source that is not there, or that OpenCV cannot read."""
    return Source(spec)


def _views(spec: SourceSpec, reader: _Reader, rate: float) -> Iterator[Picture]:
    """The camera's pictures, derived as the spec says."""
    if spec.still:
        empty = _made(spec, reader.empty())
        return itertools.repeat(empty)
    if spec.tiles > 1:
        return _mosaic(spec, reader)
    return (_made(spec, picture) for picture in reader.read(spec.shift_s, spec.repeat))


def _mosaic(spec: SourceSpec, reader: _Reader) -> Iterator[Picture]:
    """n x n views of the same place, each as far on as the video's length divided by their number."""
    count = spec.tiles**2
    step_s = reader.seconds / count
    each = replace(spec, tiles=1, size=None)
    views = [
        (_made(each, picture) for picture in reader.read(spec.shift_s + at * step_s, spec.repeat))
        for at in range(count)
    ]
    for pictures in zip(*views, strict=False):
        height, width = pictures[0].shape[:2]
        small = (max(1, width // spec.tiles), max(1, height // spec.tiles))
        if spec.size is not None:
            small = (max(1, spec.size[0] // spec.tiles), max(1, spec.size[1] // spec.tiles))
        parts = [cv2.resize(picture, small, interpolation=cv2.INTER_AREA) for picture in pictures]
        rows = [np.hstack(parts[at : at + spec.tiles]) for at in range(0, count, spec.tiles)]
        yield np.asarray(np.vstack(rows), np.uint8)


def _made(spec: SourceSpec, picture: Picture) -> Picture:
    """Crop, then size, then colour: the fewer pixels, the less work."""
    if spec.crop is not None:
        height, width = picture.shape[:2]
        left, top, right, bottom = spec.crop
        rows, columns = (
            slice(round(top * height), round(bottom * height)),
            slice(round(left * width), round(right * width)),
        )
        picture = np.ascontiguousarray(picture[rows, columns])
    if spec.size is not None and picture.shape[1::-1] != tuple(spec.size):
        picture = np.asarray(cv2.resize(picture, tuple(spec.size), interpolation=cv2.INTER_AREA), np.uint8)
    return _coloured(spec, picture)


def _coloured(spec: SourceSpec, picture: Picture) -> Picture:
    if spec.hue_deg is None and spec.saturation is None:
        if spec.brightness is None:
            return picture
        return np.asarray(cv2.convertScaleAbs(picture, alpha=spec.brightness), np.uint8)
    hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
    if spec.hue_deg is not None:
        turned = (hsv[..., 0].astype(np.int16) + round(spec.hue_deg / 2)) % 180  # OpenCV has half degrees
        hsv[..., 0] = turned.astype(np.uint8)
    for channel, factor in ((1, spec.saturation), (2, spec.brightness)):
        if factor is not None:
            hsv[..., channel] = cv2.convertScaleAbs(hsv[..., channel], alpha=factor)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)


class _Reader(ABC):
    """Pictures of one kind of source. seconds: how long it is; of a live source 0."""

    live = False
    frames_per_s = USUAL_PER_S
    seconds = 0.0

    @abstractmethod
    def read(self, from_s: float, repeat: bool) -> Iterator[Picture]: ...

    def empty(self) -> Picture:
        """The place with nobody in it: each pixel's median over frames from all over the source."""
        step_s = self.seconds / STILL_FRAMES
        frames = [next(self.read(at * step_s, False), None) for at in range(STILL_FRAMES)]
        return np.asarray(np.median([frame for frame in frames if frame is not None], axis=0), np.uint8)


class _Folder(_Reader):
    def __init__(self, folder: Path) -> None:
        self._files = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES)
        if not self._files:
            raise _unreadable(str(folder), "holds no picture", f"files that end in {', '.join(PICTURES)}")
        self.seconds = len(self._files) / self.frames_per_s

    def read(self, from_s: float, repeat: bool) -> Iterator[Picture]:
        at = round(from_s * self.frames_per_s)
        while at < len(self._files) or repeat:
            file = self._files[at % len(self._files)]
            picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if picture is None:
                raise _unreadable(str(file), "is no picture that OpenCV can read", "a whole picture")
            yield np.asarray(picture, np.uint8)
            at += 1


class _File(_Reader):
    def __init__(self, source: str, path: str) -> None:
        self._source, self._path = source, path
        video = self._open()
        self.frames_per_s = video.get(cv2.CAP_PROP_FPS) or USUAL_PER_S
        self._count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        self.seconds = max(self._count, 1) / self.frames_per_s
        video.release()

    def read(self, from_s: float, repeat: bool) -> Iterator[Picture]:
        at = round(from_s * self.frames_per_s)
        if repeat and self._count > 0:
            at %= self._count
        while True:
            video, given = self._open(), 0
            try:
                if at:
                    video.set(cv2.CAP_PROP_POS_FRAMES, at)
                while (frame := video.read())[0]:
                    given += 1
                    yield np.asarray(frame[1], np.uint8)
            finally:
                video.release()
            if given == 0 and at == 0:
                raise _unreadable(self._source, "holds no frame that OpenCV can read", "a video")
            if not repeat:
                return
            at = 0

    def _open(self) -> Any:
        video = cv2.VideoCapture(self._path)
        if not video.isOpened():
            raise _unreadable(self._source, "is no video that OpenCV can open", "a video file")
        return video


class _Live(_Reader):
    """A URL or a local device. A connection that is lost is opened again; a device that goes ends the job, by name."""

    live = True

    def __init__(self, source: str) -> None:
        self._source = source
        self._device = int(source.removeprefix("/dev/video")) if _is_device(source) else None
        video = self._open()
        if video is None:
            raise _unreadable(source, "cannot be opened", "a camera, or a stream that OpenCV can read")
        self.frames_per_s = video.get(cv2.CAP_PROP_FPS) or USUAL_PER_S
        self._video: Any = video

    def read(self, from_s: float, repeat: bool) -> Iterator[Picture]:
        given = 0
        while True:
            while self._video is not None:
                more, picture = self._video.read()
                if not more:
                    break
                given += 1
                yield np.asarray(picture, np.uint8)
            if given == 0:
                raise _unreadable(
                    self._source, "gives no frame", "a camera, or a stream that OpenCV can read"
                )
            if self._device is not None:
                raise _unreadable(self._source, "gives no more frames", "the camera to stay attached")
            log.warning("%s is lost after %d frames; connecting again", self._source, given)
            self._video = self._again()

    def empty(self) -> Picture:
        raise _unreadable(self._source, "is live, and `still` needs the whole of it", "a file")

    def _open(self) -> Any:
        video = cv2.VideoCapture(self._source if self._device is None else self._device)
        return video if video.isOpened() else None

    def _again(self) -> Any:
        pause = threading.Event()  # the stage's threads are daemons: nobody waits for this one at its end
        while (video := self._open()) is None:
            pause.wait(1 / RETRY_PER_S)
        log.info("%s is back", self._source)
        return video


def _reader(source: str) -> _Reader:
    if "://" in source or _is_device(source):
        return _Live(source)
    path = Path(source)
    if path.is_dir():
        return _Folder(path)
    if path.is_file():
        return _File(source, str(path))
    try:
        return _File(source, str(asset(source)))
    except EdgeRayError as error:
        if path.suffix and len(path.parts) == 1 and not isinstance(error, BadInputError):
            raise
        raise _unreadable(
            source, "is not here", "a video asset, a file or folder on the camera's device, or a URL"
        ) from error


def _is_device(source: str) -> bool:
    return source.isdigit() or (
        source.startswith("/dev/video") and source.removeprefix("/dev/video").isdigit()
    )


def _unreadable(source: str, what: str, expected: str) -> BadInputError:
    return BadInputError(
        f"camera source {source!r} {what}\n"
        f"  expected: {expected}\n"
        "  remedy:   correct `source` of the camera in the job file; assets come with `edgeray assets fetch`"
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
