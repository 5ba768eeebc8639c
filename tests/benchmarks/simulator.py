"""How fast the simulator is, and how much memory it takes.

    python -m tests.benchmarks.simulator [--json] [--only large,items] [--policy joint] [--devices 1000] [--jobs 1000]

large: the thesis' jobs (Zhang 2024, Fig. 3.9) arrive as a Poisson process at a network of 1,000 devices, and end after
some items; once with every item, once with rates. Planning is by the policy named, and told apart. items: events a
second when nothing is planned: a few jobs that run for long.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np

from edgeray.simulator import Arrival, Outcome, Scenario, simulate
from edgeray.simulator.outcome import Detail
from tests.policies.generate import attributes_jobs, thesis_network

Row = dict[str, float | int | str]
SEED = 1
MEAN_GAP_S = 1.0
JOB_ITEMS = 20
MEAN_BPS = 50e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else on stdout")
    parser.add_argument("--only", default="items,large", help="parts, of items,large")
    parser.add_argument("--policy", default="joint")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1000)
    options = parser.parse_args()
    rows: list[Row] = []
    parts = options.only.split(",")
    if "items" in parts:
        rows.append(measure("items", few(), "items"))
    if "large" in parts:
        scenario = poisson(options.devices, options.jobs, options.policy)
        details: tuple[Detail, ...] = ("rates", "items")
        rows += [measure("large", scenario, detail) for detail in details]
    if options.json:
        print(json.dumps({"policy": options.policy, "rows": rows}))
        return
    print("  ".join(f"{name:>12}" for name in rows[0]))
    for row in rows:
        shown = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values())
        print("  ".join(f"{value:>12}" for value in shown))


def poisson(devices: int, jobs: int, policy: str) -> Scenario:
    rng = np.random.default_rng(SEED)
    network = thesis_network(rng, devices, MEAN_BPS)
    workloads = attributes_jobs(rng, network, jobs, spread=0.3)
    at_s = np.cumsum(rng.exponential(MEAN_GAP_S, jobs)).tolist()
    return Scenario(
        network=network,
        arrivals=tuple(
            Arrival(at_s=when_s, workload=workload, policy=policy, items=JOB_ITEMS)
            for when_s, workload in zip(at_s, workloads, strict=True)
        ),
    )


def few() -> Scenario:
    rng = np.random.default_rng(SEED)
    network = thesis_network(rng, 30, MEAN_BPS)
    workloads = attributes_jobs(rng, network, 10, spread=0.3)
    arrivals = tuple(Arrival(at_s=0.0, workload=workload, policy="otfs") for workload in workloads)
    return Scenario(network=network, arrivals=arrivals, until_s=3000.0)


def measure(part: str, scenario: Scenario, detail: Detail) -> Row:
    began = time.perf_counter()
    outcome: Outcome = simulate(scenario, detail=detail)
    took_s = time.perf_counter() - began
    planning_s = sum(outcome.planning_s)
    spans = [job.ended_s - job.placed_s for job in outcome.jobs if job.ended_s and job.placed_s]
    return {
        "part": part,
        "detail": detail,
        "devices": len(scenario.network.devices),
        "jobs": len(outcome.jobs),
        "done": sum(job.phase == "done" for job in outcome.jobs),
        "at a time": sum(spans) / outcome.end_s,
        "seconds": took_s,
        "planning_s": planning_s,
        "decisions": len(outcome.planning_s),
        "events": outcome.events,
        "events_per_s": outcome.events / (took_s - planning_s),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
