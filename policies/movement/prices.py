"""Prices near the optimal ones, quickly: of a point at its source, and of a place at its sink.

An arc is full where source price > cost + sink price, empty where it is less. Here it fills gradually over a small
difference eps, so that each price can be moved by Newton's method until its device's data, or room, is used up.
Prices are no answer by themselves: `flow` begins with them, and is exact whatever they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policies.movement.instance import Floats, MovementInstance, link_most, offload_cost, processed

Singles = npt.NDArray[np.float32]

SWEEPS = 80
_FIRST, _LAST = 0.35, 0.0035
"""eps at the beginning and at the end, in standard deviations of costs."""
_SETTLED = 0.7
"""Part of the sweeps by which eps has become its last."""
_STEP = 1.0
"""The largest step of a price, in eps."""
_SHORTER, _LONGER = 0.5, 1.3
"""Of the largest step, after one that turns back and one that does not."""
_SMALL = 1e-3
"""In standard deviations of costs: a price below 0 that is as good as 0."""
_LEAST_SLOPE = 0.02
"""Of what a device has: so little answers to a price at least, or steps would be endless."""
_TINY = 1e-30


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Sources with `supply` points, discarded at `discard` each, and sinks that take `room` at most. Made by `market`.

    Shape (T, n). value: what the first point at a sink is worth; a later one is worth value / G^1.5, the derivative of
    2 value / sqrt(G); 0 where only room counts. keep_cost, keep_most: of points that stay, (T, n). send_cost,
    send_most: of those from (t, i) to (t + 1, j), (T - 1, n, n). Of single precision: a start needs no more, and it
    is faster.
    """

    supply: Singles
    discard: Singles
    room: Singles
    value: Singles
    keep_cost: Singles
    keep_most: Singles
    send_cost: Singles
    send_most: Singles

    def wanted(self, price: Singles) -> Singles:
        """Points that sinks take at this price; only where they are worth something is a price below 0."""
        worth = np.maximum(-price, np.float32(_TINY))
        some = np.minimum((self.value / worth) ** np.float32(2 / 3), self.room)
        return np.where(price < 0, some, self.room)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Shape (T, n) each, of a point at its source and of a place at its sink; arcs fill over a difference of eps."""

    source: Floats
    sink: Floats
    eps: float


def market(instance: MovementInstance, discard: Floats, value: Floats) -> Market:
    """discard, value: shape (T, n). Ways that cannot pay take nothing."""
    cost, most = offload_cost(instance)[:-1], link_most(instance)
    pays = cost < discard[:-1, :, None] + value[1:, None, :]
    keep_pays = instance.c < discard + value
    reach = instance.D.copy()
    reach[1:] += most.sum(axis=1)
    arrays = {
        "supply": instance.D,
        "discard": discard,
        "room": np.minimum(instance.C, reach),
        "value": value,
        "keep_cost": instance.c,
        "keep_most": np.where(keep_pays, np.minimum(instance.D, instance.C), 0.0),
        "send_cost": np.where(pays, cost, 0.0),
        "send_most": np.where(pays, most, 0.0),
    }
    return Market(**{name: array.astype(np.float32) for name, array in arrays.items()})


def near_optimal(market: Market, sweeps: int = SWEEPS) -> Prices:
    """O(T n^2) a sweep."""
    costs = market.send_cost[market.send_most > 0] if market.send_most.any() else market.keep_cost
    scale = np.float32(costs.std() or costs.max() or 1.0)
    source, sink = _begin(market, np.float32(costs.max()) + scale)
    wide = scale + np.float32(np.median(-sink))
    lowest = -market.value.max()
    floor = np.float32(_LEAST_SLOPE) * market.supply.mean() + np.float32(_TINY)
    small = np.float32(_SMALL) * scale
    eps = wide * np.float32(_FIRST)
    source_steps, sink_steps = _Steps(source.shape), _Steps(sink.shape)
    for sweep in range(sweeps):
        settled = min(1.0, sweep / (sweeps * _SETTLED))
        eps = np.float32(wide * _FIRST ** (1 - settled) * _LAST**settled)
        stays, goes, reacts, goes_reacts = _filled(market, source, sink, eps)
        stays[:-1] += goes.sum(axis=2)
        reacts[:-1] += goes_reacts.sum(axis=2)
        step = eps * (market.supply - stays) / np.maximum(reacts, floor)
        source = np.clip(source + source_steps.limited(step, eps), lowest, market.discard)
        stays, goes, reacts, goes_reacts = _filled(market, source, sink, eps)
        stays[1:] += goes.sum(axis=1)
        reacts[1:] += goes_reacts.sum(axis=1)
        wanted = market.wanted(sink)
        nearer = np.maximum(-sink, small)
        bends = np.where((sink < 0) & (wanted < market.room), wanted * eps / (1.5 * nearer), 0)
        step = eps * (stays - wanted) / np.maximum(reacts + bends, floor)
        step = sink_steps.limited(step, eps)
        most = np.where(sink < -small, sink / 2, sink + step)  # what is wanted grows without end towards 0
        least = np.where(sink < 0, 2 * sink - small, -small)
        sink = np.maximum(np.clip(sink + step, least, np.maximum(most, least)), -market.value)
    return Prices(source=source.astype(float), sink=sink.astype(float), eps=float(eps))


def flow_at(instance: MovementInstance, market: Market, prices: Prices) -> tuple[Floats, Floats]:
    """kept, shape (T, n), and sent, shape (T, n, n), near what prices ask for, within all capacities."""
    asked = _filled(
        market,
        prices.source.astype(np.float32),
        prices.sink.astype(np.float32),
        np.float32(prices.eps),
    )
    kept, sent = asked[0].astype(float), np.zeros_like(instance.c_link)
    sent[:-1] = np.minimum(asked[1], instance.C_link[:-1])
    leaving = kept + sent.sum(axis=2)
    part = np.divide(instance.D, leaving, out=np.ones_like(leaving), where=leaving > instance.D)
    kept, sent = kept * part, sent * part[:, :, None]
    G = processed(kept, sent)
    part = np.divide(instance.C, G, out=np.ones_like(G), where=instance.C < G)
    kept *= part
    sent[:-1] *= part[1:, None, :]
    return kept, sent


class _Steps:
    """How far each price may go at once, in eps: half as far when it turns back, which keeps prices that depend on each
    other from swinging."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.most = np.full(shape, _STEP, dtype=np.float32)
        self.last = np.zeros(shape, dtype=np.float32)

    def limited(self, step: Singles, eps: np.float32) -> Singles:
        turns = step * self.last
        factor = np.where(
            turns < 0, np.float32(_SHORTER), np.where(turns > 0, np.float32(_LONGER), np.float32(1))
        )
        self.most = np.clip(self.most * factor, np.float32(_STEP * 1e-3), np.float32(_STEP))
        self.last = np.clip(step, -self.most * eps, self.most * eps)
        return self.last


