"""Cameras that do not wait: network streams and devices of this machine."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np

from edgeray.errors import BadInputError
from edgeray.streams.films import frames_per_s
from edgeray.vision.pictures import Picture

log = logging.getLogger(__name__)

_ANSWER_MS = 5000
_LONGEST_WAIT_S = 10.0


class Live:
    """Reads a stream or a device as its pictures come, and connects again, ever slower, when it is lost.

    capture: from open_capture. Raises BadInputError when there is none: at first, a camera must be there.
    """

    def __init__(self, source: str, capture: cv2.VideoCapture | None) -> None:
        self._source = source
        self.name = without_password(source)
        self._closed = threading.Event()
        if capture is None:
            raise BadInputError(
                f"camera source {self.name}: it does not answer, or sends no picture\n"
                "  expected: a stream or a device that OpenCV opens from this device\n"
                "  remedy:   check the address, the network and that the camera is on; play it with another program"
            )
        self._capture: cv2.VideoCapture | None = capture
        self.frames_per_s = frames_per_s(capture)

    def pictures(self, least_s: float) -> Iterator[tuple[float, Picture]]:
        """Seconds since the start, and the picture; those that come sooner than least_s after the last are left out."""
        began_s = time.monotonic()
        due_s = 0.0
        while not self._closed.is_set():
            if self._capture is None or not self._capture.grab():
                self._connect_again()
                continue
            now_s = time.monotonic() - began_s
            if now_s < due_s:
                continue
            read, pixels = self._capture.retrieve()
            if read:
                due_s = max(due_s + least_s, now_s)
                yield now_s, np.asarray(pixels, np.uint8)

    def close(self) -> None:
        """Ends pictures(), too, once its present picture is there."""
        self._closed.set()

    def _connect_again(self) -> None:
        if self._capture is not None:
            self._capture.release()
            log.warning("camera source %s was lost; connecting again until it answers", self.name)
        wait_s = 0.2
        self._capture = None
        while self._capture is None and not self._closed.wait(wait_s):
            self._capture = open_capture(self._source)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        if self._capture is not None:
            log.warning("camera source %s is back", self.name)


def open_capture(source: str) -> cv2.VideoCapture | None:
    """Open a device or a URL; None when it does not answer."""
    number = re.fullmatch(r"(?:/dev/video)?(\d+)", source)
    if number:
        capture = cv2.VideoCapture(int(number.group(1)))
    else:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _ANSWER_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _ANSWER_MS]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
    if capture.isOpened():
        return capture
    capture.release()
    return None


def is_device(source: str) -> bool:
    return re.fullmatch(r"(/dev/video)?\d+", source) is not None


def is_url(source: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]*://", source, re.IGNORECASE) is not None


def is_whole(capture: cv2.VideoCapture) -> bool:
    """Whether a URL led to a whole video, with a beginning and an end, which can be read again."""
    return bool(capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0)


def without_password(source: str) -> str:
    """The source as it may be shown: a URL without its user's name and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", source)
