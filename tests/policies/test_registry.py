"""Policies by name, and the same plan in every process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from policies.partition.training import SplitTraining
from policies.placement.otfa import OnlineFlowAdjustment
from policies.registry import (
    CAMERA_POLICIES,
    FRAME_JOB_POLICIES,
    OFFLOAD_POLICIES,
    ONE_SHOT_POLICIES,
    POLICIES,
    TRAINING_POLICIES,
    load_policy,
)
from policies.streams.mapping import StreamMapping

PRINT_PLANS = """
from dataclasses import replace
import numpy as np
from policies.model import Snapshot
from policies.registry import ONE_SHOT_POLICIES, POLICIES, TRAINING_POLICIES, load_policy
from tests.policies.generate import attributes_jobs, thesis_network
from tests.policies.invariants import after
from tests.policies.partition.jobs import deep_profile, star, training_job
rng = np.random.default_rng(7)
network = thesis_network(rng, 12, 1e6)
jobs = attributes_jobs(rng, network, 6, spread=0.5)
for name in POLICIES:
    decide = load_policy(name).decide
    first = decide(Snapshot(network=network), jobs[:4])
    running = after(Snapshot(network=network), jobs[:4], first)
    print(first, decide(running, jobs[4:]), decide(replace(running, running=running.running[1:]), []))
for name in ONE_SHOT_POLICIES:
    once = [replace(each, job=replace(each.job, mode="once")) for each in jobs[:2]]
    print(load_policy(name).decide(Snapshot(network=network), once))
training = training_job(deep_profile(rng), micro_batches=4)
for name in TRAINING_POLICIES:
    print(load_policy(name).decide(Snapshot(network=star()), [training]))
"""


def test_plans_do_not_depend_on_the_hash_seed() -> None:
    """Byte for byte, in two processes; arrivals, more arrivals, and an ending."""
    printed = [
        subprocess.run(
            [sys.executable, "-c", PRINT_PLANS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    decisions = 3 * len(POLICIES) + len(ONE_SHOT_POLICIES) + len(TRAINING_POLICIES)
    assert printed[0].count(b"Decision(") == decisions


def test_names_load_what_they_say() -> None:
    assert POLICIES[:5] == ("lr", "br", "tp", "otfs", "otfa")
    assert [load_policy(name).name for name in POLICIES] == list(POLICIES)
    for names, mode in (
        (TRAINING_POLICIES, "loop"),
        (CAMERA_POLICIES, "cameras"),
        (OFFLOAD_POLICIES, "offload"),
        (FRAME_JOB_POLICIES, "frames"),
    ):
        loaded = [load_policy(name) for name in names]
        assert [policy.name for policy in loaded] == list(names)
        assert {getattr(policy, "mode", None) for policy in loaded} == {mode}


def test_ones_own_policy_loads_by_module_and_class() -> None:
    assert load_policy("policies.placement.otfa:OnlineFlowAdjustment").name == "otfa"


def make_otfa() -> OnlineFlowAdjustment:
    return OnlineFlowAdjustment()


def test_a_function_makes_a_policy_or_is_asked_by_one() -> None:
    """By whether it must be given something, and what."""
    assert load_policy(f"{__name__}:make_otfa").name == "otfa"
    split = load_policy("policies.partition.policy:edgesplit")
    assert isinstance(split, SplitTraining) and split.name == "policies.partition.policy:edgesplit"
    cameras = load_policy("policies.streams.load_aware:load_aware")
    assert isinstance(cameras, StreamMapping) and cameras.name == "policies.streams.load_aware:load_aware"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fifo", "expected one of lr, br, tp"),
        ("no.such.module:Class", "cannot load"),
        ("policies.registry:Nothing", "cannot load"),
        ("policies.model:Task", "cannot load"),
        ("collections:Counter", "expected a name and a decide method"),
    ],
)
def test_bad_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_policy(name)
