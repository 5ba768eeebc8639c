"""How soon a one-shot job could end at best."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from policies.flows.graph import Floats
from policies.linear import LinearProgram, SolverError, minimise
from policies.makespan.instance import Instance

ALL_PAIRS = 16
"""Up to so many devices, data's ways are told apart by both ends; beyond, by where it arrives."""
SMALL = 1_200
"""Most (tasks + flows) x devices of which the linear program is solved."""
ROUNDS = 100
"""Rounds in which the weights of devices are sought; any weights give a bound."""
LEVELS = 8
"""Heads and tails at which the work between them is weighed."""


def makespan_bound(instance: Instance) -> float:
    """Seconds that no schedule of the job on what is left of the network can go below.

    The largest of: the critical path, of each task on its best device with data the fastest way; the work between
    early and late tasks over all devices, unequal as they are; and for small jobs the linear relaxation of
    placement with work, traffic and paths together. O((tasks + flows) x devices) beside the linear program.
    """
    if not instance.seconds:
        return 0.0
    heads, tails = _heads(instance), _tails(instance)
    through = (heads + instance.able + tails).min(axis=1)
    starts, rest = heads.min(axis=1), tails.min(axis=1)
    bound = max(float(through.max()), _area(instance.able, starts, rest))
    if (len(instance.seconds) + len(instance.bits)) * len(instance.graph.devices) <= SMALL:
        bound = max(bound, _relaxed(instance, bound))
    return bound


def _arrivals(sent: Floats, bits: float, pace: Floats) -> Floats:
    """Soonest on each device, when data could be sent from each at the given times. pace: s/bit of all pairs,
    shape (devices, devices), or of the widest link into each."""
    found: Floats
    if bits <= 0:
        found = np.full(len(sent), sent.min())
    elif pace.ndim == 2:
        found = (sent[:, None] + bits * pace).min(axis=0)
    else:
        found = np.minimum(sent, sent.min() + bits * pace)
    return found


def _pace(instance: Instance) -> Floats:
    width = instance.width_bps
    if len(width) > ALL_PAIRS:
        width = np.where(np.eye(len(width), dtype=bool), 0.0, width).max(axis=0)
    with np.errstate(divide="ignore"):
        pace: Floats = 1 / width
    return pace


def _heads(instance: Instance) -> Floats:
    """Soonest start of each task on each device, if nothing had to wait; shape (tasks, devices)."""
    heads, pace = np.zeros_like(instance.able), _pace(instance)
    for task, pairs in enumerate(instance.inputs):
        for flow, producer in pairs:
            ends = heads[producer] + instance.able[producer]
            np.maximum(heads[task], _arrivals(ends, instance.bits[flow], pace), out=heads[task])
    return heads


def _tails(instance: Instance) -> Floats:
    """Least time from each task's end on each device to the end of the job; shape (tasks, devices)."""
    tails, pace = np.zeros_like(instance.able), _pace(instance)
    for task in range(len(tails) - 1, -1, -1):
        for flow, consumer in instance.outputs[task]:
            left = tails[consumer] + instance.able[consumer]
            np.maximum(tails[task], _arrivals(left, instance.bits[flow], pace), out=tails[task])
    return tails


def _area(seconds: Floats, starts: Floats, rest: Floats) -> float:
    """Tasks that start no sooner than a, and after which at least b is left, keep the devices busy in between.

    With weights of devices that sum to one, T - a - b >= sum of the tasks' least weighted seconds: the dual of
    min T, sum_d x_td = 1, sum_t seconds_td x_td <= T. Weights grow where the load by them is above the mean.
    """
    usable = np.isfinite(seconds)
    filled = np.where(usable, seconds, 0.0)
    weights = np.full(seconds.shape[1], 1 / seconds.shape[1])
    best, chosen = -1.0, weights
    for round_ in range(ROUNDS):
        weighted = np.where(usable, filled * weights, np.inf)
        where = weighted.argmin(axis=1)
        value = float(weighted.min(axis=1).sum())
        if value > best:
            best, chosen = value, weights
        loads = np.bincount(where, filled[np.arange(len(where)), where], minlength=len(weights))
        if loads.max() <= 0:
            return 0.0
        weights = weights * np.exp(loads / loads.max() / (1 + round_ / 8))
        weights /= weights.sum()
    least = np.where(usable, filled * chosen, np.inf).min(axis=1)
    bound = best
    quantiles = np.linspace(0, 1, LEVELS, endpoint=False)
    for a in np.unique(np.quantile(starts, quantiles, method="lower")).tolist():
        for b in np.unique(np.quantile(rest, quantiles, method="lower")).tolist():
            within = (starts >= a) & (rest >= b)
            if within.any():
                bound = max(bound, a + b + float(least[within].sum()))
    return bound * (1 - 1e-9)


