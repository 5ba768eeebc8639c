"""Wakes a thread that polls sockets."""

from __future__ import annotations

import os
import threading
from contextlib import suppress


class Wake:
    """fd: readable once set, until it is cleared. Thread-safe."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._closed = False

    def set(self) -> None:
        with self._lock:
            if not self._closed:
                os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        with self._lock, suppress(BlockingIOError):
            if not self._closed:
                os.eventfd_read(self.fd)

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.fd)
