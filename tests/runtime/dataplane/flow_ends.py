"""Ends of flows on loopback, calls in the background, and waiting for conditions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgeray.dataplane import EndOfStream, FlowReceiver, FlowSecurity, FlowSender, Item

DEADLINE_S = 10.0


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll a condition; fail by name when it does not come true."""
    by_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < by_s, f"not within {deadline_s} s: {what}"
        threading.Event().wait(0.005)


class Background(threading.Thread):
    """A call in a thread, whose result or exception one can ask for."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error

    def result(self, deadline_s: float = DEADLINE_S) -> Any:
        self.join(deadline_s)
        assert not self.is_alive(), f"the call did not return within {deadline_s} s"
        if self._error is not None:
            raise self._error
        return self._value


@dataclass
class Flows:
    """Makes ends of flows and closes them all in the end."""

    made: list[FlowSender | FlowReceiver] = field(default_factory=list)

    def receiver(
        self,
        *,
        port: int = 0,
        security: FlowSecurity | None = None,
        items: int = 4,
        size: int = 1 << 24,
        **more: Any,
    ) -> FlowReceiver:
        receiver = FlowReceiver("127.0.0.1", port, security=security, max_items=items, max_bytes=size, **more)
        self.made.append(receiver)
        return receiver

    def sender(
        self,
        port: int,
        *,
        security: FlowSecurity | None = None,
        items: int = 4,
        size: int = 1 << 24,
        **more: Any,
    ) -> FlowSender:
        sender = FlowSender("127.0.0.1", port, security=security, max_items=items, max_bytes=size, **more)
        self.made.append(sender)
        return sender

    def pair(self, **more: Any) -> tuple[FlowSender, FlowReceiver]:
        receiver = self.receiver(**{key: more[key] for key in ("security", "items", "size") if key in more})
        return self.sender(receiver.port, **more), receiver


def send_all(sender: FlowSender, values: list[Any]) -> bool:
    for number, value in enumerate(values):
        if not sender.send(number, value, created_s=float(number)):
            return False
    return sender.finish(len(values))


def receive_all(receiver: FlowReceiver) -> list[Item]:
    items = []
    while not isinstance(one := receiver.receive(DEADLINE_S), EndOfStream):
        assert one is not None, f"nothing for {DEADLINE_S} s after {len(items)} items"
        items.append(one)
    assert one.items == len(items)
    return items
