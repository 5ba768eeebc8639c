import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeray.spec import App, check_job_on_cluster, load_app, load_cluster

ROOT = Path(__file__).parents[3]
Job = Callable[..., App]
Refuse = Callable[..., object]
THREE = ROOT / "cluster/testbed/three.yaml"  # 2 GB, 1 GB, 1 GB


def test_the_worked_example_fits_its_cluster() -> None:
    check_job_on_cluster(load_app(ROOT / "tests/oracles/fig32"), load_cluster(ROOT / "cluster/fig32.yaml"))


@pytest.mark.parametrize(
    ("tasks", "line", "words"),
    [
        ("camera:\n    device: e44\n", 3, ["pinned to 'e44'", "no device of cluster 'three'", "mean 'e4'?"]),
        ("camera:\n    device: door\n", 3, ["e1, e2, e4"]),
        ("camera: {device: e4, memory: 1.1GB}\n", 2, ["needs 1.1GB", "its device 'e4' has 1GB"]),
        (
            "camera: {device: e4}\n  a: {work: 1, inputs: {camera: 1}, memory: 2.1GB}\n",
            3,
            ["'a' needs 2.1GB", "the largest device that can run it 'e1' has 2GB"],
        ),
        (
            "camera: {device: e4, memory: 600MB}\n  a: {device: e4, memory: 600MB}\n",
            2,
            ["pinned to 'e4' need 1.2GB", "it has 1GB"],
        ),
        (
            "camera: {device: e4}\n"
            + "".join(f"  t{n}: {{work: 1, inputs: {{camera: 1}}, memory: 900MB}}\n" for n in range(5)),
            1,
            ["4.5GB of memory together", "'three' have 4GB"],
        ),
    ],
)
def test_what_a_cluster_cannot_give(
    job: Job, refuse: Refuse, tasks: str, line: int, words: list[str]
) -> None:
    app = job(f"tasks:\n  {tasks}")
    refuse(check_job_on_cluster, app, load_cluster(THREE), line=line, words=words)


def test_memory_that_just_fits(job: Job) -> None:
    app = job("""
    tasks:
      camera: {device: e4, memory: 1GB}
      a: {work: 1, inputs: {camera: 1}, memory: 2GB}
      b: {work: 1, inputs: {camera: 1}, memory: 1GB}
    """)
    check_job_on_cluster(app, load_cluster(THREE))


def test_a_one_shot_job_needs_memory_for_its_largest_task_only(job: Job, refuse: Refuse) -> None:
    tasks = "".join(f"  t{n}: {{work: 1, device: e4, memory: 900MB}}\n" for n in range(5))
    check_job_on_cluster(job(f"mode: once\ntasks:\n{tasks}"), load_cluster(THREE))
    refuse(
        check_job_on_cluster, job(f"tasks:\n{tasks}"), load_cluster(THREE), line=3, words=["pinned to 'e4'"]
    )


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (
            "{seconds: {nx: 1, orin: 2}}",
            ["device types nx, orin", "no device has one", "one of jetson-nano, pi, server"],
        ),
        ("{seconds: {laptop: 1}, device: e4}", ["its device 'e4' is none", "one of pi"]),
        ("{seconds: {pi: 1}, memory: 1.5GB}", ["needs 1.5GB", "'e4' has 1GB"]),
    ],
)
def test_a_task_needs_a_device_that_it_declares_seconds_for(
    job: Job, refuse: Refuse, task: str, words: list[str]
) -> None:
    app = job(f"mode: once\ntasks:\n  a: {task}\n")
    refuse(check_job_on_cluster, app, load_cluster(THREE), line=3, words=words)


def test_seconds_for_types_that_the_cluster_lacks_are_no_error(job: Job) -> None:
    check_job_on_cluster(job("mode: once\ntasks: {a: {seconds: {orin: 1, pi: 2}}}"), load_cluster(THREE))


def test_importing_the_package_does_not_import_ray() -> None:
    script = "import sys, edgeray.spec; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
