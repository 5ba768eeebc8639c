"""A bound that no policy can beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policies.linear import SolverError, minimise
from policies.model import Network, Workload
from policies.relaxation import relax


def throughput_bound(network: Network, workloads: Sequence[Workload]) -> float:
    """At least the sum of items/s that any placement, routing and rates of all workloads together can reach.

    Divided by the number of jobs it bounds their mean throughput, and so their geometric mean and minimum
    too. It is the linear relaxation of the exact program (see `relax`): tasks and flows may be spread, and
    of memory only what the spread parts hold counts. What the network holds already is not subtracted: give
    all jobs. It says nothing of latency, nor of headers and control traffic, which only lower what can be
    reached.
    Complexity: some jobs x flows x links columns (interior point), of which equal jobs, and equal tasks of a
    job, count once (`relax`, merged): what one and the same application costs is little more than its cameras.
    Raises ValueError for a job that cannot run at all or that nothing bounds.
    """
    if not workloads:
        return 0.0
    built = relax(network, workloads, merged=True)
    jobs = np.array([float(group.jobs) for group in built.groups])
    program = built.model.maximise(built.rates, jobs)
    try:
        optimum = minimise(program, interior=True)
    except SolverError:  # it could not settle: the simplex takes longer, but always ends
        optimum = minimise(program)
    # An interior point ends within its tolerance of the optimum, on either side.
    return -optimum.objective * (1 + 1e-6)
