"""One camera's people on the edge that detects them: found, followed, and asked about once each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgeray.errors import EdgeRayError, StageError
from edgeray.node.measure import SinkLog, TaskCounters
from edgeray.streams.messages import Begin, Done, Frame, Identify, Known, Leave, Left
from edgeray.streams.store import FrameResult, Identity, Record, Sighting
from edgeray.streams.worker import Worker
from edgeray.vision.pictures import Picture, cut, to_pixels
from edgeray.vision.tracking import Track, Tracker
from policies.model import CameraId, DeviceId

Detect = Callable[[Picture], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]

MARGIN = 0.0
"""Of a person's box, around the picture that is re-identified: the background tells less than the person does."""
MOST_ASKED = 8
"""People that a camera waits to know; then its frames wait."""
ASK_AGAIN_S = 5.0
"""An answer that does not come is asked for again."""
STATE_S, STATE_FRAMES = 1.0, 16
"""How often a camera is told where its detector is: it keeps its frames until then."""


@dataclass(slots=True)
class Counts:
    """Of one camera on this edge, all its turns together. results: when each frame was done with all that was asked."""

    detect: TaskCounters = field(default_factory=TaskCounters)
    results: SinkLog = field(default_factory=SinkLog)
    people: TaskCounters = field(default_factory=TaskCounters)