def _begin(market: Market, dear: np.float32) -> tuple[Singles, Singles]:
    """Prices at which sinks want the mean of what is collected, or less where the cheapest way costs more."""
    fair = market.value / np.maximum(market.supply.mean(), np.float32(1)) ** np.float32(1.5)
    cheapest = np.where(market.keep_most > 0, market.keep_cost, np.inf)
    links = np.where(market.send_most > 0, market.send_cost, np.inf)
    cheapest[1:] = np.minimum(cheapest[1:], links.min(axis=1, initial=np.inf))
    sink = -np.minimum(np.maximum(fair, cheapest), market.value)
    return np.minimum(market.discard, dear), sink


def _filled(
    market: Market, source: Singles, sink: Singles, eps: np.float32
) -> tuple[Singles, Singles, Singles, Singles]:
    """What stays (T, n), what goes (T - 1, n, n), and what more of each would over a change of eps."""
    half = np.float32(0.5)
    keep = (source - sink - market.keep_cost) / eps + half
    part = (source / eps + half)[:-1, :, None] - (sink / eps)[1:, None, :]
    part -= market.send_cost / eps
    between = (part > 0) & (part < 1)
    np.clip(part, 0, 1, out=part)
    part *= market.send_most
    return (
        np.clip(keep, 0, 1) * market.keep_most,
        part,
        np.where((keep > 0) & (keep < 1), market.keep_most, np.float32(0)),
        between * market.send_most,
    )
