"""The random setting of network-aware learning's experiments, for one model and data set, policy by policy.

Source: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, "Network-Aware Optimization of Distributed Learning for Fog Computing",
sec. V-A.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeray.errors import BadInputError
from edgeray.simulator.fog import FogRun, Learning, Progress, run_policy
from edgeray.simulator.fog_points import SQRT_POLICIES, whole_instance
from edgeray.simulator.settings import choice, number, truth
from policies.movement.instance import MovementInstance
from policies.movement.setting import TOPOLOGIES, Topology, random_setting

LINEAR_F, SQRT_F = 1.0, 30.0
"""With linear errors no point costs more to process than 1. Errors f / sqrt(G) of 30 have ten devices process two thirds
of the 30,000 points that the paper's collect."""


MOST_LINKS = 10_000_000
"""Costs in memory: n devices have n^2 links in each interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperFog:
    """n devices over `intervals`, averaged every tau of them. points: D ~ U(0, points / (n intervals)); None: as many as
    the data set has to train on, as in the paper. See `random_setting` for the rest."""

    topology: Topology = choice("full", "who may send to whom", *TOPOLOGIES)  # noqa: RUF009 - a field
    n: int = number(10, "devices", least=1, most=1000)
    intervals: int = number(100, "T", least=1, most=100_000)
    tau: int = number(10, "intervals between two averages", least=1, most=100_000)
    points: float | None = number(
        None, "twice what is collected on average; none: the training set's", least=1
    )
    f: float | None = number(
        None, f"of an error; none: {LINEAR_F:g}, or {SQRT_F:g} where it is f / sqrt(G)", least=0
    )
    rho: float = number(0.5, "probability of a link, of topology random", least=0, most=1)
    steady: bool = truth(False, "costs and capacities are drawn once for all intervals")
    capacities: bool = truth(False, "devices and links can take so many points only")

    def __post_init__(self) -> None:
        if self.n * self.n * self.intervals > MOST_LINKS:
            raise BadInputError(
                f"{self.n} devices over {self.intervals} intervals have {self.n**2 * self.intervals:,} links\n"
                f"  expected: {MOST_LINKS:,} or fewer\n  remedy:   fewer devices, or --set intervals=10"
            )


def setting_of(asked: PaperFog, policy: str, seed: int, samples: int) -> MovementInstance:
    """In whole points. samples: that the training set has. The same seed gives every policy the same data and costs."""
    default = SQRT_F if policy in SQRT_POLICIES else LINEAR_F
    return whole_instance(
        random_setting(
            np.random.default_rng(seed),
            devices=asked.n,
            intervals=asked.intervals,
            points=samples if asked.points is None else asked.points,
            f=default if asked.f is None else asked.f,
            topology=asked.topology,
            rho=asked.rho,
            capacities=asked.capacities,
            steady=asked.steady,
        )
    )


def simulate_policy(
    asked: PaperFog, learning: Learning, policy: str, seed: int, progress: Progress = lambda done, total: None
) -> FogRun:
    """One policy's run. Raises BadInputError where nobody collects anything, and as `run_policy` does."""
    instance = setting_of(asked, policy, seed, len(learning.train))
    if not instance.D.any():
        raise BadInputError(
            f"{asked.n} devices collect no point in {asked.intervals} intervals\n  expected: some\n"
            "  remedy:   more of them: --set points=60000"
        )
    return run_policy(learning, instance, policy, tau=asked.tau, progress=progress)


def run_json(run: FogRun) -> dict[str, Any]:
    """What is told of a run; costs, and who sent what, are null where it is centralized."""
    plan, trained = run.plan, run.trained
    costs = {
        name: None if plan is None else getattr(plan, name)
        for name in ("unit", "total", "process", "transfer", "discard")
    }
    return {
        "policy": run.policy,
        **costs,
        "collected": run.collected,
        "processed": run.processed,
        "sent": 0 if plan is None else int(plan.sent.sum()),
        "discarded": 0 if plan is None else int(plan.discarded.sum()),
        "steps": trained.steps,
        "accuracy": run.accuracy,
        "curve": [list(point) for point in trained.accuracy],
    }


def names_of(asked: PaperFog) -> Sequence[str]:
    """The devices, d1 to dn."""
    return tuple(f"d{i}" for i in range(1, asked.n + 1))
