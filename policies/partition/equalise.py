"""P1 and P2 solved exactly: cuts and rates by which the slowest device ends as soon as can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policies.partition.instance import Bools, Floats, Ints, SplitInstance, in_bps, whole_units

_NEWTON_ROUNDS = 100
_NO_RATE = 1e-200
"""bits/s in place of 0, in which nothing ever arrives."""


def fastest_split(instance: SplitInstance) -> tuple[Ints, Floats]:
    """P1: cuts and rates (shape (devices,)) with the least max_i A_i + C_i/B_i, over all usable cuts.

    Source: Zhang 2024, sec. 4.4.1, eqs. 4.6-4.10.
    Departures: the thesis takes P1 for NP-hard and alternates (see `alternating`). It is polynomial: a device that is
    to end by T needs g_i(T) = min_j C_ij / (T - A_ij) over the cuts with A_ij < T, and T can be kept if and only if
    sum_i g_i(T) <= B. From a T that can be kept, the cuts that attain g_i(T) are given their own best T (P2), which
    is no later, until nothing moves; then sum g_i is B, and no earlier T can be kept. A rate cap only says
    T >= min_j A_ij + C_ij/cap_i. In whole units g_i is rounded up, and T is bisected to the last bit.
    Each device must have a usable cut, and in whole units there must be one for each that must send (see `refusal`).
    O(devices x cuts) a round, with some ten rounds; about fifty in whole units.
    """
    return _fastest(instance, Choice.of(instance.A_s, instance.C_bits, instance.usable))


def fastest_rates(instance: SplitInstance, cuts: Ints) -> Floats:
    """P2: the rates (shape (devices,)) with the least max_i A_i + C_i/B_i for given usable cuts.

    Source: Zhang 2024, eq. 4.12. It is P1 where each device has one cut.
    """
    rows = np.arange(len(cuts))[:, None]
    seconds, bits = instance.A_s[rows, cuts[:, None]], instance.C_bits[rows, cuts[:, None]]
    return _fastest(instance, Choice.of(seconds, bits, np.ones(seconds.shape, dtype=bool)))[1]


def _fastest(instance: SplitInstance, choice: Choice) -> tuple[Ints, Floats]:
    unit_bps = instance.rate_unit_bps
    if unit_bps is None:
        return _continuous(choice, instance.total_bps, instance.limits_bps())[:2]
    total = int(whole_units(instance.total_bps, unit_bps))
    cuts, units = _in_units(choice, total, whole_units(instance.limits_bps(), unit_bps), unit_bps)
    return cuts, in_bps(units, unit_bps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Cuts to choose among; arrays of shape (devices, cuts), or (devices,).

    1/g_i(T) = max_j (T - A_ij)/C_ij is the upper envelope of lines in T. pace: their slopes 1/C, start: A/C, infinite
    where a cut cannot be had. able_s: A of the cuts that send something, else infinite. silent_s: the least A of the
    cuts that send nothing, and silent: which that is; these need no rate from T = A on.
    """

    seconds: Floats
    bits: Floats
    able_s: Floats
    pace: Floats
    start: Floats
    silent_s: Floats
    silent: Ints

    @staticmethod
    def of(seconds: Floats, bits: Floats, usable: Bools) -> Choice:
        sends = usable & (bits > 0)
        quiet = np.where(usable & (bits == 0), seconds, np.inf)
        able_s = np.where(sends, seconds, np.inf)
        pace = 1.0 / np.where(sends, bits, 1.0)
        return Choice(
            seconds=seconds,
            bits=bits,
            able_s=able_s,
            pace=pace,
            start=able_s * pace,
            silent_s=quiet.min(axis=1),
            silent=quiet.argmin(axis=1),
        )

    def cuts_by(self, round_s: float, *, sooner: bool = False) -> tuple[Ints, Floats]:
        """The cuts that need the least rate to end by round_s (sooner: before it), and 1/g_i of each.

        1/g_i is infinite for cuts that send nothing, and not above 0 where no cut ends in time.
        """
        slack = self.pace * round_s
        slack -= self.start
        cuts = slack.argmax(axis=1)
        found = slack[np.arange(len(cuts)), cuts]
        silent = self.silent_s < round_s if sooner else self.silent_s <= round_s
        return np.where(silent, self.silent, cuts), np.where(silent, np.inf, found)

    def cuts_with(self, rates_bps: Floats) -> tuple[Ints, Floats]:
        """The cuts that end first with these rates (eq. 4.11), and when; a rate of 0 carries nothing."""
        took = self.able_s + self.bits * (1 / np.maximum(rates_bps, _NO_RATE))[:, None]
        cuts = took.argmin(axis=1)
        least_s = took[np.arange(len(cuts)), cuts]
        silent = self.silent_s <= least_s
        return np.where(silent, self.silent, cuts), np.minimum(least_s, self.silent_s)

    def of_cuts(self, cuts: Ints) -> tuple[Floats, Floats]:
        """A and C of these cuts."""
        rows = np.arange(len(cuts))
        return self.seconds[rows, cuts], self.bits[rows, cuts]


