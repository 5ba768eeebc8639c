"""How good and how fast the plans of one-shot jobs are.

    python -m tests.benchmarks.makespan [--json] [--only quality,exact,times,large] [--instances 200]

quality: portfolio's makespan over the best of HEFT, CPoP and PEFT, and over the bound, on random jobs of up to 100 tasks
on up to 10 devices. exact: share of small jobs (up to 7 tasks on 3 devices) that nothing beats, by brute force.
times: seconds of one plan for 1,000 tasks on 8 devices, medians. large: one plan each of still larger jobs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from policies.makespan.instance import MOST_TASKS
from policies.model import Network, Snapshot, Timetable, Workload
from policies.registry import ONE_SHOT_POLICIES, load_policy
from tests.policies.makespan.instances import SHAPES, random_instance, random_job, random_network, read_alone
from tests.policies.makespan.oracles import brute_force, check_timetable

Row = dict[str, float | int | str]
EQUAL = 1e-9
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {','.join(PARTS)}")
    parser.add_argument("--instances", type=int, default=200)
    options = parser.parse_args()
    results: dict[str, list[Row]] = {}
    for part in options.only.split(","):
        results[part] = PARTS[part](options.instances)
        for row in () if options.json else results[part]:
            shown = (f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
            print(f"{part}: " + ", ".join(shown), flush=True)
    if options.json:
        print(json.dumps(results))


def planned(policy: str, network: Network, workload: Workload) -> Timetable:
    plan = load_policy(policy).decide(Snapshot(network=network), [workload]).plans[workload.job.id]
    check_timetable(network, workload, plan)
    assert plan.timetable is not None
    return plan.timetable


def quality(instances: int) -> list[Row]:
    over_best, over_bound, proven, rivals = [], [], 0, []
    for seed in range(instances):
        rng = np.random.default_rng([1, seed])
        devices, tasks = int(rng.integers(2, 11)), int(rng.integers(2, 101))
        network = random_network(rng, devices)
        workload = random_job(rng, network, tasks)
        found = {name: planned(name, network, workload) for name in ONE_SHOT_POLICIES}
        best = min(found[name].makespan_s for name in ("heft", "cpop", "peft"))
        mine = found["portfolio"]
        over_best.append(mine.makespan_s / best)
        over_bound.append(mine.makespan_s / mine.bound_s)
        rivals.append(best / mine.bound_s)
        proven += over_bound[-1] <= 1 + 1e-6
        print(f"{seed}: {tasks} tasks, {devices} devices, {over_best[-1]:.3f}", file=sys.stderr)
    return [
        {
            "instances": instances,
            "worse": sum(ratio > 1 + EQUAL for ratio in over_best),
            "of_best_geo": statistics.geometric_mean(over_best),
            "of_best_max": max(over_best),
            "of_bound_geo": statistics.geometric_mean(over_bound),
            "of_bound_median": statistics.median(over_bound),
            "best_of_bound_geo": statistics.geometric_mean(rivals),
            "at_bound": proven,
        }
    ]


def exact(instances: int) -> list[Row]:
    equal, worst = 0, 1.0
    for seed in range(instances):
        rng = np.random.default_rng([2, seed])
        devices, tasks = int(rng.integers(2, 4)), int(rng.integers(3, 8))
        network = random_network(rng, devices)
        workload = random_job(rng, network, tasks)
        mine = planned("portfolio", network, workload)
        best = brute_force(read_alone(network, workload), mine.makespan_s * (1 - EQUAL))
        equal += best >= mine.makespan_s * (1 - 2 * EQUAL)
        worst = max(worst, mine.makespan_s / best if best > 0 else 1.0)
        assert mine.bound_s <= best * (1 + 2 * EQUAL)
        print(f"{seed}: {tasks} tasks, {devices} devices, {equal} of {seed + 1}", file=sys.stderr)
    return [{"instances": instances, "equal": equal / instances, "worst": worst}]


def times(_: int) -> list[Row]:
    rows: list[Row] = []
    for shape in SHAPES:
        rng = np.random.default_rng(3)
        network = random_network(rng, 8)
        workload = random_job(rng, network, 1000, shape=shape)
        for policy in ONE_SHOT_POLICIES:
            wall, own = zip(*(_timed(policy, network, workload) for _ in range(REPEATS)), strict=True)
            rows.append(
                {
                    "job": shape.__name__,
                    "flows": len(workload.job.flows),
                    "policy": policy,
                    "median_s": statistics.median(wall),
                    "cpu_s": statistics.median(own),
                }
            )
    return rows


def _timed(policy: str, network: Network, workload: Workload) -> tuple[float, float]:
    """Seconds of one decision: on the clock, and of this process alone."""
    start, own = time.perf_counter(), time.process_time()
    load_policy(policy).decide(Snapshot(network=network), [workload])
    return time.perf_counter() - start, time.process_time() - own


def large(_: int) -> list[Row]:
    rows: list[Row] = []
    for tasks in (10_000, 100_000, MOST_TASKS + 1):
        network, workload = random_instance(0, tasks, 8)
        wall, own = _timed("portfolio", network, workload)
        rows.append({"tasks": tasks, "flows": len(workload.job.flows), "wall_s": wall, "cpu_s": own})
    return rows


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "quality": quality,
    "exact": exact,
    "times": times,
    "large": large,
}

if __name__ == "__main__":
    main()