class Surroundings(Protocol):
    """What a watch needs of its edge."""

    worker: Worker

    def tell(self, device: DeviceId, message: Any) -> None: ...
    def identify_on(self, camera: CameraId) -> DeviceId | None: ...
    def record(self, records: Sequence[Record]) -> None: ...
    def recorded(self, camera: CameraId) -> int: ...
    def flush(self) -> None: ...
    def left(self, watch: Watch, left: Left) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a camera saw last. boxes: left, top, right, bottom in pixels, by track; persons: None where not known yet."""

    at_s: float
    picture: Picture
    boxes: tuple[tuple[float, ...], ...]
    tracks: tuple[int, ...]
    persons: tuple[int | None, ...]


class Watch:
    """Made by a camera's `Begin`, gone after its `Leave`. take_* may come from any thread; the rest runs on the worker.

    A track is asked about when it is new; once more where again_s says so and it is still seen.
    """

    def __init__(
        self,
        begin: Begin,
        source: DeviceId,
        edge: Surroundings,
        counts: Counts,
        *,
        detect: Callable[[], Detect],
        track: Mapping[str, Any],
        again_s: float | None,
    ) -> None:
        state = begin.state
        self.camera, self.turn, self.source = begin.camera, begin.turn, source
        self.look: Look | None = None
        self._edge, self._counts, self._detect, self._again_s = edge, counts, detect, again_s
        self._alive = True
        self._next = begin.first
        self._tracker = Tracker(**track) if state is None else Tracker.of(state["tracker"])
        self._persons: dict[int, int] = {} if state is None else dict(state["persons"])
        self._known_s: dict[int, float] = {} if state is None else dict(state["known_s"])
        self._asked: dict[int, tuple[float, Identify]] = {}
        self._awaited: dict[
            int, tuple[float, set[int]]
        ] = {}  # by frame: when it was taken, tracks not known yet
        self._told_s, self._told = (
            -STATE_S,
            begin.first - 1,
        )  # when the state was told last, and of which frame
        self._recorded = edge.recorded(begin.camera)
        for pending in () if state is None else state["pending"]:
            self._ask(Identify(camera=self.camera, **pending))

    # From any thread

    def take(self, message: Frame | Leave) -> None:
        if message.turn != self.turn:
            return
        if isinstance(message, Frame):
            self._edge.worker.add(self.camera, lambda: self._frame(message))
        else:  # at once: another detector does what waits here
            self._edge.worker.drop(self.camera)
            self._edge.worker.hurry(self._leave)

    def take_known(self, known: Known) -> None:
        self._edge.worker.hurry(lambda: self._known(known))

    def tick(self) -> None:
        """Once a second: what is not answered is asked again, and what is done is safe even if no further frame comes."""
        self.ask_again(older_s=ASK_AGAIN_S)
        self._edge.worker.hurry(self._tell_rest)

    def ask_again(self, *, older_s: float = 0.0) -> None:
        """Repeat what was not answered, and was asked so long ago."""
        self._edge.worker.hurry(lambda: self._repeat(older_s))

    @property
    def asking(self) -> bool:
        """Whether somebody is not known yet; what is known has been recorded."""
        return bool(self._asked)

    def end(self) -> None:
        """Another watch takes the camera's place here, or none."""
        self._alive = False
        self._edge.worker.drop(self.camera)

    # On the worker

    def _frame(self, frame: Frame) -> None:
        if not self._alive or frame.number > self._next:
            return  # what lies between was lost on the way, and comes again
        if frame.number == self._next:
            began = time.perf_counter()
            self._work(frame)
            self._counts.detect.busy_s += time.perf_counter() - began
            self._tell_done()
        elif frame.number == self._next - 1:  # it comes again, since an answer was lost
            self._tell_state()

    def _work(self, frame: Frame) -> None:
        picture = to_pixels(frame.picture)
        boxes, scores = self._found(picture, frame.number)
        tracks = self._tracker.update(boxes, scores, frame.time_s)
        self._next = frame.number + 1
        now_s = time.time()
        sure = [track for track in tracks if track.id]
        wanted = [track for track in sure if self._is_asked_about(track, now_s)]
        for track in wanted:
            beside = tuple(other.id for other in sure if other.id != track.id)
            crop = cut(picture, np.array(track.box, np.float32), MARGIN)
            self._ask(Identify(camera=self.camera, track=track.id, at_s=frame.at_s, crop=crop, beside=beside))
            self._told_s = -STATE_S
        self._count(frame, now_s, sure, wanted)
        if frame.number > self._recorded:  # what was stored before a kill, but after the state, is done again
            self._edge.record(self._records(frame, now_s, sure))
        self.look = Look(
            at_s=frame.at_s,
            picture=picture,
            boxes=tuple(track.box for track in sure),
            tracks=tuple(track.id for track in sure),
            persons=tuple(self._persons.get(track.id) for track in sure),
        )
        if len(self._asked) >= MOST_ASKED and self._alive:
            self._edge.worker.hold(self.camera, True)

    def _found(
        self, picture: Picture, number: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        try:
            return self._detect()(picture)
        except EdgeRayError:
            raise
        except Exception as error:
            raise StageError(
                f"detect of camera {self.camera} raised {type(error).__name__} on frame {number}: {error}"
            ) from error

    def _is_asked_about(self, track: Track, now_s: float) -> bool:
        if track.id in self._asked:
            return False
        if track.id not in self._persons:
            return True
        return self._again_s is not None and now_s - self._known_s.get(track.id, now_s) >= self._again_s

    def _ask(self, request: Identify) -> None:
        self._asked[request.track] = time.monotonic(), request
        self._send(request)

    def _send(self, request: Identify) -> None:
        device = self._edge.identify_on(self.camera)
        if device is not None:
            self._edge.tell(device, request)

    def _repeat(self, older_s: float) -> None:
        now_s = time.monotonic()
        for track, (asked_s, request) in tuple(self._asked.items()):
            if self._alive and now_s - asked_s >= older_s:
                self._asked[track] = now_s, request
                self._send(request)

    def _known(self, known: Known) -> None:
        if not self._alive or known.track not in self._asked:
            return
        now_s = time.time()
        self._persons[known.track], self._known_s[known.track] = known.person, now_s
        self._edge.record(
            [
                Identity(
                    camera=self.camera,
                    track=known.track,
                    person=known.person,
                    similarity=known.similarity,
                    at_s=now_s,
                    features=known.features.astype(np.float16).tobytes(),
                )
            ]
        )
        del self._asked[known.track]
        for frame, (at_s, tracks) in tuple(self._awaited.items()):
            tracks.discard(known.track)
            if not tracks:
                del self._awaited[frame]
                self._result(at_s, now_s)
        if len(self._asked) < MOST_ASKED:
            self._edge.worker.hold(self.camera, False)

    def _count(self, frame: Frame, now_s: float, sure: Sequence[Track], wanted: Sequence[Track]) -> None:
        self._counts.detect.items += 1
        self._counts.people.items += len(sure)
        if wanted:
            self._awaited[frame.number] = frame.at_s, {track.id for track in wanted}
        else:
            self._result(frame.at_s, now_s)

    def _result(self, at_s: float, now_s: float) -> None:
        self._counts.detect.recent.append(now_s - at_s)
        self._counts.results.add(now_s, now_s - at_s)

    def _records(self, frame: Frame, now_s: float, sure: Sequence[Track]) -> list[Record]:
        seen: list[Record] = [
            Sighting(
                camera=self.camera,
                frame=frame.number,
                at_s=frame.at_s,
                track=track.id,
                person=self._persons.get(track.id),
                box=track.box,
            )
            for track in sure
        ]
        result = FrameResult(
            camera=self.camera,
            frame=frame.number,
            at_s=frame.at_s,
            latency_s=now_s - frame.at_s,
            people=len(sure),
        )
        return [*seen, result]

    def _tell_done(self) -> None:
        done = self._next - 1
        if time.monotonic() - self._told_s >= STATE_S or done - self._told >= STATE_FRAMES:
            self._tell_state()
        else:
            self._edge.tell(self.source, Done(camera=self.camera, turn=self.turn, number=done, state=None))

    def _tell_rest(self) -> None:
        if self._alive and self._told < self._next - 1:
            self._tell_state()

    def _tell_state(self) -> None:
        """Frames are given up behind it, so that all that they gave has to be on the disk."""
        self._edge.flush()
        self._told_s, self._told = time.monotonic(), self._next - 1
        self._edge.tell(
            self.source, Done(camera=self.camera, turn=self.turn, number=self._told, state=self._state())
        )

    def _leave(self) -> None:
        if self._alive:
            self.end()
            self._edge.flush()
            left = Left(camera=self.camera, turn=self.turn, state=self._state())
            self._edge.left(self, left)
            self._edge.tell(self.source, left)

    def _state(self) -> dict[str, Any]:
        """Where it is: plain data as JSON has it, and pictures of those not known yet."""
        return {
            "number": self._next - 1,
            "tracker": self._tracker.state(),
            "persons": [[track, person] for track, person in self._persons.items()],
            "known_s": [[track, at_s] for track, at_s in self._known_s.items()],
            "pending": [
                {"track": r.track, "at_s": r.at_s, "crop": r.crop, "beside": r.beside}
                for _, r in self._asked.values()
            ],
        }
