"""What is called with each result, in a thread of its own: a slow sink holds up neither decisions nor deadlines."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any

from edgeray.errors import StageError
from edgeray.node.code import LoadedTask

log = logging.getLogger(__name__)

MOST_WAITING = 1000


class Sink:
    """Thread-safe. Of results that wait, the oldest are given up past MOST_WAITING: dropped counts them."""

    def __init__(self, code: LoadedTask, stop: threading.Event) -> None:
        self.dropped = 0
        self._code, self._stop = code, stop
        self._waiting: deque[Any] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False

    def add(self, value: Any) -> None:
        with self._changed:
            self._waiting.append(value)
            if len(self._waiting) > MOST_WAITING:
                self._waiting.popleft()
                self.dropped += 1
                if self.dropped == 1:
                    log.warning("the sink is slower than results come: the oldest are given up")
            self._changed.notify_all()

    def finish(self) -> None:
        """Nothing more comes: returns once all that waits has been taken, and the sink is closed; or at the stop."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            while not (self._closed or self._stop.is_set()):
                self._changed.wait()

    def run(self) -> None:
        """Thread, until stop (see wake) or the end. Raises StageError for what the sink's code raises."""
        try:
            while self._next():
                pass
        finally:
            self._code.close()
            with self._changed:
                self._closed = True
                self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _next(self) -> bool:
        with self._changed:
            while not (self._waiting or self._ended or self._stop.is_set()):
                self._changed.wait()
            if self._stop.is_set() or not self._waiting:
                return False
            value = self._waiting.popleft()
        try:
            self._code.call(value)
        except Exception as error:
            raise StageError(f"the sink raised {type(error).__name__}: {error}") from error
        return True
