"""The same job and cluster file, live on a testbed and in the simulator: what they reach agrees within 10 %.

Three topologies, each with another thing that binds. Real work and real bytes; the simulator knows the profile that
the testbed's devices were measured with, and nothing of what they then did.

A task takes a fixed CPU time and not a fixed number of operations: how long those take on a
shared machine changes by a tenth and more from one minute (the profile's) to the next (the run's).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.testbed.testbed_session import REPO, session_on

pytestmark = pytest.mark.testbed

MEASURED_S = 15
SIMULATED_S = 120
AGREES = 0.10

# Slow enough that what else the machine does hardly shows: fractions of a core, a few Mbit/s.
ROW = """
name: row
head: e1
devices:
  e1: {type: box, cpus: 0.3, memory: 1GB}
  e2: {type: stick, cpus: 0.15, memory: 1GB}
links:
  - {ends: [e1, e2], capacity: 20Mbps}
"""
CHAIN = """
name: chain
head: e2
devices:
  e1: {type: box, cpus: 0.2, memory: 1GB}
  e2: {type: box, cpus: 0.2, memory: 1GB}
  e3: {type: box, cpus: 0.2, memory: 1GB}
links:
  - {ends: [e1, e2], capacity: 3Mbps}
  - {ends: [e2, e3], capacity: 10Mbps}
"""
STAR = """
name: star
head: hub
devices:
  c1: {type: box, cpus: 0.15, memory: 1GB}
  c2: {type: box, cpus: 0.15, memory: 1GB}
  hub: {type: box, cpus: 0.15, memory: 1GB}
  s: {type: box, cpus: 0.2, memory: 1GB}
links:
  - {ends: [c1, hub], capacity: 10Mbps}
  - {ends: [c2, hub], capacity: 10Mbps}
  - {ends: [hub, s], capacity: 4Mbps}
"""


BURN = """
import time

import tasks


def burn(*inputs, cpu_s, output_bytes):
    until_s = time.thread_time() + cpu_s
    while time.thread_time() < until_s:
        sum(range(500))
    return {"number": (number := tasks.check(inputs)), "payload": tasks.payload(number, output_bytes)}
"""


def pipeline(name: str, source: str, sent_bytes: int, *steps: tuple[str, float, int]) -> str:
    """A job file: a source that never ends, then steps of (device, CPU seconds, bytes), one after the other."""
    rows = [
        f"kind: dataflow\nname: {name}\ntasks:",
        f"  source: {{device: {source}, overflow: block, memory: 30MB, run: 'tasks:source', "
        f"args: {{items: 1000000, output_bytes: {sent_bytes}}}}}",
    ]
    before = "source"
    for number, (device, cpu_s, output_bytes) in enumerate(steps, 1):
        rows.append(
            f"  t{number}: {{device: {device}, inputs: [{before}], memory: 30MB, run: 'burn:burn', "
            f"args: {{cpu_s: {cpu_s}, output_bytes: {output_bytes}}}}}"
        )
        before = f"t{number}"
    return "\n".join(rows)


@dataclass(frozen=True)
class Case:
    """What should bind, and on what."""

    cluster: str
    binds: str
    jobs: tuple[str, ...]


CASES = {
    "compute": Case(
        ROW,
        "device e1",
        (pipeline("work", "e2", 20_000, ("e1", 0.03, 5_000), ("e1", 0.03, 5_000), ("e2", 0.002, 1_000)),),
    ),
    "one link": Case(
        CHAIN, "link e1-e2", (pipeline("send", "e1", 60_000, ("e3", 0.003, 5_000), ("e2", 0.001, 1_000)),)
    ),
    "two flows on one link": Case(
        STAR,
        "link hub-s",
        (
            pipeline("left", "c1", 60_000, ("s", 0.001, 1_000)),
            pipeline("right", "c2", 30_000, ("s", 0.001, 1_000)),
        ),
    ),
}


@pytest.mark.parametrize("what", list(CASES))
def test_the_simulator_tells_what_the_testbed_does(what: str, tmp_path: Path) -> None:
    case = CASES[what]
    app = tmp_path / "app"
    app.mkdir()
    shutil.copy(REPO / "apps" / "synthetic" / "tasks.py", app)
    (app / "burn.py").write_text(BURN)
    files = []
    for number, job in enumerate(case.jobs):
        files.append(app / f"{number}.yaml")
        files[-1].write_text(job)
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(case.cluster)
    with session_on(str(cluster)) as session:
        measured = session.json(
            "compare",
            *files,
            "--policies",
            "otfa",
            "--seconds",
            MEASURED_S,
            "--interval",
            0,
            "--out",
            tmp_path,
        )["runs"][0]["jobs"]
        told = session.json(
            "simulate", *files, "--cluster", cluster, "--policy", "otfa", "--detail", "items",
            "--seconds", SIMULATED_S,
        )["runs"][0]["jobs"]  # fmt: skip
    for live, virtual in zip(measured, told, strict=True):
        print(
            f"{what}, {virtual['job']}: live {live['measured_per_s']:.3f}/s, "
            f"simulated {virtual['throughput_per_s']:.3f}/s, planned {virtual['planned_per_s']:.3f}/s"
        )
        assert live["failure"] is None
        assert live["plan"]["bottleneck"] == case.binds
        assert virtual["throughput_per_s"] == pytest.approx(live["measured_per_s"], rel=AGREES)
