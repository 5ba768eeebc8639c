"""Policies by name: the built-in ones, and those that installed packages offer by entry point."""

from __future__ import annotations

from importlib.metadata import entry_points

from policies.model import Policy
from policies.registry import POLICIES, load_policy

GROUP = "edgeray.policies"


def policy_named(name: str) -> Policy:
    """A built-in policy, one of the entry points in group edgeray.policies, or "module:Class".

    Raises ValueError for an unknown name; it lists the known ones.
    """
    if name not in POLICIES:
        for entry in entry_points(group=GROUP):
            if entry.name == name:
                policy: Policy = entry.load()()
                return policy
    return load_policy(name)
