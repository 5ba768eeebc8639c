"""What one helper has under way, and how fast it gives it back: what its dispatcher sees without being told."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

KEEP = 0.95
"""Of what was measured, with each item more: the last twenty count most."""
_MOST_WRONG = 1.0
"""What a relative error counts at most: one item that hung is no reason to expect it of all."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """before: work that was sent earlier."""

    number: int
    work: float
    before: float
    sent_s: float
    arrives_s: float


class Backlog:
    """The items that a helper has been sent and has not given back. It does them in that order, one at a time.

    Ours: counted in work, not in items, for the dispatcher knows what it sent; and measured by the dispatcher's own
    clock, so that it is never old news. Seconds a unit are those of all of the last items over their work: a mean of
    each item's would count a small one for as much as a large one, and small ones are done by what a CPU quota had
    left. O(1) an item whose result comes in order.
    """

    def __init__(self) -> None:
        self._items: deque[_Sent] = deque()
        self._sent = 0.0
        self._back_s = -math.inf
        self._done = self._seconds = self._wrong = 0.0

    def send(self, number: int, work: float, now_s: float, transfer_s: float) -> None:
        """An item sent now, with this many units of work; it is there after transfer_s (NaN: at once)."""
        arrives_s = now_s + transfer_s if transfer_s >= 0 else now_s
        self._items.append(_Sent(number, work, self._sent, now_s, arrives_s))
        self._sent += work

    def back(self, number: int, now_s: float, *, done: bool = True) -> None:
        """Its result came. done: its work was; what failed tells nothing of how fast work is. An unknown one: nothing."""
        item = next((item for item in self._items if item.number == number), None)
        if item is None:
            return
        self._items.remove(item)
        if done and item.work > 0:
            # A way that is faster than it is said to be makes no helper infinitely fast.
            there_s = min(item.arrives_s, (item.sent_s + now_s) / 2)
            self._measure(item.work, max(0.0, now_s - max(there_s, self._back_s)))
        self._back_s = max(self._back_s, now_s)

    def clear(self) -> None:
        """What was under way is lost; how fast the helper was stays known."""
        self._items.clear()

    @property
    def rate_per_s(self) -> float:
        """Units of work a second; NaN before the first item was done."""
        return self._done / self._seconds if self._seconds > 0 else math.nan

    def left(self, items: float, now_s: float) -> float:
        """Units of work of the newest so many of its items, less what is done of the one it is at.

        Not more of that than an item that is found being done has behind it on average, (1 - c^2) / 2 of it where c is
        the coefficient of variation (renewal theory): what takes long where times vary may take as long again.
        """
        count = min(int(items), len(self._items))
        if count <= 0:
            return 0.0
        first = self._items[-count]
        began_s = max(first.arrives_s, self._back_s)
        done = (now_s - began_s) * self.rate_per_s if now_s > began_s else 0.0
        most = (1 - self._wrong / self._done) / 2 * first.work if self._done > 0 else 0.0
        return self._sent - first.before - (min(done, most) if done > 0 else 0.0)

    def _measure(self, work: float, seconds: float) -> None:
        self._wrong *= KEEP
        if self._seconds > 0:
            # In this order what is no number counts as most, and nothing huge is squared.
            error = min(_MOST_WRONG, abs(seconds * self.rate_per_s / work - 1))
            self._wrong += work * error**2
        self._done = KEEP * self._done + work
        self._seconds = KEEP * self._seconds + seconds
