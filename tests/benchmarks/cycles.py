"""Batch training live: how many cycles each policy needs for ETA's accuracy, and how well a learner's time is predicted.

    edgeray up cluster/testbed/learners.yaml
    edgeray profile apps/batch-training
    python -m tests.benchmarks.cycles [--json] [--seeds 3] [--cycles 10] [--policies eta,mel,mel-exact]
    edgeray down

apps/batch-training, real cycles of 12 s on the testbed, one run a policy and seed, some 2 minutes each. ETA's accuracy is
that of its last cycle; a prediction is of one learner in one cycle, and off by what was measured over it, less 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

APP = Path(__file__).resolve().parents[2] / "apps" / "batch-training"
POLICIES = "eta,mel,mel-exact"
BASELINE = "eta"
Rounds = Sequence[Mapping[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--seeds", type=int, default=3, help="of weights, samples and their order")
    parser.add_argument("--cycles", type=int, default=10, help="of each run")
    parser.add_argument("--policies", default=POLICIES, help=f"which, separated by commas; {BASELINE} first")
    options = parser.parse_args()
    told = []
    with tempfile.TemporaryDirectory(prefix="cycles-") as name:
        for seed in range(options.seeds):
            runs = _compared(Path(name) / str(seed), seed, options.policies, options.cycles)
            row = {"seed": seed, **_figures(runs)}
            told.append(row)
            if not options.json:
                _print(row)
    if options.json:
        print(json.dumps(told))


def _compared(folder: Path, seed: int, policies: str, cycles: int) -> dict[str, Rounds]:
    """The cycles of each policy."""
    shutil.copytree(APP, folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "job.yaml"
    file.write_text(f"{file.read_text(encoding='utf-8')}seed: {seed}\n", encoding="utf-8")
    command = ["compare", str(folder), "--policies", policies, "--rounds", str(cycles), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "edgeray.cli.main", *command, "--out", str(folder / "report")],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return {run["policy"]: run["jobs"][0]["rounds"] for run in json.loads(done.stdout)["runs"]}


def _figures(runs: Mapping[str, Rounds]) -> dict[str, Any]:
    goal = runs[BASELINE][-1]["accuracy"]
    return {
        "goal": goal,
        "policies": {
            policy: {
                "iterations": statistics.median(each["iterations"] for each in rounds),
                "accuracy": rounds[-1]["accuracy"],
                "cycles_to_goal": next((r["number"] for r in rounds if r["accuracy"] >= goal), None),
                "cycles": len(rounds),
                "late": sum(len(each["dropped"]) for each in rounds),
                "off": _off(rounds),
            }
            for policy, rounds in runs.items()
        },
    }


def _off(rounds: Rounds) -> dict[str, float]:
    """Of all learners in all cycles, those that were late left out: their time was cut off. learner: the median of the
    learner whose median is farthest off."""
    by_learner: dict[str, list[float]] = {}
    for each in rounds:
        for client in each["clients"]:
            predicted_s = each["predicted_s"][client["client"]]
            by_learner.setdefault(client["client"], []).append(client["ended_s"] / predicted_s - 1)
    off = [value for values in by_learner.values() for value in values]
    return {
        "median": statistics.median(map(abs, off)),
        "learner": max(map(statistics.median, by_learner.values()), key=abs),
        "most": max(map(abs, off)),
        "within_10_percent": sum(abs(each) <= 0.1 for each in off) / len(off),
    }


def _print(row: Mapping[str, Any]) -> None:
    print(f"seed {row['seed']}: accuracy of {BASELINE} in the end {row['goal']:.3f}")
    for policy, one in row["policies"].items():
        reached = one["cycles_to_goal"]
        part = "never" if reached is None else f"after {reached} of {one['cycles']} cycles"
        print(
            f"  {policy:10} {one['iterations']:5.1f} iterations, {one['accuracy']:.3f} in the end, that accuracy {part}; "
            f"{one['late']} late; predictions off by {one['off']['median']:.1%} (median), of one learner by "
            f"{one['off']['learner']:+.1%} (median), in one cycle by {one['off']['most']:.1%}; "
            f"{one['off']['within_10_percent']:.0%} within 10 %"
        )


if __name__ == "__main__":
    main()
