"""Comparisons of test data, and networks of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from web_examples import PLACEMENTS, RATES, comparison_of, job_run, policy_run

from edgeray.telemetry.records import Comparison


@pytest.fixture
def six() -> Comparison:
    """One job under the six policies that `make demo` compares; joint leads, otfa and tp lie together."""
    placements = {"lr": "all-on-head", "br": "all-on-head"}
    runs = (
        policy_run(policy, (job_run("attributes", PLACEMENTS[placements.get(policy, "spread")], per_s),))
        for policy, per_s in RATES.items()
    )
    return comparison_of(*runs)


@pytest.fixture
def grid() -> Callable[[int], dict[str, Any]]:
    """A network of side x side devices."""

    def make(side: int) -> dict[str, Any]:
        names = [[f"d{row:02}{column:02}" for column in range(side)] for row in range(side)]
        pairs = [(names[r][c], names[r][c + 1]) for r in range(side) for c in range(side - 1)]
        pairs += [(names[r][c], names[r + 1][c]) for r in range(side - 1) for c in range(side)]
        return {
            "head": names[0][0],
            "devices": {
                name: {"type": "pi4", "cpus": 1.0, "memory_bytes": 1e9} for row in names for name in row
            },
            "links": [{"id": f"{a}-{b}", "ends": [a, b], "capacity_bps": 1e6} for a, b in pairs],
        }

    return make
