"""Cuts and micro-batches for a shared server and links, chosen by the rounds that they make, event by event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from policies.partition.bound import undominated
from policies.partition.equalise import fastest_rates, fastest_split
from policies.partition.instance import Floats, Ints, SplitInstance
from policies.partition.overlap import guarantees, overlapped
from policies.partition.steps import Steps
from policies.partition.timeline import simulate_round

MOST_PIECES = 20_000
"""Pieces of batches in all the rounds that are tried, some 2.5 µs each; as many again for single changes. Where several
links can bind, one counts for more, as each device that sends is looked at then."""
FEW_DEVICES = 16
"""Of more, no single changes are tried: each would take a whole round."""
MANY_CHOICES = 2_000
"""Of more devices x cuts, cuts are sought for one number of micro-batches only."""
ALWAYS = 2
"""Micro-batches that are tried with one plan at least, however large the instance."""
KEPT = 3
"""How many cuts are tried with more micro-batches: the best with fewer."""
URGENCY = 4.0
"""How much more, as a power of e, a device is guaranteed that computes all the round long."""
LEAST_SHARE = 0.1
PIECES_SAVE = 0.02
"""Part of a round that more micro-batches must save, since each piece costs a little that nobody measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """cuts, rates_bps: shape (devices,); rates are guarantees on a work-conserving network."""

    cuts: Ints
    rates_bps: Floats
    micro_batches: int
    round_s: float


def fastest_tried(instance: SplitInstance) -> Tried:
    """The best of some plans by `simulate_round`: cuts for links and a server that are never idle for long
    (`overlapped`, for several numbers of micro-batches), those of P1, and single changes of the best; guarantees by bits,
    by P2, and by who computes longest.

    With micro-batches only where these save PIECES_SAVE. Never slower than P1's cuts and rates on the same network.
    Each device must have a usable cut, and the instance must have steps.
    """
    assert instance.steps is not None and instance.parts is not None
    trial = _Trial(instance.steps)
    first, rates_bps = fastest_split(instance)
    best = trial.of(first, rates_bps, 1)
    sought = _sought(instance)
    pool = [*sought.values(), first]
    for micro_batches in _counts(instance.parts.micro_batches):
        tried: list[Tried] = []
        for cuts in _distinct([*([sought[micro_batches]] if micro_batches in sought else []), *pool]):
            if trial.affords(micro_batches) or (not tried and micro_batches <= ALWAYS):
                tried.append(trial.of(cuts, guarantees(instance, cuts), micro_batches))
        if not tried:
            break
        tried.sort(key=lambda each: each.round_s)  # stable: the first of equals stays first
        pool = [each.cuts for each in tried[:KEPT]]
        if tried[0].round_s < best.round_s * (1 - (PIECES_SAVE if micro_batches > best.micro_batches else 0)):
            best = tried[0]
    few = len(instance.devices) <= FEW_DEVICES
    if few:
        trial.pieces_left += MOST_PIECES
    for rates_bps in (fastest_rates(instance, best.cuts), _urgent(instance, best)):
        if few or trial.affords(best.micro_batches):
            best = min(
                best, trial.of(best.cuts, rates_bps, best.micro_batches), key=lambda each: each.round_s
            )
    return _improved(instance, trial, best) if few else best


def _sought(instance: SplitInstance) -> dict[int, Ints]:
    """Cuts as if so many pieces of a batch were under way, by that number; first for as many as there may be."""
    assert instance.parts is not None
    paces = [instance.parts.micro_batches]
    if instance.A_s.size <= MANY_CHOICES:
        paces += [pace for pace in (1, 2, 4, 8) if pace not in paces]
    return {
        pace: overlapped(replace(instance, parts=replace(instance.parts, micro_batches=pace)))[0]
        for pace in paces
    }


def _urgent(instance: SplitInstance, plan: Tried) -> Floats:
    """Guarantees by bits, and the larger the longer a device computes: who has more to do should get its weights
    first. None is less than LEAST_SHARE of what it would be by bits, so that no line falls silent."""
    assert instance.parts is not None
    rows = np.arange(len(plan.cuts))
    bits, device_s = instance.C_bits[rows, plan.cuts], instance.parts.device_s[rows, plan.cuts]
    wanted = bits * np.exp(URGENCY * device_s / plan.round_s)
    shares = (1 - LEAST_SHARE) * wanted / wanted.sum() + LEAST_SHARE * bits / bits.sum()
    rates_bps: Floats = np.minimum(shares * instance.total_bps, instance.limits_bps())
    return rates_bps


def _distinct(found: Sequence[Ints]) -> Iterator[Ints]:
    seen = set()
    for cuts in found:
        if (key := tuple(cuts.tolist())) not in seen:
            seen.add(key)
            yield cuts


def _counts(most: int) -> Iterator[int]:
    """1, 2, 4, ... and the most."""
    count = 1
    while count < most:
        yield count
        count *= 2
    yield most


class _Trial:
    """pieces_left: before it gets too many."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        several = len(steps.binding()) > 1
        self._pieces = int(steps.batches.sum()) * (1 + len(steps.batches) // 4 if several else 1)
        self.pieces_left = MOST_PIECES

    def affords(self, micro_batches: int) -> bool:
        return self.pieces_left >= self._pieces * micro_batches

    def of(self, cuts: Ints, rates_bps: Floats, micro_batches: int) -> Tried:
        self.pieces_left -= self._pieces * micro_batches
        timeline = simulate_round(
            self._steps, cuts, rates_bps, work_conserving=True, micro_batches=micro_batches
        )
        return Tried(cuts=cuts, rates_bps=rates_bps, micro_batches=micro_batches, round_s=timeline.round_s)


def _improved(instance: SplitInstance, trial: _Trial, best: Tried) -> Tried:
    """Move one device's cut at a time to the next deeper or shallower that is worth having, while that helps."""
    options = [np.flatnonzero(row) for row in undominated(instance)]
    better = True
    while better:
        better = False
        for device, choices in enumerate(options):
            shallower, deeper = choices[choices < best.cuts[device]], choices[choices > best.cuts[device]]
            for cut in (*shallower[-1:].tolist(), *deeper[:1].tolist()):
                if not trial.affords(best.micro_batches):
                    return best
                cuts = best.cuts.copy()
                cuts[device] = cut
                tried = trial.of(cuts, guarantees(instance, cuts), best.micro_batches)
                if tried.round_s < best.round_s:
                    best, better = tried, True
                    break
    return best
