"""The published way to P1: cuts for given rates, rates for given cuts, and again."""

from __future__ import annotations

import numpy as np

from policies.partition.equalise import Choice, fastest_rates
from policies.partition.instance import Floats, Ints, SplitInstance, in_bps, whole_units


def alternating(instance: SplitInstance, rates_bps: Floats | None = None) -> tuple[Ints, Floats]:
    """Cuts and rates (shape (devices,)) by alternating minimisation, until the round gets no shorter.

    Source: Zhang 2024, Alg. 6, eqs. 4.11, 4.12.
    Departures: P2 is solved exactly instead of by a convex optimizer; the first rates, random in the thesis, are equal
    unless given. Where every cut sends something and no rate cap binds, it ends at P1's optimum in spite of the
    thesis' claim that P1 is NP-hard: after P2 all T_i are equal, and when no device gains by another cut at its rate,
    each has the least rate that reaches T. In whole units it stops early in some instances (`fastest_split` does not).
    """
    choice = Choice.of(instance.A_s, instance.C_bits, instance.usable)
    if rates_bps is None:
        rates_bps = equal_rates(instance)
    cuts, _ = choice.cuts_with(rates_bps)
    rates_bps, round_s = fastest_rates(instance, cuts), np.inf
    while (found_s := instance.round_s(cuts, rates_bps)) < round_s:
        best, round_s = (cuts, rates_bps), found_s
        cuts, _ = choice.cuts_with(rates_bps)
        rates_bps = fastest_rates(instance, cuts)
    return best


def equal_rates(instance: SplitInstance) -> Floats:
    """An equal share for each device, at most its cap."""
    return np.minimum(instance.limits_bps(), equal_share_bps(instance))


def equal_share_bps(instance: SplitInstance) -> float:
    """In whole units the largest that all can have, which may be 0."""
    share_bps = instance.total_bps / len(instance.devices)
    if (unit_bps := instance.rate_unit_bps) is None:
        return share_bps
    return float(in_bps(whole_units(share_bps, unit_bps), unit_bps))
