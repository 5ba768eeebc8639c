"""What decisions on one network share changes no decision, and does not grow."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from policies.model import Snapshot
from policies.placement import prepared
from policies.placement.prepared import REMEMBERED, Prepared
from policies.registry import POLICIES, load_policy
from tests.policies.generate import small_job, small_network
from tests.policies.invariants import after


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_remembered_changes_no_decision(policy: str) -> None:
    rng = np.random.default_rng(3)
    snapshot, decide = Snapshot(network=small_network(rng)), load_policy(policy).decide
    for step in range(6):
        arrivals = [small_job(rng, snapshot.network, f"j{step}")]
        decision = decide(snapshot, arrivals)
        assert decision == decide(*copy.deepcopy((snapshot, arrivals)))  # other objects, so nothing is known
        snapshot = after(snapshot, arrivals, decision)
        if step % 2:
            snapshot = replace(snapshot, running=snapshot.running[1:])


def test_only_the_last_networks_and_the_jobs_that_run_are_remembered() -> None:
    rng = np.random.default_rng(4)
    networks = [small_network(rng) for _ in range(REMEMBERED + 1)]
    known = [Prepared.of(network) for network in networks]
    assert Prepared.of(networks[-1]) is known[-1]
    assert Prepared.of(networks[0]) is not known[0]
    assert len(prepared._RECENT) == REMEMBERED
    network, decide = networks[0], load_policy("joint").decide
    snapshot = Snapshot(network=network)
    for step in range(5):
        arrivals = [small_job(rng, network, f"j{step}")]
        snapshot = after(snapshot, arrivals, decide(snapshot, arrivals))
    decide(replace(snapshot, running=snapshot.running[:1]), [])
    now, running = Prepared.of(network), {run.plan.job for run in snapshot.running[:1]}
    assert running
    assert set(now.resumed) == set(now.usages) == set(now.demands) == running
