"""Dispatchers live, in four situations: the part of items whose results were back by their deadline.

    edgeray up cluster/testbed/cameras.yaml
    python -m tests.benchmarks.dispatchers [--json] [--seconds 45] [--policies round-robin,p2c,jsq,toof,hybrid]
    edgeray down

apps/offload, on real devices of the testbed, one run after another. steady: as it is. throttled: n1, the fastest helper,
has a fifth of its cores after a third of the time, and nobody is told. stale: what helpers tell is believed 3 s later.
failing: n2 raises at once on every item. Rounds of all policies follow each other within each situation.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

APP = Path(__file__).resolve().parents[2] / "apps" / "offload"
POLICIES = "round-robin,p2c,jsq,toof,hybrid"
THROTTLED, CPUS, CUT = "n1", 0.14, 0.2
WARM_S = 15.0
"""From the call until the first item, about: the cut comes a third of the time after that."""
SITUATIONS = {
    "steady": "",
    "throttled": "",
    "stale": "telemetry: {every: 500ms, delay: 3s}\n",
    "failing": "",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--seconds", type=float, default=45.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=1, help="of each situation; medians are told")
    parser.add_argument("--policies", default=POLICIES, help="which, separated by commas")
    parser.add_argument("--situations", default=",".join(SITUATIONS), help="which, separated by commas")
    options = parser.parse_args()
    policies = options.policies.split(",")
    told: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="dispatchers-") as folder:
        for situation in options.situations.split(","):
            job = _job(Path(folder) / situation, situation)
            runs = [
                (policy, _run(job, policy, options.seconds, situation))
                for _ in range(options.rounds)
                for policy in policies
            ]
            told[situation] = {
                policy: {
                    "met": statistics.median(run["met_rate"] for name, run in runs if name == policy),
                    "items": sum(run["items"] for name, run in runs if name == policy),
                    "refused": sum(run["refused"] for name, run in runs if name == policy),
                }
                for policy in policies
            }
            if not options.json:
                _print(situation, told[situation])
    if options.json:
        print(json.dumps(told))


def _job(folder: Path, situation: str) -> Path:
    shutil.copytree(APP, folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "job.yaml"
    text = file.read_text(encoding="utf-8") + SITUATIONS[situation]
    if situation == "failing":
        text = text.replace('device: "${DEVICE}"', 'device: "${DEVICE}", broken: [n2]')
        assert "broken" in text, "the job's work can be broken"
    file.write_text(text, encoding="utf-8")
    return folder


def _run(job: Path, policy: str, seconds: float, situation: str) -> dict[str, Any]:
    with _throttling(WARM_S + seconds / 3, wanted=situation == "throttled"):
        done = _edgeray(
            "compare", str(job), "--policies", policy, "--seconds", str(seconds), "--out", str(job / "report"), "--json"
        )  # fmt: skip
    [run] = json.loads(done)["runs"]
    if run["failure"] is not None:
        raise SystemExit(f"{policy}: {run['failure']}")
    figures: dict[str, Any] = run["figures"]
    return figures


@contextmanager
def _throttling(after_s: float, *, wanted: bool) -> Iterator[None]:
    """After so long the fastest helper is slow; at the end it is as it was."""
    if not wanted:
        yield
        return
    timer = threading.Timer(after_s, _edgeray, ("throttle", THROTTLED, "--cpus", str(CPUS * CUT)))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        _edgeray("throttle", THROTTLED, "--cpus", str(CPUS))


def _edgeray(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "edgeray.cli.main", *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def _print(situation: str, told: dict[str, Any]) -> None:
    rows = [f"{policy} {100 * row['met']:.1f} % ({row['items']})" for policy, row in told.items()]
    print(f"{situation:10}" + "   ".join(rows), flush=True)


if __name__ == "__main__":
    main()
