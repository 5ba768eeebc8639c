"""Cameras, detectors and re-identification on virtual devices, frame by frame, as `edgeray.streams` does it live."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgeray.simulator.clock import WORLD, Clock
from edgeray.simulator.shares import Threads, Wires
from edgeray.streams.feed import WINDOW
from edgeray.streams.identify import BATCH
from edgeray.streams.watch import MOST_ASKED
from policies.streams.reading import Watched

People = Callable[[int, float], float]
"""People to be re-identified a frame, by the camera's index and the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeding:
    """How a camera gives its frames. waits: it is a file, whose next frame waits until there is room for it; else the
    oldest of buffer frames goes."""

    waits: bool = True
    buffer: int = WINDOW


class Frame:
    """waits: people that are not known yet. packed: compressed already. done: somebody has detected in it."""

    __slots__ = ("done", "packed", "people", "taken_s", "waits")

    def __init__(self, taken_s: float, people: int) -> None:
        self.taken_s, self.people = taken_s, people
        self.waits = people
        self.done = self.packed = False


class Scene:
    """All that happens. each: what re-identifying one person takes, as `watched` tells it for one a frame.

    server: the device that has the gallery. window: frames under way to a detector. move_s: what a stream stands still
    for when it moves.
    """

    def __init__(
        self,
        clock: Clock,
        each: Watched,
        wires: Wires,
        *,
        server: int,
        people: People,
        feeding: Mapping[int, Feeding],
        window: int,
        move_s: float,
    ) -> None:
        self.clock, self.each, self.wires, self.people = clock, each, wires, people
        self.window, self.move_s, self.server = window, move_s, server
        self.threads = [Threads(clock) for _ in each.graph.devices]
        self.workers = [Worker(self, device) for device in range(len(each.graph.devices))]
        self.cameras = [
            CameraRun(self, k, feeding.get(k, Feeding()), camera.items_per_s)
            for k, camera in enumerate(each.cameras)
        ]

    def map(self, camera: int, detect_on: int, identify_on: int) -> None:
        self.cameras[camera].map(detect_on, identify_on)


class CameraRun:
    """One camera: a thread that reads, one that compresses and sends, and what became of its frames.

    results: when each frame was done with all that was asked, and how long after it was taken. seen: when each was
    detected, with how many people to ask about. taken: frames that the camera gave.
    """

    def __init__(self, scene: Scene, index: int, feeding: Feeding, items_per_s: float | None) -> None:
        self.results: list[tuple[float, float]] = []
        self.seen: deque[tuple[float, int]] = deque()
        self.taken = self.dropped = self.moves = self.identify_moves = self.asked = self.turn = 0
        self.target = self.identify_on = -1
        each = scene.each
        self._scene, self.index = scene, index
        self._at = int(each.at[index])
        self._read_s = float(each.read_s[index, self._at])
        self._pack_s = float((each.encode_s + each.send_s)[index, self._at])
        self._bits = float(each.frame_bits[index])
        self._period_s = 1 / items_per_s if items_per_s else 0.0
        self._waits = feeding.waits or not items_per_s
        self._most = min(feeding.buffer, scene.window) if self._waits else feeding.buffer
        self._due_s = 0.0
        self._buffer: deque[float] = deque()
        self._sent: dict[Frame, None] = {}
        self._again: deque[Frame] = deque()
        self._packing: Frame | None = None
        self._moving = self._blocked = False
        self._owed = 0.5

    # Where it is watched

    def map(self, detect_on: int, identify_on: int) -> None:
        if self.identify_on not in (-1, identify_on):
            self.identify_moves += 1
        self.identify_on = identify_on
        if self.target == -1:
            self.target = detect_on
            self._read()
        elif detect_on != self.target:
            self.moves += 1
            self.turn += 1
            self._scene.workers[self.target].drop(self.index)
            self.target, self._moving = detect_on, True
            self._scene.clock.at(self._scene.clock.now_s + self._scene.move_s, WORLD, self._moved, self.turn)

    def _moved(self, turn: int) -> None:
        """The new detector goes on with the frames that were not done."""
        if turn == self.turn:
            self._moving = False
            self._again = deque(frame for frame in self._sent if frame is not self._packing)
            self._send()

    # Its reading thread

    def _read(self) -> None:
        self._scene.threads[self._at].run(self._read_s, self._was_read)

    def _was_read(self, _: Any) -> None:
        now_s = self._scene.clock.now_s
        # Half a period of slack, as `edgeray.node.pace` has it.
        self._due_s = (
            max(self._due_s + self._period_s, now_s - self._period_s / 2) if self._period_s else now_s
        )
        self._scene.clock.at(max(self._due_s, now_s), WORLD, self._keep)

    def _keep(self, _: Any = None) -> None:
        if len(self._buffer) >= self._most:
            if self._waits:
                self._blocked = True
                return
            self._buffer.popleft()
            self.dropped += 1
        self._take()
        self._send()

    # Its sending thread

    def _send(self, _: Any = None) -> None:
        while self._packing is None and not self._moving:
            frame = self._next()
            if frame is None:
                return
            if self.target != self._at and not frame.packed:
                self._packing = frame
                self._scene.threads[self._at].run(self._pack_s, self._packed, frame)
            else:
                self._launch(frame)

    def _next(self) -> Frame | None:
        while self._again:
            frame = self._again.popleft()
            if not frame.done:
                return frame
        if not self._buffer or len(self._sent) >= self._scene.window:
            return None
        taken_s = self._buffer.popleft()
        if self._blocked:
            self._blocked = False
            self._take()  # the one that waited for room
        frame = Frame(taken_s, self._people(taken_s))
        self._sent[frame] = None
        return frame

    def _take(self) -> None:
        """A frame is in the buffer, and the next one is read."""
        self._buffer.append(self._scene.clock.now_s)
        self.taken += 1
        self._read()

    def _people(self, taken_s: float) -> int:
        """Whole people, as many as there are over some frames."""
        self._owed += self._scene.people(self.index, taken_s)
        whole = int(self._owed)
        self._owed -= whole
        return whole

    def _packed(self, frame: Frame) -> None:
        self._packing = None
        frame.packed = True
        if not self._moving:  # else it goes with those that were not done
            self._launch(frame)
            self._send()

    def _launch(self, frame: Frame) -> None:
        wires = self._scene.wires
        bits = self._bits if self.target != self._at else 0.0
        wires.send(self._at, self.target, bits, self._arrived, (frame, self.turn))

    def _arrived(self, what: tuple[Frame, int]) -> None:
        frame, turn = what
        if turn == self.turn:
            self._scene.workers[self.target].add(self.index, frame)

    # What its detector tells

    def detected(self, frame: Frame, device: int) -> None:
        """A frame is done but for the people in it, who are asked about."""
        if frame.done:
            return  # it came twice, before and after a move
        scene = self._scene
        frame.done = True
        self.seen.append((scene.clock.now_s, frame.people))
        back_s = scene.wires.delay_s(device, self._at)
        if back_s > 0:
            scene.clock.at(scene.clock.now_s + back_s, WORLD, self._told, frame)
        else:
            self._told(frame)
        if not frame.people:
            self._result(frame)
        self.asked += frame.people
        for _ in range(frame.people):
            bits = float(scene.each.crop_bits[self.index]) if device != self.identify_on else 0.0
            identify = scene.workers[self.identify_on].identify
            scene.wires.send(device, self.identify_on, bits, identify, (self, frame, device))

    def _told(self, frame: Frame) -> None:
        self._sent.pop(frame, None)
        self._send()

    def known(self, frame: Frame) -> None:
        """One person of a frame has been told who it is."""
        self.asked -= 1
        frame.waits -= 1
        if not frame.waits:
            self._result(frame)
        if self.asked == MOST_ASKED - 1:
            self._scene.workers[self.target].go_on()

    def _result(self, frame: Frame) -> None:
        now_s = self._scene.clock.now_s
        self.results.append((now_s, now_s - frame.taken_s))


