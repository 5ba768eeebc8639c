"""How long planning takes, and how good the plans are.

    python -m tests.benchmarks.planning [--json] [--only times,rates,exact,online,bound] [--seeds 3] [--check]

times: medians of one decision for 50 arriving jobs. rates: mean, geometric mean and least items/s per job of every
policy, and the bound of the mean, on random networks (Zhang 2024, sec. 3.6); jobs arrive together, or one by one
("one by one" after the policy). exact: joint over the exact program. online: 1,000 devices, 3,000 links and 100
jobs that the policy placed one by one: medians of one arrival, of re-adjusting all once a job has ended, and of
re-adjusting all once a link has lost three quarters of its capacity. bound: seconds of the bound.
--check: exit 1 where TARGETS are missed (for people; times depend on the machine).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from policies.bound import throughput_bound
from policies.evaluate import predict
from policies.linear import SolverError
from policies.model import Network, Snapshot, Workload
from policies.placement.exact import solve_exactly
from policies.registry import POLICIES, load_policy
from tests.policies.generate import attributes_jobs, small_job, small_network, thesis_network
from tests.policies.invariants import after

Row = dict[str, Any]
SIZES = ((10, 1e6), (30, 1e6), (70, 1e6), (30, 10e6), (70, 10e6))
JOBS = 50
ONE_BY_ONE = ("otfa", "joint", "joint-floor")


ONLINE_RUNNING = 100
ARRIVAL_S, READJUSTMENT_S = 0.1, 1.0
"""Targets of `online`, in seconds of this process: medians of an arrival, and of re-adjusting everything."""
OF_BOUND, OF_OTFA, GEOMETRIC_OF_OTFA = 0.8, 1.4, 2.0
"""Targets of `rates` from 30 devices on: joint-floor over the bound; joint's mean and geometric mean over OTFA's."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {','.join(PARTS)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    options = parser.parse_args()
    results: dict[str, list[Row]] = {}
    for part in options.only.split(","):
        results[part] = PARTS[part](options.seeds)
        if not options.json:
            print_table(part, results[part])
    if options.json:
        print(json.dumps(results))
    missed = misses(results) if options.check else []
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    sys.exit(1 if missed else 0)


def misses(results: dict[str, list[Row]]) -> list[str]:
    """The targets that are missed, in words."""
    found = []
    for row in results.get("online", ()):
        for name, most in (("arrival_s", ARRIVAL_S), ("ended_s", READJUSTMENT_S), ("link_s", READJUSTMENT_S)):
            if row[name] >= most:
                found.append(f"{row['policy']}: {name} {row[name]:.3f}, expected less than {most}")
    for row in results.get("rates", ()):
        wanted = {
            "joint-floor": (("of_bound", OF_BOUND),),
            "joint": (("of_otfa", OF_OTFA), ("geo_of_otfa", GEOMETRIC_OF_OTFA)),
        }.get(str(row["policy"]), ())
        for name, least in wanted if row["devices"] >= 30 else ():
            if row[name] < least:
                at = f"{row['devices']} devices, {row['Mbps']:g} Mbps"
                found.append(f"{row['policy']}, {at}: {name} {row[name]:.2f}, expected at least {least}")
    return found


def print_table(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}")
    if rows:
        print("  ".join(f"{name:>22}" for name in rows[0]))
    for row in rows:
        shown = (f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values())
        print("  ".join(f"{value:>22}" for value in shown), flush=True)


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
        found: dict[str, list[np.ndarray]] = {}
        bounds = []
        for seed in range(seeds):
            network, jobs = instance(seed, devices, mean_bps, JOBS)
            print(f"{devices} devices, {mean_bps / 1e6:g} Mbps, seed {seed}", file=sys.stderr)
            bounds.append(throughput_bound(network, jobs) / JOBS)
            for name in POLICIES:
                found.setdefault(name, []).append(reached(name, network, [jobs]))
            for name in ONE_BY_ONE:
                one_by_one = reached(name, network, [[job] for job in jobs])
                found.setdefault(f"{name} one by one", []).append(one_by_one)
        bound = float(np.mean(bounds))
        rows += [
            summary(devices, mean_bps, name, by_seed, bound, found["otfa"]) for name, by_seed in found.items()
        ]
        rows.append({"devices": devices, "Mbps": mean_bps / 1e6, "policy": "bound", "mean": bound})
    return rows


