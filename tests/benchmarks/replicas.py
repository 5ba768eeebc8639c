"""A task with replicas live: items/s, planned and measured, without and with, by each dispatcher.

    edgeray up cluster/testbed/five.yaml
    python -m tests.benchmarks.replicas [--json] [--seconds 20] [--dispatch hybrid,toof,jsq,round-robin]
    edgeray down

A camera on e4 gives pictures of 10 kB as fast as they are taken; finding something in one takes 50 ms of CPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DISPATCH = "hybrid,toof,jsq,round-robin"
JOB = """
name: {name}
tasks:
  camera: {{device: e4, run: "spinning:pictures"}}
  find: {{inputs: [camera], {replicas} run: "spinning:find", memory: 30MB}}
  keep: {{inputs: [find], device: e4, run: "spinning:keep"}}
"""
CODE = """
import time


def pictures():
    while True:
        yield bytes(10_000)


def find(picture):
    until_s = time.thread_time() + 0.05
    while time.thread_time() < until_s:
        pass
    return len(picture)


def keep(found):
    return found
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--dispatch", default=DISPATCH, help="which, separated by commas")
    parser.add_argument("--policy", default="joint", help="that places")
    options = parser.parse_args()
    told: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="replicas-") as folder:
        (Path(folder) / "spinning.py").write_text(CODE)
        for dispatch in (None, *options.dispatch.split(",")):
            name = dispatch or "one"
            file = Path(folder) / f"{name}.yaml"
            some = "" if dispatch is None else f"replicas: 3, dispatch: {dispatch}, deadline: 2s,"
            file.write_text(JOB.format(name=name, replicas=some))
            told[name] = _run(file, options)
            if not options.json:
                print(
                    f"{name:12}", "  ".join(f"{key} {value}" for key, value in told[name].items()), flush=True
                )
    if options.json:
        print(json.dumps(told))


def _run(file: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = ["submit", file, "--policy", options.policy, "--seconds", options.seconds, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "edgeray.cli.main", *map(str, command)],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    view = json.loads(done.stdout)
    dealt = (view["replicas"] or {}).get("find")
    return {
        "planned_per_s": round(view["plan"]["throughput_per_s"], 2),
        "measured_per_s": round(view["rate_per_s"], 2),
        "in_time": None if dealt is None else round(dealt["met"] / dealt["items"], 3),
        "sent": None if dealt is None else {name: row["sent"] for name, row in dealt["helpers"].items()},
        "shares": {
            name: round(part, 2) for name, part in view["plan"].get("shares", {}).get("find", {}).items()
        },
        "on": {task: device for task, device in view["plan"]["placement"].items() if "find" in task},
    }


if __name__ == "__main__":
    main()
