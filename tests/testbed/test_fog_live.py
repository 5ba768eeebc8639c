"""Fog training on a real testbed: points over real flows from device to device, costs, a device that is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from testbed_session import REPO, Session, session_on, until

pytestmark = [pytest.mark.testbed, pytest.mark.timeout(600)]

JOB = """
kind: fog-training
name: NAME
model: {run: own:network, args: {width: 256, blocks: 12}}
dataset: {run: "own:spirals"}
loss: own:smoothed
collect: 8
intervals: INTERVALS
interval: 500ms
aggregate: 6
batch_size: 4
learning_rate: 0.02
discard: 1.0
"""


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with session_on(str(REPO / "cluster" / "testbed" / "three.yaml")) as session:
        for name, intervals in (("short", 18), ("long", 240)):
            folder = session.root / name
            folder.mkdir()
            shutil.copy(REPO / "apps" / "split-training" / "own.py", folder)
            text = JOB.replace("NAME", name).replace("INTERVALS", str(intervals))
            (folder / "job.yaml").write_text(text)
        yield session


def rounds_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def total(rounds: list[dict[str, Any]], key: str) -> float:
    return sum(one[key] for each in rounds for one in each["movement"].values())


def test_every_point_is_processed_once_or_discarded(session: Session) -> None:
    out = session.root / "out"
    view = session.json("submit", session.root / "short", "--policy", "network-aware", "--out", out)
    assert view["phase"] == "done" and view["rounds_done"] == 3
    rounds = rounds_in(out)
    assert [each["number"] for each in rounds] == [1, 2, 3]
    assert all(set(each["movement"]) == {"device-e2", "device-e4"} for each in rounds)
    collected = total(rounds, "collected")
    assert collected > 0
    assert collected == total(rounds, "processed") + total(rounds, "discarded")
    assert total(rounds, "sent") == total(rounds, "arrived")
    assert total(rounds, "process_cost") > 0
    assert torch.load(out / "model.pt", weights_only=True)["0.0.weight"].shape == (256, 2)


def test_points_that_are_sent_cross_a_flow(session: Session) -> None:
    """Of declared costs it is known beforehand who sends to whom: all that e4 has goes to e2."""
    folder = session.root / "declared"
    shutil.copytree(session.root / "short", folder)
    file = folder / "job.yaml"
    file.write_text(file.read_text() + "costs: {process: {e2: 0.1, e4: 0.9}, link: 0.1}\n")
    out = session.root / "moved"
    session.json("submit", folder, "--policy", "network-aware", "--out", out)
    rounds = rounds_in(out)
    movement = [each["movement"] for each in rounds]
    assert sum(one["device-e4"]["sent"] for one in movement) > 0
    assert sum(one["device-e2"]["sent"] for one in movement) == 0
    received = sum(one["device-e2"]["arrived"] for one in movement)
    assert received == sum(one["device-e4"]["sent"] for one in movement)
    assert total(rounds, "transfer_cost") == pytest.approx(0.1 * received)
    processed = {device: sum(one[device]["processed"] for one in movement) for device in movement[0]}
    expected = 0.1 * processed["device-e2"] + 0.9 * processed["device-e4"]
    assert total(rounds, "process_cost") == pytest.approx(expected)


def test_policies_are_compared(session: Session) -> None:
    out = session.root / "report"
    told = session.json(
        "compare", session.root / "short", "--policies", "local,network-aware-sqrt",
        "--rounds", 2, "--out", out,
    )  # fmt: skip
    runs = {run["policy"]: run["jobs"][0] for run in told["runs"]}
    assert set(runs) == {"local", "network-aware-sqrt"}
    for run in runs.values():
        assert run["failure"] is None and len(run["rounds"]) == 2
        assert all(each["accuracy"] is not None for each in run["rounds"])
    local = runs["local"]["rounds"]
    assert total(local, "sent") == total(local, "discarded") == 0
    assert "network-aware-sqrt" in (out / "report.html").read_text()


def test_a_killed_device_is_left_out_and_comes_back(session: Session) -> None:
    job = session.run("submit", session.root / "long", "--policy", "network-aware", "--detach").strip()
    until(lambda: session.job(job)["rounds_done"] >= 1, "a round", 120)
    [stage] = session.processes("ray::StageHost", "e4")
    os.kill(stage.pid, signal.SIGKILL)
    [path] = session.root.rglob(f"{job}/results/rounds.jsonl")

    def story() -> list[set[str]]:
        return [{client["client"] for client in each["clients"]} for each in rounds_in(path.parent)]

    until(lambda: {"device-e2"} in story(), "a round without it", 120)
    without = story().index({"device-e2"})
    until(lambda: {"device-e2", "device-e4"} in story()[without + 1 :], "a round with it again", 120)
    session.run("stop", job)


def test_nothing_is_left(session: Session) -> None:
    until(lambda: not session.processes("ray::StageHost"), "no stage is left")
    assert all(view["phase"] in ("done", "stopped", "failed") for view in session.json("jobs")["jobs"])
