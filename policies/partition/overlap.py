"""Cuts for a round in which devices, the server and the network all work at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies.partition.equalise import fastest_split
from policies.partition.instance import Floats, Ints, Parts, SplitInstance, in_bps, whole_units

_BISECTIONS = 60
_BALANCINGS = 30
_CLOSE = 1e-7
"""Relative gap at which the bisection on T ends."""
_SMALL = 1e-9
"""Least part that either load has in the balance, so that ties go to what the other load would like."""
_TRIED = 2_000_000
"""Single changes that are tried in the end, of all devices and cuts together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundModel:
    """How long a round takes whose resources all work at once: the longest of what each must do.

    chain_s: shape (devices, cuts), what one device must wait for one after the other, with the network to itself;
    infinite where a cut cannot be had.
    loads_s: shape (loads, devices, cuts), seconds of the server and of the network (each direction, if they do not
    share it) that a device takes; all devices' add up.
    """

    chain_s: Floats
    loads_s: Floats

    @staticmethod
    def of(instance: SplitInstance) -> RoundModel:
        """Without parts, A is the chain, with the bits at the device's own limit after it, and the network the only load.

        With micro-batches only the longest of a chain's parts is waited for in full (but for weights, where steps tell
        them apart).
        """
        usable, parts = instance.usable, instance.parts
        if parts is None:
            bits = np.where(usable, instance.C_bits, 0.0)
            chain_s = np.where(usable, instance.A_s + bits / _most_bps(instance)[:, None], np.inf)
            return RoundModel(chain_s=chain_s, loads_s=(bits / instance.total_bps)[None])
        up_bits, down_bits = (np.where(usable, way, 0.0) for way in (parts.up_bits, parts.down_bits))
        ways = [up_bits, down_bits] if parts.full_duplex else [up_bits + down_bits]
        loads = [np.where(usable, parts.server_s / parts.servers, 0.0)]
        for crossing, capacity_bps in _links(instance):
            loads += [way * crossing[:, None] / capacity_bps for way in ways]
        return RoundModel(
            chain_s=np.where(usable, _chain_s(instance, parts, ways), np.inf), loads_s=np.stack(loads)
        )

    def round_s(self, cuts: Ints) -> float:
        rows = np.arange(len(cuts))
        return max(
            float(self.chain_s[rows, cuts].max()), float(self.loads_s[:, rows, cuts].sum(axis=1).max())
        )


def _most_bps(instance: SplitInstance) -> Floats:
    """What each device gets while all others are silent; 1 where it can have nothing."""
    limits_bps = instance.limits_bps() if instance.steps is None else instance.steps.widths_bps()
    return np.where(limits_bps > 0, limits_bps, 1.0)


def _links(instance: SplitInstance) -> list[tuple[Floats, float]]:
    """What several devices share: who crosses it, and its capacity."""
    count = len(instance.devices)
    if instance.steps is None:
        return [(np.ones(count), instance.total_bps)]
    links = [link for link in instance.steps.binding() if len(link[0]) > 1]
    return [
        (np.isin(np.arange(count), devices).astype(np.float64), capacity_bps)
        for devices, capacity_bps in links
    ]


def _chain_s(instance: SplitInstance, parts: Parts, ways: Sequence[Floats]) -> Floats:
    most_bps, steps, once_s = _most_bps(instance)[:, None], instance.steps, np.zeros(1)
    stages = [parts.device_s, parts.server_s, *(way / most_bps for way in ways)]
    if steps is not None:
        way_s = steps.weights_bits / most_bps
        once_s = 2 * (steps.weights_s + steps.server_weights_s + way_s)
        around_s = [2 * steps.weights_s, 2 * steps.server_weights_s, *(way_s for _ in ways)]
        stages = [stage_s - each_s for stage_s, each_s in zip(stages, around_s, strict=True)]
    stages_s = np.stack([np.where(instance.usable, stage_s, 0.0) for stage_s in stages])
    longest_s = stages_s.max(axis=0)
    chain_s: Floats = once_s + longest_s + (stages_s.sum(axis=0) - longest_s) / parts.micro_batches
    return chain_s


def overlapped(instance: SplitInstance) -> tuple[Ints, Floats, float]:
    """Cuts, guaranteed rates and the round they make (`RoundModel`) when the link is shared and never idle for long.

    Departures from P1 (Zhang 2024, eq. 4.6), which gives each device a rate of its own that idles while it computes
    and the server to all at once: here a round is as long as the busiest of each device's own chain, the server, and
    the network. With only A and C declared, A is taken for the device's own time, and the server is left out.
    For a given T, cuts with chain <= T stay, and one multiplier balances the server's load and the network's: their
    least weighted sum above T proves that T cannot be kept, so T is bisected. What remains of the gap is closed
    by single changes of cuts. P1's own cuts are improved in the same way and win if they are better, so the round is
    never above that of P1's cuts. Rates are guarantees in proportion to bits, for a work-conserving link.
    Optimal where there is one load; O(devices x cuts) a step, some hundreds of steps.
    Each device must have a usable cut.
    """
    model = RoundModel.of(instance)
    first, _ = fastest_split(instance)
    found = [_improved(model, _balanced(model, first)), _improved(model, first), first]
    cuts = min((each for each in found if _can_send(instance, each)), key=model.round_s)
    return cuts, guarantees(instance, cuts), model.round_s(cuts)


