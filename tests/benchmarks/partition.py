"""How fast the policies of split training decide, and how good the overlapping one is.

    python -m tests.benchmarks.partition [--json] [--repeats 15]

times: median seconds of one decision, by policy, devices x cuts, in fractions and in whole units, next to what is
allowed. quality: the round of edgesplit's and edgesplit-overlap's cuts, by the overlapping model, over the bound.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from policies.partition.bound import round_bound
from policies.partition.equalise import fastest_split
from policies.partition.instance import Parts, SplitInstance, split_instance
from policies.partition.overlap import RoundModel, overlapped
from policies.partition.reading import Routed
from policies.partition.reading import instance_of as routed_instance_of
from policies.partition.registry import SPLIT_POLICIES, load_split_policy
from tests.policies.partition.jobs import CORES, KINDS, deep_profile, star, training_job

Row = dict[str, float | int | str | None]
SIZES = ((8, 20), (100, 100), (10_000, 100))
ALLOWED_S = {("edgesplit", 100): 5e-3, ("edgesplit", 10_000): 0.5, ("edgesplit-overlap", 100): 50e-3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    results = {"times": times(options.repeats), "quality": quality()}
    if options.json:
        print(json.dumps(results))
        return
    for part, rows in results.items():
        for row in rows:
            print(f"{part}: " + ", ".join(f"{k} {_shown(v)}" for k, v in row.items()))


def instance_of(devices: int, cuts: int, *, in_units: bool = False, seed: int = 0) -> SplitInstance:
    """A deep model on devices up to tenfold apart; a server that is busy, links that 30 batches fill."""
    rng = np.random.default_rng([seed, devices])
    device_s = np.cumsum(rng.random(cuts)) * rng.uniform(0.5, 5, (devices, 1))
    server_s = np.cumsum(rng.random(cuts))[::-1] * 3 / devices
    outputs = 30 * rng.uniform(0.3, 3, cuts) * np.geomspace(1e6, 1e5, cuts)
    outputs[-1] = 0
    bits = outputs + np.cumsum(rng.random(cuts)) * 1e6
    parts = Parts(
        device_s=device_s, server_s=server_s - server_s[-1], up_bits=bits, down_bits=bits, micro_batches=4
    )
    total_bps = 1e6 * devices
    return split_instance(
        device_s + parts.server_s,
        2 * bits,
        total_bps,
        rate_unit_bps=total_bps / (20 * devices) if in_units else None,
        parts=parts,
    )


def times(repeats: int) -> list[Row]:
    rows: list[Row] = []
    for devices, cuts in SIZES:
        for in_units in (False, True):
            instance = instance_of(devices, cuts, in_units=in_units)
            for name in SPLIT_POLICIES:
                policy = load_split_policy(name)
                rows.append(
                    {
                        "policy": name,
                        "devices": devices,
                        "cuts": cuts,
                        "units": "whole" if in_units else "fractions",
                        "median_s": _median_s(lambda: policy(instance), repeats),  # noqa: B023
                        "allowed_s": ALLOWED_S.get((name, devices)),
                    }
                )
    instance = instance_of(100, 100)
    bound_s = _median_s(lambda: round_bound(instance), min(repeats, 5))
    rows.append({"policy": "round_bound", "devices": 100, "cuts": 100, "median_s": bound_s})
    return rows + timed_rounds(min(repeats, 5))


def timed_rounds(repeats: int) -> list[Row]:
    """Of jobs whose rounds are known batch by batch, edgesplit-overlap tries plans event by event."""
    rows: list[Row] = []
    for devices in (8, 100):
        kinds = (KINDS * devices)[:devices]
        profile = deep_profile(np.random.default_rng(devices), 20, cores={**CORES, "server": 1.25 * devices})
        names = [f"c{number + 1}" for number in range(devices)]
        job = training_job(profile, names, batches=20, micro_batches=4)
        shared_bps = 4e6 * devices
        routed = routed_instance_of(job, star(kinds, shared_bps=shared_bps, own_bps=shared_bps))
        assert isinstance(routed, Routed)
        policy, instance = load_split_policy("edgesplit-overlap"), routed.instance
        rows.append(
            {
                "policy": "edgesplit-overlap, event by event",
                "devices": devices,
                "cuts": 20,
                "batches": 20,
                "median_s": _median_s(lambda: policy(instance), repeats),  # noqa: B023
            }
        )
    return rows


def _median_s(call: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def quality() -> list[Row]:
    rows: list[Row] = []
    for devices, cuts in SIZES[:2]:
        first, best = [], []
        for seed in range(20):
            instance = instance_of(devices, cuts, seed=seed)
            bound_s, model = round_bound(instance), RoundModel.of(instance)
            assert bound_s is not None
            first.append(model.round_s(fastest_split(instance)[0]) / bound_s)
            best.append(overlapped(instance)[2] / bound_s)
        rows.append(
            {
                "devices": devices,
                "cuts": cuts,
                "instances": len(best),
                "edgesplit_of_bound": statistics.geometric_mean(first),
                "overlap_of_bound": statistics.geometric_mean(best),
                "overlap_of_bound_max": max(best),
            }
        )
    return rows


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
