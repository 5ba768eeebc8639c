"""One camera's frames, from its source to whichever edge detects in them. Runs on the camera's device."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeray.node.measure import TaskCounters
from edgeray.node.pace import Pace
from edgeray.streams.messages import Begin, Done, Ended, Frame, Leave, Left
from edgeray.streams.sources import Shot, Source, SourceSpec, open_source
from edgeray.vision.pictures import to_jpeg
from policies.model import CameraId, DeviceId

log = logging.getLogger(__name__)

WINDOW = 4
"""Frames under way to a detector and not done: enough to keep the camera, the link and the detector busy at once."""
LEAVE_TIMEOUT_S = 5.0
"""A detector that does not say where it left off within so long is taken for lost."""
GONE_S = 1.0
"""And one to whom no connection stands, within so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSpec:
    """A camera as its job says. reliable: no frame is left out: a file waits, and of a live source as many frames are
    kept as buffer holds. Else the oldest frame goes when buffer is full. quality: of JPEGs, of frames that are sent."""

    camera: CameraId
    device: DeviceId
    source: SourceSpec
    reliable: bool
    buffer: int
    quality: int


class Feed:
    """Sends a camera's frames in order, each until it is done, and moves them to another detector when told to.

    A move loses no frame: the old detector says how far it is (`Left`), and the next one goes on from there with its
    tracks. Frames are kept until a detector has said its state behind them, by when it has them on its disk. So when
    the old one is gone, the next goes on from that state, with all frames since. The state is kept in folder, so that a
    camera whose own process was killed goes on with the tracks that it had, and a reliable file with the next frame.
    tell: a message for an edge; never blocks. standing: whether an edge is connected. Thread-safe.
    """

    def __init__(
        self,
        spec: CameraSpec,
        *,
        tell: Callable[[DeviceId, Any], None],
        standing: Callable[[DeviceId], bool],
        server: DeviceId,
        folder: Path,
        stop: threading.Event,
    ) -> None:
        self.camera = spec.camera
        self.counters = TaskCounters()
        self.moves = 0
        self.moved_s = 0.0
        self._spec, self._tell, self._standing, self._server = spec, tell, standing, server
        self._stop = stop
        self._changed = threading.Condition()
        self._source: Source | None = None
        self._buffer: deque[tuple[float, Shot]] = deque()
        self._read_all = False
        self._ended = False
        self._wanted: DeviceId | None = None
        self._target: DeviceId | None = None
        self._kept = folder / f"{spec.camera}.json"
        self._state = _read_state(self._kept)
        self._number = 0 if self._state is None else int(self._state["number"]) + 1
        self._skipped = self._number if spec.reliable else 0
        self._turn = time.time_ns() // 1_000_000  # above all that an earlier process of this camera has had
        self._sent: OrderedDict[int, Frame] = OrderedDict()  # and not behind the state
        self._safe = self._done = self._number - 1  # the state's frame; the newest that is done
        self._leaving = self._left = False

    # What its edge tells it

    def watch_on(self, device: DeviceId) -> None:
        """Frames go there from now on."""
        with self._changed:
            self._wanted = device
            self._changed.notify_all()

    def take(self, device: DeviceId, message: Done | Left) -> None:
        """A detector's answer; what is late counts for nothing."""
        with self._changed:
            if message.turn != self._turn or device != self._target:
                return
            if message.state is not None:
                self._take_state(message.state)
            if isinstance(message, Done):
                self._done = max(self._done, message.number)
            else:
                self._left = True
            self._changed.notify_all()

    def opened(self, device: DeviceId) -> None:
        """A connection stands anew: what it may have lost is said again."""
        with self._changed:
            if device != self._target:
                return
            if self._leaving:  # no frame any more: it may have left, and would do it again
                self._tell(device, Leave(camera=self.camera, turn=self._turn))
            else:
                self._begin(device)

    def tick(self) -> None:
        """Once a second."""
        with self._changed:
            if self._ended:
                self._tell(self._server, Ended(camera=self.camera))
            self._changed.notify_all()

    def wake(self) -> None:
        """Once stop is set."""
        with self._changed:
            source = self._source
            self._changed.notify_all()
        if source is not None and source.live:  # its thread may be waiting for a picture
            source.close()

    @property
    def moving(self) -> bool:
        return self._wanted is not None and self._target is not None and self._wanted != self._target

    # Threads

    def read(self) -> None:
        """Thread: frames out of the source, at its pace, into the buffer."""
        source = open_source(self._spec.source, start=self._skipped)
        with self._changed:
            self._source = source
        try:
            self._read(source)
        finally:
            source.close()

    def _read(self, source: Source) -> None:
        live = source.live
        pace = Pace(None if live else self._spec.source.items_per_s or source.frames_per_s, None)
        began = time.perf_counter()
        for shot in source:
            self.counters.busy_s += time.perf_counter() - began
            pace.wait(self._stop)
            if self._stop.is_set() or not self._keep(shot, waits=self._spec.reliable and not live):
                return
            began = time.perf_counter()
        with self._changed:
            self._read_all = True
            self._changed.notify_all()

    def send(self) -> None:
        """Thread: frames out of the buffer, to the detector."""
        while not self._stop.is_set():
            with self._changed:
                if self._wanted is not None and self._wanted != self._target:
                    self._move(self._wanted)
                    continue
                taken = self._buffer.popleft() if self._buffer and self._has_room() else None
                if taken is None:
                    if self._read_all and not self._buffer and not self._sent and not self._ended:
                        self._ended = True
                        self._tell(self._server, Ended(camera=self.camera))
                    self._changed.wait()
                    continue
                self._changed.notify_all()
                frame = self._frame(*taken)
            packed = self._packed(frame)  # outside of the lock: it computes
            with self._changed:
                self._sent[frame.number] = packed
                if self._target is not None:  # also where it is to move: that may be taken back
                    self._tell(self._target, replace(packed, turn=self._turn))

    def _keep(self, shot: Shot, *, waits: bool) -> bool:
        """Put a frame into the buffer; False when the stage stops."""
        most = min(self._spec.buffer, WINDOW) if waits else self._spec.buffer
        with self._changed:
            while waits and len(self._buffer) >= most and not self._stop.is_set():
                self._changed.wait()
            if self._stop.is_set():
                return False
            if len(self._buffer) >= most:
                self._buffer.popleft()
                self.counters.dropped += 1
            self._buffer.append((time.time(), shot))
            self.counters.items += 1
            self._changed.notify_all()
        return True

    # With the lock held

    def _has_room(self) -> bool:
        return self._target is not None and self._number - 1 - self._done < WINDOW

    def _frame(self, at_s: float, shot: Shot) -> Frame:
        number, self._number = self._number, self._number + 1
        return Frame(
            camera=self.camera,
            turn=self._turn,
            number=number,
            at_s=at_s,
            time_s=shot.time_s,
            picture=shot.picture,
        )

    def _packed(self, frame: Frame) -> Frame:
        """As it is sent to where it goes: compressed, unless it stays here."""
        if self._target == self._spec.device:
            return frame
        return replace(frame, picture=to_jpeg(frame.picture, self._spec.quality))

    def _take_state(self, state: Mapping[str, Any]) -> None:
        self._state, self._safe = state, int(state["number"])
        _write_state(self._kept, state)
        self._done = max(self._done, self._safe)
        for number in [sent for sent in self._sent if sent <= self._safe]:
            del self._sent[number]

    def _move(self, device: DeviceId) -> None:
        began = time.monotonic()
        first = self._target is None
        if self._target is not None:
            self._leaving, self._left = True, False
            self._tell(self._target, Leave(camera=self.camera, turn=self._turn))
            self._await_left(self._target)
            self._leaving = False
        if self._stop.is_set():
            return
        self._target, self._turn = device, self._turn + 1
        self._begin(device)
        if not first:
            self.moves += 1
            self.moved_s = time.monotonic() - began
            log.info("camera %s is watched on %s after %.2f s", self.camera, device, self.moved_s)

    def _await_left(self, target: DeviceId) -> None:
        by_s = time.monotonic() + LEAVE_TIMEOUT_S
        gone_by_s = time.monotonic() + GONE_S
        while not (self._left or self._stop.is_set()):
            now_s = time.monotonic()
            if now_s >= by_s or (now_s >= gone_by_s and not self._standing(target)):
                log.warning(
                    "%s does not say how far camera %s has come; on from its last word", target, self.camera
                )
                return
            self._changed.wait(0.1)

    def _begin(self, device: DeviceId) -> None:
        """Tell a detector to go on from the state, and all frames since."""
        self._done = self._safe
        first = self._safe + 1
        self._tell(device, Begin(camera=self.camera, turn=self._turn, first=first, state=self._state))
        for number, frame in self._sent.items():
            self._sent[number] = packed = self._packed(frame)
            self._tell(device, replace(packed, turn=self._turn))


def _read_state(file: Path) -> Mapping[str, Any] | None:
    """What a detector said last to an earlier process of this camera; None where there is none, or it is damaged."""
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        return {**state, "pending": []} if isinstance(state, dict) and "number" in state else None
    except (OSError, ValueError):
        return None


def _write_state(file: Path, state: Mapping[str, Any]) -> None:
    """Without pictures: who was not known yet is asked about when seen again."""
    fresh = file.with_suffix(".new")
    fresh.write_text(
        json.dumps({key: value for key, value in state.items() if key != "pending"}), encoding="utf-8"
    )
    fresh.replace(file)
