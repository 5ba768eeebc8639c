"""Several camera jobs that arrive over time on thin links: policies side by side on the testbed, in one run.

    python -m tests.benchmarks.thin_links [--seconds 20] [--json]

Brings cluster/testbed/thin.yaml up (links of 1 to 10 Mbit/s), runs four attribute jobs whose cameras stand on
three devices, with raw frames and then with JPEG frames, under LR, BR, TP, OTFS, OTFA and joint, and takes it
down. Takes some nine minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
POLICIES = ("lr", "br", "tp", "otfs", "otfa", "joint")
SOURCES = "e4,e5,e3,e4"
JOBS = {"raw frames": "apps/attributes/job.yaml", "JPEG frames": "apps/attributes/jpeg.yaml"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=20.0, help="measured under each policy")
    parser.add_argument("--interval", type=float, default=3.0, help="seconds between arrivals")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="er-thin-") as folder:
        environment = {**os.environ, "EDGERAY_STATE_DIR": f"{folder}/state"}
        environment.pop("RAY_ADDRESS", None)
        try:
            edgeray(environment, "up", "cluster/testbed/thin.yaml")
            found = {
                label: compare(environment, job, options.seconds, options.interval, Path(folder) / "report")
                for label, job in JOBS.items()
            }
        finally:
            edgeray(environment, "down")
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for label, rows in found.items():
            show(label, rows)


def edgeray(environment: dict[str, str], *args: str) -> str:
    command = [sys.executable, "-m", "edgeray.cli.main", *args]
    return subprocess.run(
        command, env=environment, cwd=REPO, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def compare(
    environment: dict[str, str], job: str, seconds: float, interval: float, out: Path
) -> dict[str, Any]:
    """By policy: the three means, what was planned, and the ratio to the bound; then the ratios that matter."""
    told = edgeray(
        environment, "compare", job, "--policies", ",".join(POLICIES), "--sources", SOURCES,
        "--seconds", str(seconds), "--interval", str(interval), "--out", str(out), "--json",
    )  # fmt: skip
    runs = {run["policy"]: run for run in json.loads(told)["runs"]}
    rows = {
        policy: {
            "mean_per_s": run["mean_per_s"],
            "geometric_mean_per_s": run["geometric_mean_per_s"],
            "minimum_per_s": run["minimum_per_s"],
            "planned_mean_per_s": run["planned_mean_per_s"],
            "of_bound": run["mean_per_s"] / run["bound_per_s"],
            "jobs_that_ran": sum(one["failure"] is None for one in run["jobs"]),
        }
        for policy, run in runs.items()
    }
    best_whole = max(rows["lr"]["mean_per_s"], rows["br"]["mean_per_s"])
    return {
        "policies": rows,
        "otfa_over_best_of_lr_br": rows["otfa"]["mean_per_s"] / best_whole,
        "highest_geometric_mean": max(rows, key=lambda policy: rows[policy]["geometric_mean_per_s"]),
        "flows": flow_errors(runs),
    }


def flow_errors(runs: dict[str, Any]) -> dict[str, float]:
    """Kernel bytes of flows that bind their job, against their grants: worst and median deviation."""
    errors = sorted(
        abs(flow["measured_bps"] / flow["granted_bps"] - 1)
        for run in runs.values()
        for job in run["jobs"]
        for flow in job["flows"]
        if flow["saturated"] and flow["measured_bps"]
    )
    return {"count": len(errors), "median": errors[len(errors) // 2], "worst": errors[-1]} if errors else {}


def show(label: str, found: dict[str, Any]) -> None:
    print(f"\n{label}: items/s a job, {len(SOURCES.split(','))} jobs")
    print(f"{'policy':8} {'mean':>7} {'geo':>7} {'min':>7} {'planned':>8} {'of bound':>9} {'ran':>4}")
    for policy, row in found["policies"].items():
        print(
            f"{policy:8} {row['mean_per_s']:7.3f} {row['geometric_mean_per_s']:7.3f} {row['minimum_per_s']:7.3f} "
            f"{row['planned_mean_per_s']:8.3f} {row['of_bound']:9.2f} {row['jobs_that_ran']:4d}"
        )
    print(f"OTFA over the best of LR and BR: {found['otfa_over_best_of_lr_br']:.2f}")
    print(f"highest geometric mean: {found['highest_geometric_mean']}")
    if found["flows"]:
        flows = found["flows"]
        print(
            f"binding flows against their grants (kernel bytes): {flows['count']}, median off by "
            f"{flows['median']:.1%}, worst {flows['worst']:.1%}"
        )


if __name__ == "__main__":
    main()
