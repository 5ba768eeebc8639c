"""Dispatchers by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from policies.bandit.hybrid import EcologUcb, Hybrid
from policies.bandit.model import Dispatcher
from policies.bandit.queues import PowerOfTwo, RoundRobin, ShortestDelay, ShortestQueue
from policies.bandit.toof import Greedy, Toof

_BUILT_IN: dict[str, Callable[[int, int, np.random.Generator], Dispatcher]] = {
    "round-robin": lambda helpers, d, rng: RoundRobin(helpers),
    "p2c": lambda helpers, d, rng: PowerOfTwo(helpers, rng),
    "jsq": lambda helpers, d, rng: ShortestQueue(helpers),
    "sed": lambda helpers, d, rng: ShortestDelay(helpers),
    "greedy": lambda helpers, d, rng: Greedy(
        helpers, d, ridge=1.0
    ),  # lambda 3 goes with TOOF's practical radius
    "toof": lambda helpers, d, rng: Toof(helpers, d),
    "ecolog": lambda helpers, d, rng: EcologUcb(helpers, d),
    "hybrid": lambda helpers, d, rng: Hybrid(helpers),
}

DISPATCHERS: tuple[str, ...] = tuple(_BUILT_IN)
"""In the order of reports."""


def make_dispatcher(name: str, helpers: int, dimensions: int, rng: np.random.Generator) -> Dispatcher:
    """A dispatcher for so many helpers, and items with so many features. Raises ValueError for an unknown name."""
    if name not in _BUILT_IN:
        raise ValueError(f"unknown dispatcher {name!r}, expected one of {', '.join(DISPATCHERS)}")
    return _BUILT_IN[name](helpers, dimensions, rng)
