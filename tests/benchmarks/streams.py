"""Mappings of camera streams: how good they are, and how fast load-aware decides.

    python -m tests.benchmarks.streams [--json] [--seeds 20] [--quick]

load-aware: at 100 cameras on 50 devices with memory for some, its time (median, and at most, over the seeds) and its
frame rate over what all devices together allow, which no mapping exceeds. The frame rate that all streams can have at
the same time, by policy: means over the seeds, at sizes of our specification. jstsh: its latencies' sum over the optimum
by MILP. Instances are drawn as in the tests.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from policies.streams.exact import exact
from policies.streams.instance import NoMapping, StreamInstance, StreamPlan, stream_instance
from policies.streams.load_aware import load_aware
from policies.streams.published import jstsh, nmno, nmwo, wmno

SIZES = ((5, 5), (20, 7), (100, 50))
OPTIMAL = ((5, 5), (20, 7), (50, 20))
"""Sizes at which the MILP is solved."""
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--seeds", type=int, default=20, help="instances of each size")
    parser.add_argument("--quick", action="store_true", help="three seeds")
    options = parser.parse_args()
    seeds = range(3 if options.quick else options.seeds)
    told = {
        "load-aware": decided(seeds),
        "common_fps": common_fps(seeds),
        "jstsh over optimum": over_optimum(seeds),
    }
    if options.json:
        print(json.dumps(told))
    else:
        _print(told)


def drawn(cameras: int, devices: int, seed: int, *, memory: float = np.inf) -> StreamInstance:
    rng = np.random.default_rng([cameras, devices, seed])
    return stream_instance(
        rng.choice([1.0, 2.0, 4.0], devices) * rng.uniform(0.8, 1.2, devices),
        rng.uniform(0.1, 0.5, cameras),
        rng.uniform(0.05, 0.4, cameras),
        rng.uniform(0.01, 0.1, (devices, cameras)),
        rng.uniform(0.01, 0.1, cameras),
        memory=memory,
        R_det=1.0,
        R_reid=1.5,
    )


def decided(seeds: range) -> dict[str, float]:
    times, parts = [], []
    for seed in seeds:
        instance = drawn(100, 50, seed, memory=8.0)
        times.append(_median_ms(partial(load_aware, instance)))
        bound_fps = instance.PS.sum() / (instance.CL1.sum() + instance.CL2.sum())
        parts.append(_planned(load_aware(instance)).common_fps / float(bound_fps))
    return {
        "median_ms": statistics.median(times),
        "most_ms": max(times),
        "least_of_bound": min(parts),
        "mean_of_bound": statistics.fmean(parts),
    }


def common_fps(seeds: range) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for cameras, devices in SIZES:
        found: dict[str, list[float]] = {}
        for seed in seeds:
            instance = drawn(cameras, devices, seed)
            for name, decide in _policies(seed).items():
                found.setdefault(name, []).append(_planned(decide(instance)).common_fps)
        table[f"{cameras}, {devices}"] = {name: statistics.fmean(values) for name, values in found.items()}
    return table


def over_optimum(seeds: range) -> dict[str, dict[str, float]]:
    table = {}
    for cameras, devices in OPTIMAL:
        ratios, times = [], []
        for seed in seeds:
            instance = drawn(cameras, devices, seed, memory=8.0)
            began_s = time.perf_counter()
            least = _planned(exact(instance)).sum_latency_s
            times.append(1e3 * (time.perf_counter() - began_s))
            ratios.append(_planned(jstsh(instance)).sum_latency_s / least)
        table[f"{cameras}, {devices}"] = {
            "mean": statistics.fmean(ratios),
            "most": max(ratios),
            "milp_ms": statistics.median(times),
        }
    return table


def _policies(seed: int) -> dict[str, Callable[[StreamInstance], StreamPlan | NoMapping]]:
    return {
        "nmno": partial(nmno, seed=seed),
        "wmno": wmno,
        "nmwo": partial(nmwo, seed=seed),
        "jstsh": jstsh,
        "load-aware": load_aware,
    }


def _planned(plan: StreamPlan | NoMapping) -> StreamPlan:
    assert isinstance(plan, StreamPlan), plan
    return plan


def _print(told: dict[str, Any]) -> None:
    decided_ = told["load-aware"]
    print(
        f"load-aware, 100 cameras, 50 devices: {decided_['median_ms']:.1f} ms, at most {decided_['most_ms']:.1f}; "
        f"{decided_['mean_of_bound']:.4f} of the bound, at least {decided_['least_of_bound']:.4f}\n"
    )
    names = list(next(iter(told["common_fps"].values())))
    print("common FPS, cameras and devices".ljust(34) + "".join(name.rjust(12) for name in names))
    for size, row in told["common_fps"].items():
        print(size.ljust(34) + "".join(f"{row[name]:.2f}".rjust(12) for name in names))
    print("\njstsh's latencies over the optimum".ljust(35) + "        mean        most    MILP, ms")
    for size, row in told["jstsh over optimum"].items():
        print(
            size.ljust(34)
            + f"{row['mean']:.4f}".rjust(12)
            + f"{row['most']:.4f}".rjust(12)
            + f"{row['milp_ms']:.1f}".rjust(12)
        )


def _median_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        call()
        times.append(time.perf_counter() - began_s)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    main()