def reached(policy: str, network: Network, batches: Sequence[Sequence[Workload]]) -> np.ndarray:
    """Items/s of each job once all have arrived, 0 for those that wait."""
    decide, snapshot = load_policy(policy).decide, Snapshot(network=network)
    for batch in batches:
        snapshot = after(snapshot, batch, decide(snapshot, batch))
    plans = [(run.workload, run.plan) for run in snapshot.running]
    placed = [(work, p.placement, p.routes, p.rates_bps, p.granted_per_s) for work, p in plans]
    rates = dict(zip((plan.job for _, plan in plans), predict(network, placed), strict=True))
    return np.array(
        [rates[job.job.id][0] if job.job.id in rates else 0.0 for batch in batches for job in batch]
    )


def geometric(reached: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(reached).mean()))


def summary(
    devices: int,
    mean_bps: float,
    policy: str,
    reached: list[np.ndarray],
    bound: float,
    otfa: list[np.ndarray],
) -> Row:
    """Averages over seeds. A job that waits counts as 0, and so makes the geometric mean over all jobs 0."""
    placed = [rates[rates > 0] for rates in reached]
    mean, geo = float(np.mean(reached)), float(np.mean([geometric(rates) for rates in reached]))
    return {
        "devices": devices,
        "Mbps": mean_bps / 1e6,
        "policy": policy,
        "mean": mean,
        "geo_all": geo,
        "geo_placed": float(np.mean([geometric(rates) for rates in placed])),
        "min_placed": float(np.mean([rates.min() for rates in placed])),
        "placed": float(np.mean([len(rates) for rates in placed])),
        "of_bound": mean / bound,
        "of_otfa": mean / float(np.mean(otfa)),
        "geo_of_otfa": geo / float(np.mean([geometric(rates) for rates in otfa])),
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
    """What follows changes as it would: each decision is in force before the next event."""
    rng = np.random.default_rng(0)
    network = thesis_network(rng, 1000, 10e6, degree=6.0)
    jobs = attributes_jobs(rng, network, ONLINE_RUNNING + seeds)
    return [_online(name, network, jobs, seeds) for name in POLICIES]


def _online(policy: str, network: Network, jobs: Sequence[Workload], seeds: int) -> Row:
    decide, snapshot = load_policy(policy).decide, Snapshot(network=network)
    took: dict[str, list[float]] = {"arrival_s": [], "ended_s": [], "link_s": []}

    def event(kind: str | None, before: Snapshot, arrivals: Sequence[Workload] = ()) -> Snapshot:
        start = time.process_time()
        decision = decide(before, arrivals)
        if kind is not None:
            took[kind].append(time.process_time() - start)
        return after(before, arrivals, decision)

    for job in jobs[:ONLINE_RUNNING]:
        snapshot = event(None, snapshot, [job])
    running = len(snapshot.running)
    for job in jobs[ONLINE_RUNNING:]:
        snapshot = event("arrival_s", snapshot, [job])
        snapshot = event("ended_s", replace(snapshot, running=snapshot.running[1:]))
    for name in sorted(network.links)[:: len(network.links) // seeds][:seeds]:
        link = snapshot.network.links[name]
        links = {**snapshot.network.links, name: replace(link, capacity_bps=link.capacity_bps / 4)}
        snapshot = event("link_s", replace(snapshot, network=replace(snapshot.network, links=links)))
    medians = {kind: statistics.median(seconds) for kind, seconds in took.items()}
    return {"devices": len(network.devices), "running": running, "policy": policy, **medians}


def bound(seeds: int) -> list[Row]:
    rows: list[Row] = []
    for devices, count in ((30, 50), (70, 50), (30, 100)):
        took = []
        for seed in range(seeds):
            network, jobs = instance(seed, devices, 1e6, count)
            start = time.process_time()
            throughput_bound(network, jobs)
            took.append(time.process_time() - start)
        rows.append({"devices": devices, "jobs": count, "median_s": statistics.median(took)})
    return rows


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "times": times,
    "rates": rates,
    "exact": exact,
    "online": online,
    "bound": bound,
}

if __name__ == "__main__":
    main()
