"""Offers from what a dispatcher knows: what helpers told it some time ago, and what it sent them since."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies.bandit.model import Floats, Offer

FEATURES = 5
"""Queue, rate, bytes, complexity, link: the paper's, of TOOF."""
_MIDDLE_QUEUE = 5.0
"""The queue whose feature is in the middle of its range."""
_FIRST_GUESS = 0.5
"""While nothing is known of how fast helpers are, whoever would be done first is taken to need this part of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Helpers:
    """N helpers as the dispatcher knows them. Arrays of shape (N,), in its order; NaN: it does not know.

    queue: items there when it was measured, waiting or being done. rate_per_s: units of complexity that it does a
    second. unseen: what `queue` has grown by since, see `unseen`. cpus: its processors; by them a rate that is not known
    is guessed. bps: of the way there. work: units of the items there; NaN: they are taken for usual ones.
    """

    queue: Floats
    rate_per_s: Floats
    unseen: Floats
    cpus: Floats
    bps: Floats
    work: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """deadline_s: from now. complexity: work, in any unit, the same for all items of a job."""

    size_bytes: float
    complexity: float
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """The mean of the items so far: what others that wait are taken for. `after` gives that with one item more."""

    items: int = 0
    size_bytes: float = 0.0
    complexity: float = 0.0

    def after(self, item: Item) -> Usual:
        items = self.items + 1
        return Usual(
            items=items,
            size_bytes=self.size_bytes + (item.size_bytes - self.size_bytes) / items,
            complexity=self.complexity + (item.complexity - self.complexity) / items,
        )


def make_offer(helpers: Helpers, item: Item, usual: Usual) -> Offer:
    """The item as it looks to a dispatcher. usual: `Usual.after` of this item, so that there always is one.

    predicted_s = (work there + complexity) / rate + bytes x 8 / bps. Features are in 0 ... 1 and rows at most 1 long:
    queue / (queue + 5); rate and link relative to the best helper's; bytes and complexity relative to the sum of
    themselves and the usual. What is not known is NaN.
    """
    queue = np.maximum(helpers.queue + helpers.unseen, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        there = np.where(np.isnan(helpers.work), queue * usual.complexity, helpers.work)
        work = there + item.complexity
        rate = _known_or_guessed(helpers.rate_per_s, helpers.cpus, work, item.deadline_s)
        transfer_s = item.size_bytes * 8 / helpers.bps
        predicted_s = work / rate + transfer_s
        features = np.empty((len(queue), FEATURES))
        features[:, 0] = queue / (queue + _MIDDLE_QUEUE)
        features[:, 1] = _to_best(rate)
        features[:, 2] = _share(item.size_bytes, usual.size_bytes)
        features[:, 3] = _share(item.complexity, usual.complexity)
        features[:, 4] = _to_best(helpers.bps)
    return Offer(
        features=features / np.sqrt(FEATURES),
        queue=queue,
        predicted_s=predicted_s,
        transfer_s=transfer_s,
        deadline_s=item.deadline_s,
        size=_ratio(item.size_bytes, usual.size_bytes),
        complexity=_ratio(item.complexity, usual.complexity),
    )


def sent_since(sent_s: Sequence[float], measured_s: float) -> int:
    """How many of the items that were sent at these times, in order, a queue did not count that was measured then."""
    return len(sent_s) - bisect_right(sent_s, measured_s)


def unseen(sent_s: Sequence[float], back_s: Sequence[float], measured_s: float) -> int:
    """What a helper's queue, measured then, differs by now: items sent there since, less those that came back since.

    Ours: without what came back (the specification's rule, `sent_since`), queues that are old news seem to grow for
    ever. sent_s, back_s: times, in order, of all results, late ones and failures as well.
    """
    return sent_since(sent_s, measured_s) - sent_since(back_s, measured_s)


def _known_or_guessed(rate: Floats, cpus: Floats, work: Floats, deadline_s: float) -> Floats:
    """Rates that are not known, by the processors of those that are: else whoever has none would never get an item.

    Where none is known, processors and queues alone tell who is better: see _FIRST_GUESS.
    """
    known = np.isfinite(rate) & (cpus > 0)
    if known.all():
        return rate
    if known.any():
        a_processor = float(np.median(rate[known] / cpus[known]))
    else:
        least = (work / cpus)[np.isfinite(work) & (cpus > 0)].min(initial=math.inf)
        a_processor = float(least / (_FIRST_GUESS * deadline_s)) if 0 < least < math.inf else math.nan
    return np.where(np.isfinite(rate), rate, cpus * a_processor)


def _to_best(values: Floats) -> Floats:
    finite = values[np.isfinite(values)]
    best = float(finite.max(initial=0.0))
    relative: Floats = np.where(np.isposinf(values), 1.0, values / best if best > 0 else values * 0.0)
    return relative


def _share(value: float, usual: float) -> float:
    return value / (value + usual) if value + usual > 0 else 0.5


def _ratio(value: float, usual: float) -> float:
    return value / usual if usual > 0 else 1.0
