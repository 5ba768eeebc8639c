"""Policies by name: the built-in ones, and those that installed packages offer by entry point."""

from __future__ import annotations

from importlib.metadata import entry_points

from policies.model import Mode, Policy
from policies.placement.replicas import WithReplicas
from policies.registry import (
    BATCH_JOB_POLICIES,
    CAMERA_POLICIES,
    FOG_POLICIES,
    FRAME_JOB_POLICIES,
    OFFLOAD_POLICIES,
    ONE_SHOT_POLICIES,
    POLICIES,
    TRAINING_POLICIES,
    load_policy,
)

GROUP = "edgeray.policies"
DEFAULTS: dict[Mode, str] = {
    "stream": "joint",
    "once": "portfolio",
    "loop": "edgesplit-overlap",
    "batches": "mel-exact",
    "fog": "network-aware",
    "cameras": "load-aware",
    "offload": "hybrid",
    "frames": "djos",
}
"""The policy of a job that names none."""
_BUILT_IN: dict[Mode, tuple[str, ...]] = {
    "stream": POLICIES,
    "once": ONE_SHOT_POLICIES,
    "loop": TRAINING_POLICIES,
    "batches": BATCH_JOB_POLICIES,
    "fog": FOG_POLICIES,
    "cameras": CAMERA_POLICIES,
    "offload": OFFLOAD_POLICIES,
    "frames": FRAME_JOB_POLICIES,
}
_JOBS: dict[Mode, str] = {
    "stream": "streams",
    "once": "one-shot jobs (mode: once)",
    "loop": "split training (kind: split-training)",
    "batches": "batches of a cycle (kind: batch-training)",
    "fog": "points that are collected (kind: fog-training)",
    "cameras": "cameras (kind: streams)",
    "offload": "items that go to helpers (kind: offload)",
    "frames": "frames with deadlines (kind: frames)",
}


def policy_named(name: str) -> Policy:
    """A built-in policy, one of the entry points in group edgeray.policies, or "module:Class".

    Those for streams know replicas. Raises ValueError for an unknown name; it lists the known ones.
    """
    policy = _found(name)
    streams = name in _BUILT_IN["stream"] or not any(name in names for names in _BUILT_IN.values())
    return WithReplicas(policy) if streams else policy


def _found(name: str) -> Policy:
    if not any(name in names for names in _BUILT_IN.values()):
        for entry in entry_points(group=GROUP):
            if entry.name == name:
                policy: Policy = entry.load()()
                return policy
    return load_policy(name)


def default_policy(mode: Mode) -> str:
    """The policy of a job that names none."""
    return DEFAULTS[mode]


def check_mode(policy: str, mode: Mode) -> None:
    """Raises ValueError when the policy is not for jobs of this mode, or is unknown; it lists the right ones.

    A user's own policy says by its attribute `mode` which jobs it is for; without one it is taken for all.
    """
    mine = mode_of(policy)
    if mine is None or mine == mode:
        return
    raise ValueError(
        f"policy {policy!r} is for {_JOBS[mine]}, not for {_JOBS[mode]}; "
        f"expected one of {', '.join(_BUILT_IN[mode])}"
    )


def mode_of(policy: str) -> Mode | None:
    """Which jobs a policy is for; None for all. Raises ValueError for an unknown name."""
    for mode, names in _BUILT_IN.items():
        if policy in names:
            return mode
    own = getattr(policy_named(policy), "mode", None)
    if own is not None and own not in _BUILT_IN:
        words = ", ".join(repr(mode) for mode in _BUILT_IN)
        raise ValueError(f"policy {policy!r} has mode {own!r}, expected {words} or no mode")
    return own
