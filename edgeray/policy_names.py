"""Policies by name: the built-in ones, and those that installed packages offer by entry point."""

from __future__ import annotations

from importlib.metadata import entry_points

from policies.model import Mode, Policy
from policies.registry import ONE_SHOT_POLICIES, POLICIES, load_policy

GROUP = "edgeray.policies"
DEFAULTS: dict[Mode, str] = {"stream": "joint", "once": "portfolio"}
"""The policy of a job that names none."""


def policy_named(name: str) -> Policy:
    """A built-in policy, one of the entry points in group edgeray.policies, or "module:Class".

    Raises ValueError for an unknown name; it lists the known ones.
    """
    if name not in POLICIES and name not in ONE_SHOT_POLICIES:
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

    A user's own policy says by its attribute `mode` which jobs it is for; without one it is taken for both.
    """
    mine = mode_of(policy)
    if mine is None or mine == mode:
        return
    right = ONE_SHOT_POLICIES if mode == "once" else POLICIES
    words = {"stream": "streams", "once": "one-shot jobs (mode: once)"}
    raise ValueError(
        f"policy {policy!r} is for {words[mine]}, not for {words[mode]}; expected one of {', '.join(right)}"
    )


def mode_of(policy: str) -> Mode | None:
    """Which jobs a policy is for; None for both. Raises ValueError for an unknown name."""
    if policy in POLICIES:
        return "stream"
    if policy in ONE_SHOT_POLICIES:
        return "once"
    mode = getattr(policy_named(policy), "mode", None)
    if mode not in (None, "stream", "once"):
        raise ValueError(f"policy {policy!r} has mode {mode!r}, expected 'stream', 'once' or no mode")
    return mode
