"""How long planning takes, and how good the plans are.

    python -m tests.benchmarks.planning [--json] [--only times,rates,exact,online] [--seeds 3]

times: medians of one decision for 50 arriving jobs. rates: mean, geometric mean and least items/s per job of every
policy, and the bound of the mean, on random networks (Zhang 2024, sec. 3.6). exact: joint over the exact
program. online: one arrival at a large network with 100 running jobs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from policies.bound import throughput_bound
from policies.linear import SolverError
from policies.model import Network, Snapshot, Workload
from policies.placement.exact import solve_exactly
from policies.registry import POLICIES, load_policy
from tests.policies.generate import attributes_jobs, small_job, small_network, thesis_network
from tests.policies.invariants import after

Row = dict[str, float | int | str | None]
SIZES = ((10, 1e6), (30, 1e6), (70, 1e6), (30, 10e6), (70, 10e6))
JOBS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {','.join(PARTS)}")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    results: dict[str, list[Row]] = {}
    for part in options.only.split(","):
        results[part] = PARTS[part](options.seeds)
        if not options.json:
            print_table(part, results[part])
    if options.json:
        print(json.dumps(results))


def print_table(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}")
    if rows:
        print("  ".join(f"{name:>12}" for name in rows[0]))
    for row in rows:
        shown = (f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values())
        print("  ".join(f"{value:>12}" for value in shown), flush=True)


def instance(seed: int, devices: int, mean_bps: float, jobs: int) -> tuple[Network, list[Workload]]:
    rng = np.random.default_rng(seed)
    network = thesis_network(rng, devices, mean_bps)
    return network, attributes_jobs(rng, network, jobs)


def timing(policy: str, snapshot: Snapshot, batches: Sequence[Sequence[Workload]]) -> Row:
    """Median seconds of one decision, one a batch: on the clock, and of this process alone."""
    wall, own = [], []
    decide = load_policy(policy).decide
    for batch in batches:
        start, start_own = time.perf_counter(), time.process_time()
        decide(snapshot, batch)
        wall.append(time.perf_counter() - start)
        own.append(time.process_time() - start_own)
    return {
        "devices": len(snapshot.network.devices),
        "running": len(snapshot.running),
        "arriving": len(batches[0]),
        "policy": policy,
        "median_s": statistics.median(wall),
        "cpu_s": statistics.median(own),
    }


def times(seeds: int) -> list[Row]:
    rows: list[Row] = []
    for devices in (30, 300):
        network, jobs = instance(0, devices, 10e6, JOBS)
        rows += [timing(name, Snapshot(network=network), [jobs] * seeds) for name in POLICIES]
    return rows


def rates(seeds: int) -> list[Row]:
    rows: list[Row] = []
    for devices, mean_bps in SIZES:
        found: dict[str, list[np.ndarray]] = {name: [] for name in POLICIES}
        bounds = []
        for seed in range(seeds):
            network, jobs = instance(seed, devices, mean_bps, JOBS)
            print(f"{devices} devices, {mean_bps / 1e6:g} Mbps, seed {seed}", file=sys.stderr)
            bounds.append(throughput_bound(network, jobs) / JOBS)
            for name in POLICIES:
                plans = load_policy(name).decide(Snapshot(network=network), jobs).plans
                reached = [plans[w.job.id].throughput_per_s if w.job.id in plans else 0.0 for w in jobs]
                found[name].append(np.array(reached))
        bound = float(np.mean(bounds))
        otfa = float(np.mean(found["otfa"]))
        for name, reached_by_seed in found.items():
            rows.append(summary(devices, mean_bps, name, reached_by_seed, bound, otfa))
        rows.append({"devices": devices, "Mbps": mean_bps / 1e6, "policy": "bound", "mean": bound})
    return rows


def summary(
    devices: int, mean_bps: float, policy: str, reached: list[np.ndarray], bound: float, otfa: float
) -> Row:
    """Averages over seeds. A job that waits counts as 0, and so makes the geometric mean over all jobs 0."""
    placed = [rates[rates > 0] for rates in reached]
    with np.errstate(divide="ignore"):
        geometric = [float(np.exp(np.log(rates).mean())) for rates in reached]
    mean = float(np.mean(reached))
    return {
        "devices": devices,
        "Mbps": mean_bps / 1e6,
        "policy": policy,
        "mean": mean,
        "geo_all": float(np.mean(geometric)),
        "geo_placed": float(np.mean([np.exp(np.log(rates).mean()) for rates in placed])),
        "min_placed": float(np.mean([rates.min() for rates in placed])),
        "placed": float(np.mean([len(rates) for rates in placed])),
        "of_bound": mean / bound,
        "of_otfa": mean / otfa,
    }


def exact(seeds: int) -> list[Row]:
    """Geometric mean over jobs of joint's rate over the exact program's, which maximises that mean."""
    rows: list[Row] = []
    for count, tasks, devices, links in ((1, 4, 4, 5), (3, 3, 5, 7)):
        ratios = []
        for seed in range(5 * seeds):
            rng = np.random.default_rng(seed)
            network = small_network(rng, devices, links)
            jobs = [small_job(rng, network, f"j{i}", tasks) for i in range(count)]
            plans = load_policy("joint").decide(Snapshot(network=network), jobs).plans
            try:
                best = solve_exactly(network, jobs, "log", time_limit_s=60).rates_per_s
            except SolverError:
                continue  # not all jobs fit
            reached = [plans[w.job.id].throughput_per_s if w.job.id in plans else 1e-9 for w in jobs]
            ratios.append(float(np.exp(np.mean(np.log(reached) - np.log(best)))))
        rows.append(
            {
                "jobs": count,
                "instances": len(ratios),
                "mean": statistics.mean(ratios),
                "median": statistics.median(ratios),
                "min": min(ratios),
            }
        )
    return rows


def online(seeds: int) -> list[Row]:
    rng = np.random.default_rng(0)
    network = thesis_network(rng, 1000, 10e6, degree=6.0)
    jobs = attributes_jobs(rng, network, 100 + seeds)
    empty = Snapshot(network=network)
    running = after(empty, jobs[:100], load_policy("otfa").decide(empty, jobs[:100]))
    return [timing(name, running, [[job] for job in jobs[100:]]) for name in POLICIES]


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "times": times,
    "rates": rates,
    "exact": exact,
    "online": online,
}

if __name__ == "__main__":
    main()