def _balanced(model: RoundModel, cuts: Ints) -> Ints:
    """The best cuts by bisection on T, starting from given ones."""
    server, network = model.loads_s[0], model.loads_s[1:].max(axis=0, initial=0.0)
    low_s, high_s = float(model.chain_s.min(axis=1).max()), model.round_s(cuts)
    middle_s = low_s
    for _ in range(_BISECTIONS):
        blocked = np.where(model.chain_s <= middle_s, 0.0, np.inf)
        tried = _within(server + blocked, network + blocked, middle_s)
        if model.round_s(tried) < high_s:
            cuts, high_s = tried, model.round_s(tried)
        if high_s > middle_s:
            low_s = middle_s
        if high_s - low_s <= _CLOSE * high_s:
            break
        middle_s = (low_s + high_s) / 2
    return cuts


def _within(first: Floats, second: Floats, round_s: float) -> Ints:
    """Cuts of which both loads are at most round_s, or as near to it as was found. Loads are infinite where blocked."""
    rows = np.arange(len(first))

    def best(part: float) -> tuple[Ints, float, float]:
        cuts = (part * first + (1 - part) * second).argmin(axis=1)
        return cuts, float(first[rows, cuts].sum()), float(second[rows, cuts].sum())

    low, high = _SMALL, 1 - _SMALL
    few_second, few_first = best(low)[0], best(high)[0]
    for _ in range(_BALANCINGS):
        part = (low + high) / 2
        cuts, one_s, other_s = best(part)
        if max(one_s, other_s) <= round_s or part * one_s + (1 - part) * other_s > round_s:
            return cuts
        if one_s > other_s:
            low, few_second = part, cuts
        else:
            high, few_first = part, cuts
    return _mixed(first, second, few_second, few_first)


def _mixed(first: Floats, second: Floats, few_second: Ints, few_first: Ints) -> Ints:
    """Some devices by one choice, the others by the other, so that the larger load is least."""
    differ = np.flatnonzero(few_second != few_first)
    a, b = few_second[differ], few_first[differ]
    grows = second[differ, b] - second[differ, a]
    order = np.argsort(grows, kind="stable")
    differ, a, b = differ[order], a[order], b[order]
    rows = np.arange(len(first))
    changes = [load[differ, b] - load[differ, a] for load in (first, second)]
    sums = [
        load[rows, few_second].sum() + np.append(0.0, change.cumsum())
        for load, change in zip((first, second), changes, strict=True)
    ]
    count = int(np.maximum(*sums).argmin())
    cuts = few_second.copy()
    cuts[differ[:count]] = b[:count]
    return cuts


def _improved(model: RoundModel, cuts: Ints) -> Ints:
    """Change one device's cut at a time, the change with the shortest round first, while that shortens it."""
    rows, cuts = np.arange(len(cuts)), cuts.copy()
    for _ in range(max(1, _TRIED // model.chain_s.size)):
        chains, loads = model.chain_s[rows, cuts], model.loads_s[:, rows, cuts]
        slowest = int(chains.argmax())
        others = np.full(len(cuts), chains[slowest])
        others[slowest] = np.delete(chains, slowest).max(initial=0.0)
        sums = loads.sum(axis=1)
        changed = np.maximum(model.chain_s, others[:, None])
        for load, now, total in zip(model.loads_s, loads, sums, strict=True):
            np.maximum(changed, load - (now - total)[:, None], out=changed)
        device, cut = divmod(int(changed.argmin()), changed.shape[1])
        before, kept = model.round_s(cuts), cuts[device]
        cuts[device] = cut
        if model.round_s(cuts) >= before:
            cuts[device] = kept
            break
    return cuts


def _can_send(instance: SplitInstance, cuts: Ints) -> bool:
    """Whether there is a unit for each that sends; P1's cuts always can."""
    if instance.rate_unit_bps is None:
        return True
    sending = np.count_nonzero(instance.C_bits[np.arange(len(cuts)), cuts])
    return bool(sending <= whole_units(instance.total_bps, instance.rate_unit_bps))


def guarantees(instance: SplitInstance, cuts: Ints) -> Floats:
    """Rates in proportion to the bits of the cuts, at most the caps; what a cap leaves goes to the others.

    In whole units: one for each that sends, the rest in proportion, rounded down.
    """
    bits = instance.C_bits[np.arange(len(cuts)), cuts]
    limits_bps, unit_bps = instance.limits_bps(), instance.rate_unit_bps
    if unit_bps is None:
        return _proportional(bits, instance.total_bps, limits_bps)
    limits = np.where(bits > 0, whole_units(limits_bps, unit_bps), 0)
    each = np.minimum(limits, 1)
    spare = int(whole_units(instance.total_bps, unit_bps)) - int(each.sum())
    more = np.floor(_proportional(bits, float(spare), (limits - each).astype(np.float64)))
    return in_bps(each + more.astype(np.int64), unit_bps)


def _proportional(bits: Floats, total: float, limits: Floats) -> Floats:
    """Shares of total in proportion to bits, of which none is above its limit."""
    shares = np.zeros(len(bits))
    free = bits > 0
    while free.any():
        left = total - shares[~free].sum()
        shares[free] = left * (bits[free] / bits[free].sum())
        above = free & (shares > limits)
        if not above.any():
            break
        shares[above] = limits[above]
        free &= ~above
    return shares