def _continuous(choice: Choice, total_bps: float, limits_bps: Floats) -> tuple[Ints, Floats, float]:
    """Cuts, rates and the round they make."""
    cuts, ends_s = choice.cuts_with(limits_bps)
    least_s = float(ends_s.max())  # no sooner, each with the most it can have
    cuts, _ = choice.cuts_with(np.full(len(cuts), total_bps / len(cuts)))
    round_s, rates_bps = _shared(*choice.of_cuts(cuts), total_bps)
    while round_s > least_s:
        better, slack = choice.cuts_by(round_s, sooner=True)
        if (slack <= 0).any() or (1 / slack).sum() > total_bps:
            break
        sooner_s, needs_bps = _shared(*choice.of_cuts(better), total_bps)
        if sooner_s >= round_s:
            break
        cuts, round_s, rates_bps = better, sooner_s, needs_bps
    if round_s < least_s or (rates_bps > limits_bps).any():
        # Who waits for somebody else's cap, or for one that sends nothing, may need less with another cut.
        round_s = max(round_s, least_s)
        cuts, slack = choice.cuts_by(round_s)
        with np.errstate(divide="ignore"):
            rates_bps = np.where(slack > 0, 1 / slack, np.inf)
    rates_bps = np.minimum(rates_bps, limits_bps)
    return cuts, rates_bps * min(1.0, total_bps / max(float(rates_bps.sum()), total_bps)), round_s


def _shared(seconds: Floats, bits: Floats, total_bps: float) -> tuple[float, Floats]:
    """The T with sum_i C_i/(T - A_i) = total_bps, or the latest A of who sends nothing; and the rates by it.

    Newton from below, where the sum is convex and falling, so that T never passes its root; T is counted from the
    latest A, so that short transfers after long computing are not lost in rounding.
    """
    sends = bits > 0
    rates_bps = np.zeros(len(bits))
    silent_s = float(seconds[~sends].max(initial=0.0))
    if not sends.any():
        return silent_s, rates_bps
    latest_s = float(seconds[sends].max())
    ahead, bits = latest_s - seconds[sends], bits[sends]
    past_s = max(0.0, float((bits / total_bps - ahead).max()))
    for _ in range(_NEWTON_ROUNDS):
        needs = bits / (ahead + past_s)
        over = float(needs.sum()) - total_bps
        step_s = over / float((needs / (ahead + past_s)).sum())
        if over <= 0 or past_s + step_s == past_s:
            break
        past_s += step_s
    rates_bps[sends] = bits / (ahead + max(past_s, silent_s - latest_s))
    return max(latest_s + past_s, silent_s), rates_bps


def _in_units(choice: Choice, total: int, limits: Ints, unit_bps: float) -> tuple[Ints, Ints]:
    """Cuts, and units for each, with the earliest end: T bisected until no number lies between.

    A T that can be kept is taken down to when its units really end; it starts where all but one unit a device are
    shared in fractions and rounded up, or at one unit each.
    """

    def ends_s(cuts: Ints, units: Ints) -> float:
        seconds, bits = choice.of_cuts(cuts)
        return float((seconds + bits / (np.maximum(units, 1) * unit_bps)).max())

    alone = np.isfinite(choice.silent_s)
    slowest, _ = choice.cuts_with(np.full(len(limits), unit_bps))
    cuts, units = np.where(alone, choice.silent, slowest), np.where(alone, 0, 1)
    if (spare := total - len(limits)) > 0:
        shared, rates_bps, _ = _continuous(
            choice, spare * unit_bps, in_bps(np.minimum(limits, spare), unit_bps)
        )
        rounded = np.minimum(np.ceil(rates_bps / unit_bps).astype(np.int64), limits)
        if ends_s(shared, rounded) < ends_s(cuts, units):
            cuts, units = shared, rounded
    low_s = _continuous(choice, total * unit_bps, in_bps(limits, unit_bps))[2]
    high_s = ends_s(cuts, units)
    while low_s < (middle_s := (low_s + high_s) / 2) < high_s:
        tried, slack = choice.cuts_by(middle_s)
        with np.errstate(divide="ignore"):
            needs = np.ceil(np.where(slack > 0, 1 / (slack * unit_bps), np.inf))
        if (needs > limits).any() or needs.sum() > total:
            low_s = middle_s
            continue
        cuts, units = tried, needs.astype(np.int64)
        high_s = min(middle_s, ends_s(cuts, units))
    return cuts, units
