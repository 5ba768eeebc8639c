"""What a camera reads: assets, files, folders, network streams and devices; and cameras derived from these."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import cv2

from edgeray.assets import NAMES, asset
from edgeray.errors import BadInputError
from edgeray.streams.films import Film, Folder, Video
from edgeray.streams.live import Live, is_device, is_url, is_whole, open_capture, without_password
from edgeray.streams.views import Look, View
from edgeray.vision.pictures import Picture

_LOOK = tuple(field.name for field in fields(Look))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Some seconds of a camera's time, and what is different in them: fields of Look, by name."""

    seconds: float
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec(Look):
    """A camera: what it reads, how it plays it, and how it looks at it outside of its scenes.

    source: an asset's name, a video, a folder of images, a URL, or a device ("/dev/video0", "0"). items_per_s: pictures
    a second of video time; None: the source's own. frames: it ends after so many. repeat: a file starts again; else it
    ends after as many pictures as it has. scenes: played in turn, and again.
    """

    source: str
    items_per_s: float | None = None
    frames: int | None = None
    repeat: bool = False
    scenes: tuple[Scene, ...] = ()

    def __post_init__(self) -> None:
        Look.__post_init__(self)
        if self.items_per_s is not None and not 0 < self.items_per_s < math.inf:
            raise ValueError(f"items_per_s {self.items_per_s}; expected: more than 0")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"frames {self.frames}; expected: at least 1")
        for scene in self.scenes:
            if not 0 < scene.seconds < math.inf:
                raise ValueError(f"a scene of {scene.seconds} seconds; expected: more than 0")
            self.look_of(scene)

    @property
    def look(self) -> Look:
        return Look(**{name: getattr(self, name) for name in _LOOK})

    def look_of(self, scene: Scene) -> Look:
        return replace(self.look, **scene.changes)

    @classmethod
    def of(cls, mapping: Mapping[str, Any]) -> SourceSpec:
        """From plain numbers, strings, lists and dicts, as `as_args` gives them.

        Raises BadInputError for what is missing, not known, or out of its range.
        """
        try:
            scenes = tuple(
                Scene(
                    seconds=scene["seconds"],
                    changes=_frozen({name: value for name, value in scene.items() if name != "seconds"}),
                )
                for scene in mapping.get("scenes", ())
            )
            return cls(**{**_frozen(mapping), "scenes": scenes})
        except (TypeError, ValueError, KeyError) as error:
            raise BadInputError(
                f"camera source {without_password(str(mapping.get('source')))}: {type(error).__name__}: {error}\n"
                f"  expected: {', '.join(field.name for field in fields(cls))}\n"
                "  remedy:   correct this camera's entry in the job file"
            ) from None

    def as_args(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, of which `of` makes the same again."""
        scenes = [{"seconds": scene.seconds, **_plain(scene.changes)} for scene in self.scenes]
        return {**_plain({field.name: getattr(self, field.name) for field in fields(self)}), "scenes": scenes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """number: from 0. time_s: of the source, goes on when a file starts again. picture: not to be written to."""

    number: int
    time_s: float
    picture: Picture


class Source(Protocol):
    """live: it cannot wait, so that whoever is late loses pictures. frames_per_s: the source's own rate."""

    live: bool
    frames_per_s: float

    def __iter__(self) -> Iterator[Shot]: ...
    def close(self) -> None: ...


def open_source(spec: SourceSpec, *, start: int = 0) -> Source:
    """Open a camera; a file's first shot is number start.

    Raises BadInputError when there is no such source, or no frame of it can be read.
    """
    source = spec.source
    if is_device(source) or is_url(source):
        capture = open_capture(source)
        if capture is None or is_device(source) or not is_whole(capture):
            return _LiveSource(spec, capture)
        capture.release()
    return _FilmSource(spec, _film_opener(source), start)


class _FilmSource:
    """Plays a file as fast as asked. Each shot is found by its time, so that scenes do not disturb each other."""

    live = False

    def __init__(self, spec: SourceSpec, opener: Callable[[], Film], start: int) -> None:
        self._spec = spec
        self._start = start
        self._film = opener()
        self.frames_per_s = self._film.frames_per_s
        self._looks = [spec.look_of(scene) for scene in spec.scenes] or [spec.look]
        self._views = {look: View(look, self._film, opener) for look in dict.fromkeys(self._looks)}

    def __iter__(self) -> Iterator[Shot]:
        rate = self._spec.items_per_s or self.frames_per_s
        number = self._start
        while self._spec.frames is None or number < self._spec.frames:
            time_s = number / rate
            # A whole number must not become one less.
            index = math.floor(number * self.frames_per_s / rate + 1e-6)
            if self._is_over(index):
                return
            picture = self._views[self._look_at(time_s)].picture(index)
            if picture is None or self._is_over(index):  # how long it is may only be known now
                return
            yield Shot(number=number, time_s=time_s, picture=picture)
            number += 1

    def _is_over(self, index: int) -> bool:
        return index >= self._film.count and not self._spec.repeat

    def _look_at(self, time_s: float) -> Look:
        if not self._spec.scenes:
            return self._looks[0]
        left_s = time_s % sum(scene.seconds for scene in self._spec.scenes)
        for scene, look in zip(self._spec.scenes, self._looks, strict=True):
            if left_s < scene.seconds:
                return look
            left_s -= scene.seconds
        return self._looks[-1]

    def close(self) -> None:
        self._film.close()
        for view in self._views.values():
            view.close()


class _LiveSource:
    live = True

    def __init__(self, spec: SourceSpec, capture: cv2.VideoCapture | None) -> None:
        if spec.scenes or spec.still or spec.tiles > 1 or spec.shift_s:
            raise BadInputError(
                f"camera source {without_password(spec.source)}: scenes, tiles, still or a shift of a live source\n"
                "  expected: crop, size and colours only: what is live cannot be read again\n"
                "  remedy:   leave them out, or record the stream and name the file"
            )
        self._spec = spec
        self._stream = Live(spec.source, capture)
        self.frames_per_s = self._stream.frames_per_s

    def __iter__(self) -> Iterator[Shot]:
        least_s = 1 / self._spec.items_per_s if self._spec.items_per_s else 0.0
        for number, (time_s, pixels) in enumerate(self._stream.pictures(least_s)):
            yield Shot(number=number, time_s=time_s, picture=self._spec.seen(pixels))
            if number + 1 == self._spec.frames:
                return

    def close(self) -> None:
        self._stream.close()


def _film_opener(source: str) -> Callable[[], Film]:
    path, name = Path(source), without_password(source)
    if is_url(source) or path.is_file():
        return lambda: Video(source, name)
    if path.is_dir():
        return lambda: Folder(path, name)
    if source in NAMES:
        found = str(asset(source))
        return lambda: Video(found, name)
    raise BadInputError(
        f"camera source {name}: there is no such file, folder or asset\n"
        f"  expected: a path on the camera's device, a URL, a device such as /dev/video0, or one of {', '.join(NAMES)}\n"
        "  remedy:   correct `source`; a video does not travel with the job: copy it to the camera's device"
    )


def _frozen(given: Mapping[str, Any]) -> dict[str, Any]:
    """Lists become the tuples that a frozen value needs."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
