"""The best round of small instances, by trying everything."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.optimize import linprog

from policies.partition.instance import Ints, SplitInstance
from policies.partition.overlap import RoundModel


def all_cuts(instance: SplitInstance) -> Ints:
    """Every way to give each device a usable cut; shape (ways, devices)."""
    choices = [np.flatnonzero(row).tolist() for row in instance.usable]
    return np.array(list(product(*choices)), dtype=np.int64).reshape(-1, len(choices))


def best_round(instance: SplitInstance) -> float:
    """P1 in fractions: of each way the T at which what is needed meets the total, by plain bisection."""
    ways = all_cuts(instance)
    rows = np.arange(len(instance.devices))
    seconds, bits = instance.A_s[rows, ways], instance.C_bits[rows, ways]
    sends = bits > 0
    caps = np.broadcast_to(np.minimum(instance.rate_caps_bps, instance.total_bps), bits.shape)
    alone = np.where(sends, bits / np.where(sends, caps, 1.0), 0.0)
    low = (seconds + alone).max(axis=1)
    high = (seconds + np.where(sends, bits, 0.0) * len(rows) / instance.total_bps).max(axis=1)
    high = np.maximum(low, high)

    def kept(round_s: np.ndarray) -> np.ndarray:
        slack = np.where(sends, round_s[:, None] - seconds, 1.0)
        with np.errstate(divide="ignore"):
            needs = np.where(sends, bits / slack, 0.0)
        return (slack > 0).all(axis=1) & (needs.sum(axis=1) <= instance.total_bps)

    high = np.where(kept(low), low, high)
    for _ in range(100):
        middle = (low + high) / 2
        good = kept(middle)
        low, high = np.where(good, low, middle), np.where(good, middle, high)
    return float(high.min())


def best_round_in_units(instance: SplitInstance) -> float:
    """P1 in whole units: every way to hand them out, each device with its best cut for what it has."""
    unit_bps = instance.rate_unit_bps
    assert unit_bps is not None
    total = round(instance.total_bps / unit_bps)
    able = np.where(instance.usable, instance.A_s, np.inf)
    took = np.empty((len(able), total + 1))
    for units in range(total + 1):
        sent = np.full_like(able, np.inf) if units == 0 else instance.C_bits / (units * unit_bps)
        took[:, units] = (able + np.where(instance.C_bits == 0, 0.0, sent)).min(axis=1)
        took[units * unit_bps > instance.rate_caps_bps * (1 + 1e-12), units] = np.inf
    shares = np.array([s for s in product(range(total + 1), repeat=len(able)) if sum(s) <= total])
    return float(took[np.arange(len(able)), shares].max(axis=1).min())


def best_overlap(instance: SplitInstance) -> float:
    """The least round of the overlapping model over all cuts."""
    model = RoundModel.of(instance)
    return min(model.round_s(cuts) for cuts in all_cuts(instance))


def linear_bound(instance: SplitInstance) -> float:
    """T_LB as written down, row by row, over all usable cuts; no caps."""
    parts, usable = instance.parts, instance.usable
    assert parts is not None
    devices, cuts = usable.shape
    loads = [parts.server_s / parts.servers]
    if parts.full_duplex:
        loads += [parts.up_bits / instance.total_bps, parts.down_bits / instance.total_bps]
    else:
        loads += [(parts.up_bits + parts.down_bits) / instance.total_bps]
    upper = [np.append(load.ravel(), -1.0) for load in loads]
    equal = []
    for device in range(devices):
        own, one = np.zeros((devices, cuts)), np.zeros((devices, cuts))
        own[device], one[device] = parts.device_s[device], 1.0
        upper.append(np.append(own.ravel(), -1.0))
        equal.append(np.append(one.ravel(), 0.0))
    cost = np.append(np.zeros(devices * cuts), 1.0)
    bounds = [(0, 1 if able else 0) for able in usable.ravel()] + [(0, None)]
    found = linprog(cost, np.array(upper), np.zeros(len(upper)), np.array(equal), np.ones(devices), bounds)
    assert found.success
    return float(found.fun)
