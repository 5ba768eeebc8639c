"""The nodes that have joined: their orders in order, and what they answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from edgeray.errors import one_line
from edgeray.scheduler.nodes import NodeHandle
from policies.model import DeviceId

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 30.0
AT_ONCE = 8

Action = Callable[[NodeHandle], Any]


class Fleet:
    """Thread-safe. One worker thread a device, so that its orders stay in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[DeviceId, NodeHandle] = {}
        self._workers: dict[DeviceId, ThreadPoolExecutor] = {}
        self._overdue: dict[DeviceId, Future[Any]] = {}
        self._asking = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="ask")
        self._hurrying = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="hurry")

    @property
    def nodes(self) -> dict[DeviceId, NodeHandle]:
        """Those that are there, by device, in the order of their ids."""
        with self._lock:
            return dict(sorted(self._nodes.items()))

    def join(self, device: DeviceId, node: NodeHandle) -> None:
        with self._lock:
            self._nodes[device] = node
            self._overdue.pop(device, None)
            self._workers[device] = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"node {device}")

    def leave(self, device: DeviceId) -> bool:
        """Forget a node and what it was still to do; False when it was not there."""
        with self._lock:
            if self._nodes.pop(device, None) is None:
                return False
            worker = self._workers.pop(device)
        worker.shutdown(wait=False, cancel_futures=True)
        return True

    def order(self, device: DeviceId, action: Action) -> None:
        """Have it done after what the device was ordered before; nothing for a device that is not there."""
        self._submit(self._workers.get(device), device, action)

    def hurry(self, device: DeviceId, action: Action) -> None:
        """Have it done at once, past what the device is busy with (loading another job's models, say)."""
        self._submit(self._hurrying, device, action)

    def ask(self, device: DeviceId, question: Action) -> Any:
        """The answer; None when there is none."""
        node = self._nodes.get(device)
        if node is None:
            return None
        try:
            return question(node)
        except Exception as error:
            log.warning("%s did not answer: %s", device, one_line(error))
            return None

    def ask_all(
        self,
        question: Action,
        *,
        among: Collection[DeviceId] | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> dict[DeviceId, Any]:
        """The answers of all, or of those among these devices, that answer in time; asked at the same time.

        A device that still owes an earlier answer is not asked again until that has come or failed, so that one that
        is cut off does not hold up the others.
        """
        until_s = time.monotonic() + timeout_s
        asked = {
            device: self._asking.submit(question, node)
            for device, node in self.nodes.items()
            if (among is None or device in among) and not self._owes(device)
        }
        found = {}
        for device, future in asked.items():
            try:
                found[device] = future.result(timeout=max(0.0, until_s - time.monotonic()))
            except Exception as error:
                if not (future.cancel() or future.done()):
                    self._overdue[device] = future
                log.warning("%s did not answer: %s", device, one_line(error))
        return found

    def _owes(self, device: DeviceId) -> bool:
        overdue = self._overdue.get(device)
        return overdue is not None and not overdue.done()

    def _submit(self, worker: ThreadPoolExecutor | None, device: DeviceId, action: Action) -> None:
        node = self._nodes.get(device)
        if node is None or worker is None:
            return  # it was lost: DeviceLost ends what waits for it

        def run() -> None:
            try:
                action(node)
            except Exception as error:
                log.warning("order to %s failed: %s", device, one_line(error))

        worker.submit(run)
