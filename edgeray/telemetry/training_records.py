"""Typed records of training: what was planned, and what its rounds came to, under each policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Round = Mapping[str, Any]
"""A `training.records.RoundRecord` as JSON: a line of rounds.jsonl."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedClient:
    """A device that trains, as it was planned. cut: the number of the profile's cut that ends its part, layer: what that
    is behind; layers: on the device, of model_layers; None where the profile is not known.

    rate_bps: granted each way, to and from the server; None on the server's own device. most_bps: what the flow to the
    server may take while nobody else wants it; None: no more than it was granted.
    """

    device: str
    type: str | None
    cut: int
    layer: str | None
    layers: int | None
    model_layers: int | None
    rate_bps: float | None
    most_bps: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """One job that trains a model, under one policy.

    mode: of the job: "loop" (split training), "batches" or "fog". planned_s: a round by the policy's own reckoning
    (P1's). predicted_s: with the server's queue and all else that P1 leaves out. bound_s: T_LB. median_round_s:
    measured, of all rounds but the first, in which much is done once; of the first where there is no other.
    above_bound, off_prediction: median_round_s over these, less 1.
    Of batch training, where each cycle is predicted when it begins, predicted_s and off_prediction are medians over the
    same cycles as median_round_s, of what was predicted and of how far off that was.
    failure: why it did not run, or did not end well; None when it did. rounds: those that were done, also then.
    """

    job: str
    app: str
    policy: str
    mode: str
    plan: Mapping[str, Any] | None
    clients: tuple[PlannedClient, ...]
    micro_batches: int
    planned_s: float | None
    predicted_s: float | None
    bound_s: float | None
    rounds_asked: int
    rounds: tuple[Round, ...]
    median_round_s: float | None
    above_bound: float | None
    off_prediction: float | None
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPolicyRun:
    """All jobs of a comparison under one policy, one after the other. planning_s: the last decision took so long."""

    policy: str
    jobs: tuple[TrainingRun, ...]
    planning_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingComparison:
    """Several policies on the same training and cluster; network as in `records.Comparison`."""

    app: str
    cluster: str
    network: Mapping[str, Any]
    started_at: str
    edgeray: str
    emulation: str
    runs: tuple[TrainingPolicyRun, ...]
    notes: tuple[str, ...] = ()