class Worker:
    """A device's computing thread: re-identification first, then a frame of each waiting stream in turn."""

    def __init__(self, scene: Scene, device: int) -> None:
        self._scene, self._device = scene, device
        self._streams: dict[int, deque[Frame]] = {}
        self._crops: deque[tuple[CameraRun, Frame, int]] = deque()
        self._busy = False

    def add(self, camera: int, frame: Frame) -> None:
        self._streams.setdefault(camera, deque()).append(frame)
        self.go_on()

    def drop(self, camera: int) -> None:
        self._streams.pop(camera, None)

    def identify(self, crop: tuple[CameraRun, Frame, int]) -> None:
        """crop: whose it is, and the device that it comes from."""
        self._crops.append(crop)
        self.go_on()

    def go_on(self) -> None:
        if self._busy:
            return
        if self._crops:
            self._batch()
            return
        cameras = self._scene.cameras
        for camera, frames in self._streams.items():
            if frames and cameras[camera].asked < MOST_ASKED:
                self._streams[camera] = self._streams.pop(camera)  # last in the next round
                self._detect(camera, frames.popleft())
                return

    def _detect(self, camera: int, frame: Frame) -> None:
        self._busy = True
        each, run = self._scene.each, self._scene.cameras[camera]
        seconds = float(each.instance.detect_s[camera, self._device])
        if run.identify_on != self._device:
            seconds += frame.people * float(each.send_crops_s[camera, self._device])
        self._scene.threads[self._device].run(seconds, self._detected, (run, frame))

    def _detected(self, what: tuple[CameraRun, Frame]) -> None:
        run, frame = what
        run.detected(frame, self._device)  # its people wait together then
        self._busy = False
        self.go_on()

    def _batch(self) -> None:
        self._busy = True
        each, device = self._scene.each, self._device
        crops = [self._crops.popleft() for _ in range(min(BATCH, len(self._crops)))]
        seconds = 0.0
        for run, _, source in crops:
            seconds += float(each.instance.identify_s[run.index, device])
            if source != device:
                seconds += float(each.send_crops_s[run.index, device])
        self._scene.threads[device].run(seconds, self._identified, crops)

    def _identified(self, crops: list[tuple[CameraRun, Frame, int]]) -> None:
        self._busy = False
        clock, wires, server = self._scene.clock, self._scene.wires, self._scene.server
        there_and_back_s = wires.delay_s(self._device, server) + wires.delay_s(server, self._device)
        for run, frame, source in crops:
            after_s = there_and_back_s + wires.delay_s(self._device, source)
            clock.at(clock.now_s + after_s, WORLD, run.known, frame)
        self.go_on()
