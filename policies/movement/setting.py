"""The random instances of the paper's experiments (section V), from a generator that the caller seeds."""

from __future__ import annotations

from typing import Literal

import networkx as nx
import numpy as np

from policies.movement.instance import Bools, Floats, MovementInstance, movement_instance

Topology = Literal["full", "small-world", "hierarchy", "random"]
TOPOLOGIES: tuple[Topology, ...] = ("full", "small-world", "hierarchy", "random")
_REWIRED = 0.1
"""Probability with which a link of the small world leads elsewhere; the paper does not say."""


def random_setting(
    rng: np.random.Generator,
    *,
    devices: int = 10,
    intervals: int = 100,
    points: float = 60_000,
    f: float = 1.0,
    topology: Topology = "full",
    rho: float = 0.5,
    capacities: bool = False,
    steady: bool = False,
) -> MovementInstance:
    """D ~ U(0, points / (n T)), c ~ U(0, 1), c_link ~ U(0, 1/n); C ~ U(0, 4 max D), C_link ~ U(0, 4 max D / n).

    steady: costs and capacities are drawn once for all intervals, so that averages tell something of what comes; else
    for each anew. The paper does not say, nor how large f is: at 1 nothing is discarded for its costs. Raises
    ValueError for an unknown topology, and for rho outside [0, 1].
    """
    n, T = devices, intervals
    times = 1 if steady else T
    D = rng.uniform(0, points / (n * T), (T, n))
    c = rng.uniform(0, 1, (times, n))
    linked = links(rng, c.mean(axis=0), topology, rho)
    c_link = np.where(linked, rng.uniform(0, 1 / n, (times, n, n)), np.inf)
    C: Floats = np.full((times, n), np.inf)
    C_link: Floats = np.full((times, n, n), np.inf)
    if capacities:
        C = rng.uniform(0, 4 * D.max(), (times, n))
        C_link = rng.uniform(0, 4 * D.max() / n, (times, n, n))

    def all_times(array: Floats) -> Floats:
        return np.broadcast_to(array, (T, *array.shape[1:]))

    return movement_instance(D, all_times(c), all_times(c_link), f, all_times(C), all_times(C_link))


def links(rng: np.random.Generator, cost: Floats, topology: Topology, rho: float) -> Bools:
    """Shape (n, n): whether i can send to j. cost: of processing, shape (n,), by which the hierarchy is made.

    small-world: Watts-Strogatz, each device linked to n/5 others, at least 2. hierarchy: two others send to each of
    the n/3 devices of lowest cost. random: each directed link with probability rho.
    """
    n = len(cost)
    if topology not in TOPOLOGIES:
        raise ValueError(f"topology {topology!r}, expected one of {', '.join(TOPOLOGIES)}")
    if not 0 <= rho <= 1:
        raise ValueError(f"rho is {rho}, expected 0 to 1")
    linked = np.zeros((n, n), dtype=bool)
    if topology == "full":
        linked[:] = True
    elif topology == "random":
        linked = rng.random((n, n)) < rho
    elif topology == "small-world":
        near = min(max(2, round(n / 5)), n - 1)
        graph = nx.watts_strogatz_graph(n, near, _REWIRED, seed=rng)
        for i, j in graph.edges:
            linked[i, j] = linked[j, i] = True
    else:
        order = np.argsort(cost, kind="stable")
        parents, leaves = order[: n // 3], rng.permutation(order[n // 3 :])
        for place, parent in enumerate(parents.tolist()):
            linked[leaves[2 * place : 2 * place + 2], parent] = True
    linked[np.arange(n), np.arange(n)] = False
    return linked