def _relaxed(instance: Instance, scale_s: float) -> float:
    """The linear relaxation: tasks may be spread over devices.

    Columns: part x of each task on each device; y of each flow and device, at least by what its ends' parts there
    differ; end e of each task; T. A device works no longer than T; its links together carry no more than they can in
    T; a task ends after its inputs' ends, half the sum of y of the fastest transfer, and its own seconds.
    """
    if scale_s <= 0:
        return 0.0
    able, bits = instance.able / scale_s, np.array(instance.bits)
    (tasks, devices), flows = able.shape, len(bits)
    usable = np.isfinite(able)
    seconds = np.where(usable, able, 0.0)
    capacity = np.zeros(devices)
    for end in instance.graph.ends.T:
        np.add.at(capacity, end, instance.router.capacity_bps * scale_s)
    apart = instance.width_bps[~np.eye(devices, dtype=bool)]
    fastest = 1 / (apart.max() * scale_s) if apart.any() else 0.0
    producers, consumers = np.array(instance.asked.producers, int), np.array(instance.asked.consumers, int)
    x = sparse.eye_array(tasks * devices, format="csr")
    y = sparse.eye_array(flows * devices, format="csr")
    per_task = sparse.kron(sparse.eye_array(tasks), np.ones((1, devices)), format="csr")
    per_flow = sparse.kron(sparse.eye_array(flows), np.full((1, devices), 0.5), format="csr")
    on_device = sparse.kron(np.ones((1, tasks)), sparse.eye_array(devices), format="csr")
    at_device = sparse.kron(bits[None, :], sparse.eye_array(devices), format="csr")
    work = sparse.diags_array(seconds.ravel())
    took = per_task @ work
    cells = np.arange(devices)
    gives = (
        x[(producers[:, None] * devices + cells).ravel()] - x[(consumers[:, None] * devices + cells).ravel()]
    )
    ends = sparse.eye_array(tasks, format="csr")
    one = np.ones((tasks, 1))
    blocks = [
        [per_task, None, None, np.zeros((tasks, 1))],
        [-(on_device @ work), None, None, np.ones((devices, 1))],
        [-took, None, ends, None],
        [None, None, -ends, one],
    ]
    if flows:
        blocks += [
            [gives, y, None, None],
            [-gives, y, None, None],
            [None, -at_device, None, capacity[:, None]],
            [
                -took[consumers],
                -sparse.diags_array(bits * fastest) @ per_flow,
                ends[consumers] - ends[producers],
                None,
            ],
        ]
    else:
        blocks = [[row[0], *row[2:]] for row in blocks]
    rows = sparse.csr_array(sparse.block_array(blocks, format="csr"))
    lower = np.zeros(rows.shape[0])
    lower[:tasks] = 1.0
    upper = np.full(rows.shape[0], np.inf)
    upper[:tasks] = 1.0
    most = np.full(rows.shape[1], np.inf)
    most[: tasks * devices] = usable.ravel()
    cost = np.zeros(rows.shape[1])
    cost[-1] = 1.0
    try:
        program = LinearProgram(
            cost=cost, rows=rows, row_lower=lower, row_upper=upper, lower=np.zeros(len(cost)), upper=most
        )
        return minimise(program).objective * scale_s * (1 - 1e-6)
    except SolverError:  # numbers too far apart: the other bounds stand
        return 0.0
