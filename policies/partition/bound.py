"""How soon a round could end at best."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from policies.linear import LinearProgram, minimise
from policies.partition.instance import Bools, Floats, SplitInstance

MOST_CHOICES = 200_000
"""Of more devices x cuts the linear program is not solved."""
_PAIRS = 10_000_000
"""Pairs of cuts compared at a time."""


def round_bound(instance: SplitInstance) -> float | None:
    """T_LB: seconds that no synchronous lossless round can go below, however its parts overlap.

    The linear program min T over x >= 0, sum_j x_ij = 1, with T at least: each device's own seconds sum_j x_ij dev_ij
    and its bits at its own cap; the server's seconds of all devices / servers; the bits of all devices at total_bps
    (of each direction, where each has it to itself). With only A and C declared, A is taken for the device's own
    seconds, which holds where a device waits for each of its batches (no micro-batches).
    None where it is too large to be solved at once (MOST_CHOICES). Each device must have a usable cut.
    Raises SolverError when the solver fails.
    """
    if instance.A_s.size > MOST_CHOICES:
        return None
    own, shared = _demands(instance)
    return _solved(own, shared, instance.usable & ~_dominated([*own, *shared], instance.usable))


def undominated(instance: SplitInstance) -> Bools:
    """Usable cuts of each device that no other equals or betters in all that `round_bound` counts."""
    own, shared = _demands(instance)
    return instance.usable & ~_dominated([*own, *shared], instance.usable)


def _demands(instance: SplitInstance) -> tuple[list[Floats], list[Floats]]:
    """Seconds that a cut takes of its device and its way, and of what all share."""
    usable, parts = instance.usable, instance.parts
    if parts is None:
        own, ways = [instance.A_s], [instance.C_bits]
    else:
        own, both = [parts.device_s], [parts.up_bits, parts.down_bits]
        ways = both if parts.full_duplex else [both[0] + both[1]]
    own, ways = ([np.where(usable, value, 0.0) for value in values] for values in (own, ways))
    widths_bps, links = _links(instance)
    shared = [] if parts is None else [np.where(usable, parts.server_s / parts.servers, 0.0)]
    for way in ways:
        if (widths_bps < instance.total_bps).any():
            own.append(way / np.where(widths_bps > 0, widths_bps, 1.0)[:, None])
        shared += [way * crossing[:, None] / capacity_bps for crossing, capacity_bps in links]
    return own, shared


def _links(instance: SplitInstance) -> tuple[Floats, list[tuple[Bools, float]]]:
    """The most that each device can have, and the links that several share: which devices, and the capacity."""
    count = len(instance.devices)
    if instance.steps is None:
        widths_bps = np.minimum(instance.rate_caps_bps, instance.total_bps)
        return widths_bps, [(np.ones(count, dtype=bool), instance.total_bps)]
    links = [
        (np.isin(np.arange(count), devices), capacity_bps)
        for devices, capacity_bps in instance.steps.binding()
        if len(devices) > 1
    ]
    return instance.steps.widths_bps(), links


def _dominated(values: list[Floats], usable: Bools) -> Bools:
    """Cuts that another usable one of the device equals or betters in each value; of equal ones all but the first."""
    devices, cuts = usable.shape
    dominated = np.zeros_like(usable)
    step = max(1, _PAIRS // cuts**2)
    earlier = np.arange(cuts)[:, None] < np.arange(cuts)[None, :]
    for start in range(0, devices, step):
        rows = slice(start, start + step)
        no_worse = np.broadcast_to(usable[rows, :, None], (len(usable[rows]), cuts, cuts)).copy()
        better = np.zeros_like(no_worse)
        for value in values:
            one, other = value[rows, :, None], value[rows, None, :]
            no_worse &= one <= other
            better |= one < other
        dominated[rows] = (no_worse & (better | earlier)).any(axis=1)
    return dominated


def _solved(own: list[Floats], shared: list[Floats], open_: Bools) -> float:
    """own: seconds of which each device's sum is at most T; shared: of which the sum over all devices is."""
    device, cut = np.nonzero(open_)
    count, devices = len(device), len(open_)
    scale_s = max(
        max(float(np.where(open_, value, np.inf).min(axis=1).max()) for value in own),
        max(float(np.where(open_, value, np.inf).min(axis=1).sum()) for value in shared),
    )
    if scale_s <= 0:
        scale_s = 1.0
    one = sparse.csr_array((np.ones(count), (device, np.arange(count))), shape=(devices, count))
    blocks = [[one, np.zeros((devices, 1))]]
    for value in own:
        blocks.append([-one @ sparse.diags_array(value[device, cut] / scale_s), np.ones((devices, 1))])
    for value in shared:
        blocks.append([-value[device, cut][None] / scale_s, np.ones((1, 1))])
    rows = sparse.csr_array(sparse.block_array([[sparse.csr_array(b) for b in row] for row in blocks]))
    lower, upper = np.zeros(rows.shape[0]), np.full(rows.shape[0], np.inf)
    lower[:devices] = upper[:devices] = 1.0
    cost = np.zeros(count + 1)
    cost[-1] = 1.0
    program = LinearProgram(
        cost=cost,
        rows=rows,
        row_lower=lower,
        row_upper=upper,
        lower=np.zeros(count + 1),
        upper=np.full(count + 1, np.inf),
    )
    return minimise(program).objective * scale_s * (1 - 1e-9)
