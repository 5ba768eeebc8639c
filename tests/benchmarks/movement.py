"""Data movement in network-aware learning: how fast it is planned, and how near to the optimum.

    python -m tests.benchmarks.movement [--json] [--seeds 10] [--quick]

planned: with capacities at n = T = 100 (medians and most over seeds, one call each) by f, and Clarabel's reference at
n = 10. of bound: a plan's cost over what no plan is below. HiGHS: the same linear program with all its columns, from
scratch. What it costs: `edgeray reproduce fog`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from policies.linear import LinearProgram, minimise
from policies.movement.arcs import arcs_of
from policies.movement.convex import network_aware_sqrt, network_aware_sqrt_exact
from policies.movement.instance import MovementInstance, MovementPlan
from policies.movement.linear import network_aware
from policies.movement.setting import random_setting

LINEAR_F = (0.3, 1.0)
SQRT_F = (1.0, 5.0, 30.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--seeds", type=int, default=10, help="instances of each kind")
    parser.add_argument("--quick", action="store_true", help="two seeds, n = T = 30 in place of 100")
    options = parser.parse_args()
    seeds, size = range(2 if options.quick else options.seeds), 30 if options.quick else 100
    told = {
        "size": size,
        "linear": {f"f {f:g}": linear(seeds, size, f) for f in LINEAR_F},
        "sqrt": {
            f"f {f:g}, {'capacities' if limited else 'no capacities'}": sqrt(seeds, size, f, limited)
            for f in SQRT_F
            for limited in (True, False)
        },
        "sqrt at n = 10": {f"f {f:g}": reference(seeds, f) for f in SQRT_F},
    }
    if options.json:
        print(json.dumps(told))
    else:
        _print(told)


def linear(seeds: range, size: int, f: float) -> dict[str, float]:
    times, plain, apart, arcs = [], [], [], 0
    for seed in seeds:
        instance = _large(seed, size, f, True)
        plan, took_s = _timed(network_aware, instance)
        times.append(took_s)
        if seed < 3:
            ways = arcs_of(instance, instance.f, instance.f[:, :, None])
            arcs = len(ways.cost)
            began_s = time.perf_counter()
            least = _from_scratch(instance)
            plain.append(time.perf_counter() - began_s)
            apart.append(abs(plan.total / least - 1))
    return {
        **_times(times), "ways": arcs, "highs_s": statistics.median(plain), "highs_apart": max(apart),
    }  # fmt: skip


def sqrt(seeds: range, size: int, f: float, limited: bool) -> dict[str, float]:
    times, over = [], []
    for seed in seeds:
        plan, took_s = _timed(network_aware_sqrt, _large(seed, size, f, limited))
        times.append(took_s)
        assert plan.bound is not None
        over.append(plan.total / plan.bound)
    return {**_times(times), "of_bound": statistics.fmean(over), "most_of_bound": max(over)}


def reference(seeds: range, f: float) -> dict[str, float]:
    times, exact, over = [], [], []
    for seed in seeds:
        instance = random_setting(np.random.default_rng(seed), f=f, capacities=True)
        plan, took_s = _timed(network_aware_sqrt, instance)
        best, exact_s = _timed(network_aware_sqrt_exact, instance)
        times.append(took_s)
        exact.append(exact_s)
        over.append(plan.total / best.total)
    return {**_times(times), "clarabel_s": statistics.median(exact), "most_of_clarabel": max(over)}


def _large(seed: int, size: int, f: float, limited: bool) -> MovementInstance:
    rng = np.random.default_rng([seed, size])
    return random_setting(rng, devices=size, intervals=size, f=f, capacities=limited)


def _from_scratch(instance: MovementInstance) -> float:
    """Cost by HiGHS alone."""
    ways, count = arcs_of(instance, instance.f, instance.f[:, :, None]), instance.D.size
    number = np.arange(len(ways.cost))
    rows = (np.concatenate([ways.source, count + ways.sink]), np.tile(number, 2))
    upper = np.concatenate([instance.D.ravel(), instance.C.ravel()])
    program = LinearProgram(
        cost=ways.cost - instance.f.ravel()[ways.source],
        rows=sparse.csr_array((np.ones(2 * len(number)), rows), shape=(2 * count, len(number))),
        row_lower=np.full(2 * count, -np.inf),
        row_upper=upper,
        lower=np.zeros(len(number)),
        upper=ways.most,
    )
    return minimise(program).objective + float((instance.f * instance.D).sum())


def _timed(
    policy: Callable[[MovementInstance], MovementPlan], instance: MovementInstance
) -> tuple[MovementPlan, float]:
    began_s = time.perf_counter()
    plan = policy(instance)
    return plan, time.perf_counter() - began_s


def _times(times: list[float]) -> dict[str, float]:
    return {"median_s": statistics.median(times), "most_s": max(times)}


def _print(told: dict[str, Any]) -> None:
    size = told["size"]
    for title, key in (
        (f"linear, n = T = {size}, capacities", "linear"),
        (f"sqrt, n = T = {size}", "sqrt"),
        ("sqrt, n = 10, T = 100, capacities", "sqrt at n = 10"),
    ):
        print(title)
        for name, row in told[key].items():
            print(f"  {name:28}" + ", ".join(f"{what} {value:.6g}" for what, value in row.items()))


if __name__ == "__main__":
    main()
