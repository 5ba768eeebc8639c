"""Split training on a real testbed: rounds over shaped flows, kills, resuming, a device with too little memory."""

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

HEADER = 'kind: split-training\nloss: own:smoothed\ndataset: {run: "own:spirals"}\noptimizer: adam\n'
JOBS = {
    "spirals": "model: {run: own:network, args: {width: 64, blocks: 4}}\nsamples: 400\nrounds: 4\n",
    # Long enough to be killed and stopped in: some seconds a round, of which a call of the CLI takes one or two.
    "long": "model: {run: own:network, args: {width: 64, blocks: 4}}\nsamples: 4000\nrounds: 8\nbatch_size: 4\n",
    # 123 MB of weights: three times that, and torch, is more than the devices' 1 GB.
    "large": "model: {run: own:network, args: {width: 1600, blocks: 6}}\nsamples: 64\nrounds: 2\n",
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    cluster = tmp_path_factory.mktemp("cluster") / "three.yaml"
    three = (REPO / "cluster" / "testbed" / "three.yaml").read_text()
    cluster.write_text(three.replace("memory: 2GB", "memory: 4GB"))  # the server has everybody's halves
    with session_on(str(cluster)) as session:
        for name, rest in JOBS.items():
            folder = session.root / name
            folder.mkdir()
            shutil.copy(REPO / "apps" / "split-training" / "own.py", folder)
            (folder / "job.yaml").write_text(f"{HEADER}name: {name}\n{rest}")
        yield session


@pytest.fixture(scope="module")
def undisturbed(session: Session) -> Path:
    """Where an undisturbed run of the long job left its files. Its cuts are the profile's and the policy's."""
    out = session.root / "undisturbed"
    view = session.json("submit", session.root / "long", "--policy", "edgesplit", "--out", out)
    assert view["phase"] == "done"
    return out


def rounds_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(folder / "model.pt", weights_only=True)
    return loaded


def start_long(session: Session, policy: str = "edgesplit") -> str:
    """Submit the long job without waiting for it; its id."""
    return session.run("submit", session.root / "long", "--policy", policy, "--detach").strip()


def until_round(session: Session, job: str, number: int) -> None:
    until(
        lambda: (view := session.job(job))["rounds_done"] >= number or view["phase"] == "failed",
        f"round {number} of {job}",
        120,
    )
    assert session.job(job)["phase"] == "running"


def until_done(session: Session, job: str) -> dict[str, Any]:
    view: dict[str, Any] = until(
        lambda: (view := session.job(job))["phase"] in ("done", "failed", "stopped") and view, job, 240
    )
    assert view["phase"] == "done", view["detail"]
    return view


def files_of(session: Session, job: str) -> Path:
    """The job's results where its server left them."""
    [path] = session.root.rglob(f"{job}/results/rounds.jsonl")
    return path.parent


@pytest.mark.parametrize("policy", ["vanilla-fl", "edgesplit-overlap"])
def test_a_model_is_trained(session: Session, policy: str) -> None:
    out = session.root / policy
    told = session.json("submit", session.root / "spirals", "--policy", policy, "--out", out)
    assert told["phase"] == "done" and told["rounds_done"] == 4
    rounds = rounds_in(out)
    assert [one["number"] for one in rounds] == [1, 2, 3, 4]
    assert rounds[-1]["loss"] < rounds[0]["loss"]
    assert {one["client"] for one in rounds[-1]["clients"]} == {"client-e2", "client-e4"}
    bound_s = told["plan"]["rounds"]["bound_s"]
    for one in rounds:
        assert one["seconds_s"] > 0.5 * bound_s  # the machine's speed changes between profile and run
        for client in one["clients"]:
            parts = (client[part] for part in ("compute_s", "transfer_s", "server_s", "idle_s"))
            assert sum(parts) == pytest.approx(one["seconds_s"], abs=1e-6)
    assert weights_in(out)["0.0.weight"].shape == (64, 2)


def test_flows_both_ways_have_the_rates_of_the_plan(session: Session) -> None:
    """As the kernel has them: classes of the flows on either device, and what went through these.

    With half of the layers on each device something goes both ways with every batch. Where a policy may leave devices
    the whole model, it goes at the ends of rounds only, and whoever looks once in a while may never see it.
    """
    job = start_long(session, "edgesplit-fix")
    until_round(session, job, 1)
    rates = {
        f"{job}/{flow['from']}->{flow['to']}": flow["rate_bps"] for flow in session.job(job)["plan"]["flows"]
    }
    assert len(rates) == 4
    seen: dict[str, float] = {}

    def all_seen() -> bool:
        """Whether something went through the class of each of those flows, in some second."""
        for view in session.devices().values():
            for stage in view["sample"]["stages"]:
                for flow in stage["flows"]:
                    if flow["flow"] in rates and flow["wire_bytes"]:
                        seen[flow["flow"]] = flow["granted_bps"]
        return len(seen) == len(rates)

    until(all_seen, "traffic in four classes")
    assert seen == pytest.approx(rates)
    session.run("stop", job)


def test_a_killed_client_is_left_out_and_comes_back(session: Session) -> None:
    job = start_long(session)
    until_round(session, job, 1)
    [stage] = session.processes("ray::StageHost", "e4")
    os.kill(stage.pid, signal.SIGKILL)
    until_done(session, job)
    rounds = rounds_in(files_of(session, job))
    assert [one["number"] for one in rounds] == list(range(1, 9))
    without = [one for one in rounds if len(one["clients"]) == 1]
    # In its own round it is dropped, unless it had finished that one already: then it counts there, and misses the next.
    assert without and [client["client"] for client in without[0]["clients"]] == ["client-e2"]
    assert len(rounds[-1]["clients"]) == 2
    story = session.run("logs", job)
    assert "started again (1 of 3)" in story


def test_a_killed_server_goes_on_after_its_last_round(session: Session, undisturbed: Path) -> None:
    job = start_long(session)
    until_round(session, job, 2)
    [stage] = session.processes("ray::StageHost", "e1")
    os.kill(stage.pid, signal.SIGKILL)
    until_done(session, job)
    rounds = rounds_in(files_of(session, job))
    assert [one["number"] for one in rounds] == list(range(1, 9))
    assert all(len(one["clients"]) == 2 for one in rounds)
    assert_equal(weights_in(files_of(session, job)), weights_in(undisturbed))


def test_a_node_that_is_killed_leaves_and_joins_again(session: Session) -> None:
    job = start_long(session)
    until_round(session, job, 1)
    [node] = session.processes("ray::NodeActor", "e4")
    os.kill(node.pid, signal.SIGKILL)
    until_done(session, job)
    rounds = rounds_in(files_of(session, job))
    assert [one["number"] for one in rounds] == list(range(1, 9))
    assert any(len(one["clients"]) == 1 for one in rounds)


def test_a_stopped_run_is_resumed_bit_for_bit(session: Session, undisturbed: Path) -> None:
    first = start_long(session)
    until_round(session, first, 2)
    session.run("stop", first)
    done = len(rounds_in(files_of(session, first)))
    out = session.root / "resumed"
    session.run("submit", session.root / "long", "--policy", "edgesplit", "--resume", first, "--out", out)
    assert [one["number"] for one in rounds_in(out)] == list(range(done + 1, 9))
    assert_equal(weights_in(out), weights_in(undisturbed))


def test_resuming_what_never_ran_is_told(session: Session) -> None:
    process = session.start("submit", session.root / "long", "--resume", "long-999")
    _, err = process.communicate(timeout=180)
    assert process.returncode != 0
    assert "long-999" in err and "Traceback" not in err


def test_a_model_too_large_for_a_device_is_cut_and_not_trained_whole(session: Session) -> None:
    session.run("profile", session.root / "large")
    refused = session.json("plan", session.root / "large", "--policy", "vanilla-fl", code=1)
    assert not refused["feasible"]
    assert any("e2" in reason and "memory" in reason for reason in refused["reasons"])
    told = session.json(
        "submit", session.root / "large", "--policy", "edgesplit", "--out", session.root / "l"
    )
    assert told["phase"] == "done" and told["rounds_done"] == 2
    last = len(session.json("profile", session.root / "large")["types"]["server"]["names"]) - 1
    assert all(cut < last for cut in told["plan"]["rounds"]["cuts"].values())


def test_policies_are_compared_and_a_refusal_is_a_row(session: Session) -> None:
    out = session.root / "report"
    policies = "vanilla-fl,edgesplit"
    told = session.json(
        "compare", session.root / "large", "--policies", policies, "--rounds", 1, "--out", out
    )
    runs = {run["policy"]: run for run in told["runs"]}
    assert set(runs) == {"vanilla-fl", "edgesplit"}
    (refused,), (trained,) = runs["vanilla-fl"]["jobs"], runs["edgesplit"]["jobs"]
    assert "of memory" in refused["failure"] and refused["rounds"] == []
    assert trained["failure"] is None and len(trained["rounds"]) == 1
    assert refused["failure"].partition(":")[0] in (out / "report.html").read_text()


def test_nothing_is_left(session: Session) -> None:
    until(lambda: not session.processes("ray::StageHost"), "no stage is left")
    assert all(view["phase"] in ("done", "stopped", "failed") for view in session.json("jobs")["jobs"])


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
