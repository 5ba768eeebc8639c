"""What the profiler says that a client holds, against the real peak of one that trains over lines."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch

from edgeray.profiler.measure import peak_memory_bytes
from edgeray.training.profile import measure_training
from edgeray.training.recipe import Recipe
from policies.model import FlowId, Rounds
from tests.runtime.training.profile_models import recipe
from tests.runtime.training.task_cases import Net, rounds_of

GIVEN = recipe(
    "residual",
    model_args={"width": 16},
    dataset_args={"side": 32, "samples": 96},
    samples=96,
    batch_size=48,
    rounds=2,
    optimizer="adam",
)
CUTS = (0, 5, 9)


def profiled(given: Recipe) -> tuple[float, ...]:
    """Of all cuts, in bytes."""
    return measure_training(given, cpus=1.0, capped=False, memory_bytes=None, budget_s=2.0).memory_bytes


def peak_bytes(folder: Path, ports: dict[FlowId, int], given: Recipe, rounds: Rounds) -> int:
    """Train as the client of device a; the most that this process held meanwhile."""
    torch.set_num_threads(1)
    net = Net(folder, ("a",))
    net.ports = ports
    net.client("a", given, rounds).wait()
    return peak_memory_bytes()


def alone() -> ProcessPoolExecutor:
    """A process of its own: memory of another's past would count."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


@pytest.fixture(scope="module")
def needs_bytes() -> tuple[float, ...]:
    with alone() as pool:
        return pool.submit(profiled, GIVEN).result()


@pytest.mark.parametrize("cut", CUTS)
def test_memory_is_what_a_real_client_holds(cut: int, needs_bytes: tuple[float, ...], tmp_path: Path) -> None:
    rounds = rounds_of(GIVEN, {"a": cut})
    net = Net(tmp_path, ("a",))
    server = net.server(GIVEN, rounds)
    try:
        with alone() as pool:
            peak = pool.submit(peak_bytes, tmp_path, net.ports, GIVEN, rounds).result()
        server.wait()
    finally:
        net.stop()
    lines = (tmp_path / "job" / "results" / "rounds.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
    assert 0.97 * peak < needs_bytes[cut] < 1.3 * peak


def test_deeper_cuts_hold_more(needs_bytes: tuple[float, ...]) -> None:
    assert needs_bytes[5] - needs_bytes[0] > 50e6
