"""How soon a one-shot job could end at best."""

from __future__ import annotations

import numpy as np

from policies.flows.graph import Floats
from policies.makespan.instance import Instance


def makespan_bound(instance: Instance) -> float:
    """Seconds that no schedule of the job on what is left of the network can go below."""
    return float(earliest_ends(instance).min(axis=1).max(initial=0.0))


def earliest_ends(instance: Instance) -> Floats:
    """Soonest end of each task on each device, were each alone on it and on the links; shape (tasks, devices).

    Data comes from wherever it would be soonest, for each input by itself.
    """
    ends = instance.able.copy()
    with np.errstate(divide="ignore"):
        pace = 1 / instance.width_bps
    for task, pairs in enumerate(instance.inputs):
        ready = np.zeros(ends.shape[1])
        for flow, producer in pairs:
            bits = instance.bits[flow]
            there = ends[producer][:, None] + bits * pace if bits > 0 else ends[producer].min()
            ready = np.maximum(ready, there.min(axis=0) if bits > 0 else there)
        ends[task] += ready
    return ends
