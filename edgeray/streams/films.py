"""What a camera can read again: videos and folders of images, by the number of the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edgeray.errors import BadInputError
from edgeray.vision.pictures import Picture

FOLDER_FRAMES_PER_S = 10.0
IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_READ_ON_FRAMES = 64  # as cheap as a seek, which decodes from the key frame before


class Film(Protocol):
    """A known number of pictures. count may become less, once where a video ends turns out."""

    frames_per_s: float

    @property
    def count(self) -> int: ...
    def at(self, index: int) -> Picture | None:
        """The picture, not to be written to; None past the end."""
        ...

    def close(self) -> None: ...


class Video:
    """A file, or a URL of one, that OpenCV reads. Raises BadInputError when no frame of it can be read."""

    def __init__(self, source: str, name: str) -> None:
        self._source = source
        self._capture = cv2.VideoCapture(source)
        self._next = 0  # the frame that grab takes next
        self._shown: tuple[int, Picture] | None = None
        self.frames_per_s = frames_per_s(self._capture)
        self._count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if self._count <= 0:
            self._count = self._counted()
        if self._count == 0 or self.at(0) is None:
            self._capture.release()
            raise unreadable(name)

    @property
    def count(self) -> int:
        return self._count

    def at(self, index: int) -> Picture | None:
        if index >= self._count:
            return None
        if self._shown is not None and self._shown[0] == index:
            return self._shown[1]
        if not self._go(index):
            self._count = min(self._count, self._next)  # the file's header promised more
            return None
        read, pixels = self._capture.retrieve()
        if not read:
            return None
        self._shown = index, np.asarray(pixels, np.uint8)
        return self._shown[1]

    def close(self) -> None:
        self._capture.release()

    def _go(self, index: int) -> bool:
        """Grab the frame. What is passed over is not turned into pixels."""
        if not 0 <= index - self._next <= _READ_ON_FRAMES:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, index)
            if self._capture.grab():
                self._next = index + 1
                return True
            self._rewind()  # not every source can seek, and none past its end
        while self._next <= index:
            if not self._capture.grab():
                return False
            self._next += 1
        return True

    def _rewind(self) -> None:
        self._capture.release()
        self._capture = cv2.VideoCapture(self._source)
        self._next = 0

    def _counted(self) -> int:
        count = 0
        while self._capture.grab():
            count += 1
        self._next = count
        return count


class Folder:
    """Images in the order of their names. Raises BadInputError when there is none, or the first cannot be read."""

    frames_per_s = FOLDER_FRAMES_PER_S

    def __init__(self, folder: Path, name: str) -> None:
        self._files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
        self._name = name
        if not self._files:
            raise BadInputError(
                f"camera source {name}: the folder holds no image\n"
                f"  expected: files that end in one of {', '.join(IMAGES)}\n"
                "  remedy:   put them there, or name another folder"
            )
        self.at(0)

    @property
    def count(self) -> int:
        return len(self._files)

    def at(self, index: int) -> Picture | None:
        if index >= len(self._files):
            return None
        pixels = cv2.imread(str(self._files[index]), cv2.IMREAD_COLOR)
        if pixels is None:
            raise unreadable(f"{self._name}, {self._files[index].name}")
        return np.asarray(pixels, np.uint8)

    def close(self) -> None:
        """Nothing is open."""


def frames_per_s(capture: cv2.VideoCapture) -> float:
    """What the source says of its rate; 10 where it says nothing, or nonsense."""
    said = float(capture.get(cv2.CAP_PROP_FPS))
    return said if 0 < said <= 1000 else 10.0


def unreadable(name: str) -> BadInputError:
    return BadInputError(
        f"camera source {name}: no frame can be read\n"
        "  expected: a video or an image in a format that OpenCV opens\n"
        "  remedy:   play it with another program, and convert it, e.g. to H.264 in MP4"
    )
