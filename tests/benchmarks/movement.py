"""Data movement in network-aware learning: what it costs, how fast it is planned, and how near to the optimum.

    python -m tests.benchmarks.movement [--json] [--seeds 10] [--quick]

unit costs: in the paper's setting (n = 10, T = 100, costs drawn anew in each interval, or once), means over seeds with
their standard errors; A: nothing moves, B: network-aware, C: from estimates, D: from estimates, with capacities; beside
them what the paper's Table III has. f, which the paper does not give, is 1: nothing is discarded for its cost.
planned: with capacities at n = T = 100 (medians and most over seeds, one call each) by f, and Clarabel's reference at
n = 10. of bound: a plan's cost over what no plan is below. HiGHS: the same linear program with all its columns, from
scratch.
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
from policies.movement.estimated import network_aware_estimated
from policies.movement.instance import MovementInstance, MovementPlan
from policies.movement.linear import network_aware
from policies.movement.rule import local
from policies.movement.setting import random_setting

PUBLISHED = {"A": 0.48, "B": 0.26, "C": 0.23, "D": 0.24}
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
        "unit costs": {
            "drawn anew": unit_costs(seeds, steady=False),
            "drawn once": unit_costs(seeds, steady=True),
        },
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


def unit_costs(seeds: range, *, steady: bool) -> dict[str, dict[str, float | None]]:
    found: dict[str, list[float]] = {}
    for seed in seeds:
        free = random_setting(np.random.default_rng(seed), steady=steady)
        tight = random_setting(np.random.default_rng(seed), steady=steady, capacities=True)
        for name, plan in (
            ("A", local(free)),
            ("B", network_aware(free)),
            ("C", network_aware_estimated(free)),
            ("D", network_aware_estimated(tight)),
            ("perfect, with capacities", network_aware(tight)),
        ):
            found.setdefault(name, []).append(plan.unit)
    return {
        name: {
            "mean": statistics.fmean(units),
            "standard_error": statistics.stdev(units) / len(units) ** 0.5,
            "published": PUBLISHED.get(name),
        }
        for name, units in found.items()
    }


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
    for kind, table in told["unit costs"].items():
        print(f"unit costs, costs {kind}")
        for name, row in table.items():
            published = "" if row["published"] is None else f"   published {row['published']:.2f}"
            print(f"  {name:28}{row['mean']:.4f} +- {row['standard_error']:.4f}{published}")
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
