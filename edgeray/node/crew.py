"""The threads of one stage: the first that breaks ends them all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Crew:
    """Threads that share a lock and an end. error: what broke first, None while all is well.

    wake: called with the lock held once the end is set, so that everybody who waits looks again.
    """

    def __init__(self, lock: threading.Lock, wake: Callable[[], None]) -> None:
        self.ended = threading.Event()
        self.error: BaseException | None = None
        self._lock = lock
        self._wake = wake
        self._threads: list[threading.Thread] = []

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        """Start a thread; what it raises ends the stage."""

        def run() -> None:
            try:
                body()
            except BaseException as error:
                self._fail(error)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        with self._lock:
            self.ended.set()
            self._wake()

    def join(self) -> None:
        """Block until all threads have ended, those included that others start meanwhile."""
        joined = 0
        while joined < len(self._threads):
            self._threads[joined].join()
            joined += 1

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self.error is None and not self.ended.is_set():
                log.error("stage failed", exc_info=error)
                self.error = error
            self.ended.set()
            self._wake()
