"""Policies of split training: an instance in, a cut and a rate for each device out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from policies.partition.alternating import alternating, equal_rates, equal_share_bps
from policies.partition.equalise import fastest_rates, fastest_split
from policies.partition.instance import Floats, Ints, NoSplit, SplitInstance, SplitPlan
from policies.partition.overlap import overlapped
from policies.partition.refusal import refusal
from policies.partition.tried import fastest_tried

SplitPolicy = Callable[[SplitInstance], SplitPlan | NoSplit]


def vanilla_fl(instance: SplitInstance) -> SplitPlan | NoSplit:
    """Federated learning: the whole model on each device (the last cut), and equal rates.

    Source: Zhang 2024, sec. 4.5.1. A device whose cap is lower than the equal share has its cap; what it leaves is
    not given to others.
    """
    cuts, rates_bps = _whole(instance), equal_rates(instance)
    refused = refusal(instance, "vanilla-fl", cuts)
    if refused is None and ((rates_bps == 0) & (instance.C_bits[:, -1] > 0)).any():
        refused = _no_equal_share(instance, "vanilla-fl")
    return refused or _plan("vanilla-fl", instance, cuts, rates_bps)


def adaptive_fl(instance: SplitInstance) -> SplitPlan | NoSplit:
    """The whole model on each device, and rates by P2. Source: Zhang 2024, sec. 4.5.1."""
    return _with_cuts("adaptive-fl", instance, _whole(instance))


def edgesplit_fix(instance: SplitInstance) -> SplitPlan | NoSplit:
    """Half of the layers on each device, and rates by P2.

    Source: Zhang 2024, sec. 4.5.1. Half is the cut whose number of layers is nearest to half of them all; of two the
    shallower, so that of N layers that can all be cut after it is the N//2-th (cut N//2 - 1).
    """
    half = int(np.abs(instance.layers - instance.layers[-1] / 2).argmin())
    return _with_cuts("edgesplit-fix", instance, np.full(len(instance.devices), half))


def edgesplit(instance: SplitInstance) -> SplitPlan | NoSplit:
    """Cuts and rates by P1, solved exactly. See `fastest_split`."""
    return refusal(instance, "edgesplit") or _plan("edgesplit", instance, *fastest_split(instance))


def edgesplit_alternating(instance: SplitInstance) -> SplitPlan | NoSplit:
    """Cuts and rates by the published method. See `alternating`."""
    name = "edgesplit-alternating"
    refused = refusal(instance, name)
    if refused is None and not equal_share_bps(instance):
        refused = _no_equal_share(instance, name)
    return refused or _plan(name, instance, *alternating(instance))


def edgesplit_overlap(instance: SplitInstance) -> SplitPlan | NoSplit:
    """Cuts for a shared server and links that carry one device's data while others compute.

    See `fastest_tried`, and `overlapped` where only sums of a round are known.
    """
    refused = refusal(instance, "edgesplit-overlap")
    if refused is not None:
        return refused
    if instance.steps is not None:
        best = fastest_tried(instance)
        cuts, rates_bps, round_s, micro_batches = best.cuts, best.rates_bps, best.round_s, best.micro_batches
    else:
        cuts, rates_bps, round_s = overlapped(instance)
        micro_batches = 1 if instance.parts is None else instance.parts.micro_batches
    return SplitPlan(
        policy="edgesplit-overlap",
        cuts=tuple(cuts.tolist()),
        rates_bps=tuple(rates_bps.tolist()),
        round_s=round_s,
        work_conserving=True,
        micro_batches=micro_batches,
    )


def _no_equal_share(instance: SplitInstance, policy: str) -> NoSplit:
    share_bps = instance.total_bps / len(instance.devices)
    reason = f"an equal share, {share_bps:g} bit/s, is less than one unit of {instance.rate_unit_bps:g} bit/s"
    return NoSplit(policy=policy, reasons=(reason,))


def _whole(instance: SplitInstance) -> Ints:
    return np.full(len(instance.devices), len(instance.layers) - 1)


def _with_cuts(policy: str, instance: SplitInstance, cuts: Ints) -> SplitPlan | NoSplit:
    refused = refusal(instance, policy, cuts)
    return refused or _plan(policy, instance, cuts, fastest_rates(instance, cuts))


def _plan(policy: str, instance: SplitInstance, cuts: Ints, rates_bps: Floats) -> SplitPlan:
    return SplitPlan(
        policy=policy,
        cuts=tuple(cuts.tolist()),
        rates_bps=tuple(rates_bps.tolist()),
        round_s=instance.predicted_s(cuts, rates_bps),
    )
