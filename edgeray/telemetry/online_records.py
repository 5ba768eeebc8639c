"""Records of jobs that decide while they run, measured under several policies. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeray.scheduler.views import JobView

Told = Mapping[str, Any]
_ITEMS = ("items", "met", "late", "refused", "failed", "lost")
_HELPER = ("sent", "met", "late", "failed", "lost")
_PACKETS = ("frames", "arrived", "sent", "local", "dropped")
_USER = ("arrived", "sent", "local", "dropped", "energy_j", "slots")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineRun:
    """One job under one policy. figures: of the measured time (`offload_figures`, `frame_figures`). parts: a row a
    helper or a user. failure: why it did not run; then there are no numbers."""

    job: str
    app: str
    policy: str
    kind: str
    measured_s: float
    figures: Mapping[str, Any]
    parts: Mapping[str, Mapping[str, Any]]
    cpu: Mapping[str, float]
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineComparison:
    """Several policies on the same job and cluster, one after the other; network as in `records.Comparison`."""

    app: str
    cluster: str
    kind: str
    network: Mapping[str, Any]
    seconds: float
    started_at: str
    edgeray: str
    emulation: str
    runs: tuple[OnlineRun, ...]
    notes: tuple[str, ...] = ()


def online_run(
    view: JobView, before: Told | None, after: Told | None, *, measured_s: float, cpu: Mapping[str, float]
) -> OnlineRun:
    """What a job did between two of its server's words."""
    ran = before is not None and after is not None
    figures: Mapping[str, Any] = {}
    parts: Mapping[str, Mapping[str, Any]] = {}
    if before is not None and after is not None:
        offload = view.mode == "offload"
        figures = offload_figures(before, after) if offload else frame_figures(before, after)
        parts = _parts(before, after, *(("helpers", _HELPER) if offload else ("users", _USER)))
    return OnlineRun(
        job=view.job,
        app=view.app,
        policy=view.policy,
        kind=view.mode,
        measured_s=measured_s,
        figures=figures,
        parts=parts,
        cpu=cpu,
        failure=None if ran else view.detail or "; ".join(view.reasons) or f"it was {view.phase}",
    )


def offload_figures(before: Told, after: Told) -> dict[str, Any]:
    """met_rate: the part of items whose result came by its deadline. The others were late, refused (never sent), failed
    (their work raised), or lost (their helper went away). regret_proxy: by the policy's own estimates."""
    counts = _since(before, after, _ITEMS)
    proxy = _difference(before.get("regret_proxy"), after.get("regret_proxy"))
    return {
        **counts,
        "met_rate": counts["met"] / counts["items"] if counts["items"] else None,
        "regret_proxy": proxy,
        "decision_us_p50": after.get("decision_us_p50"),
    }


def frame_figures(before: Told, after: Told) -> dict[str, Any]:
    """drop_rate: the part of packets that were not done in their frame. energy: joules, mean over users and frames."""
    counts = _since(before, after, _PACKETS)
    energy_j = _difference(before.get("energy_j"), after.get("energy_j")) or 0.0
    users = max(1, len(after.get("users", {})))
    return {
        **counts,
        "drop_rate": counts["dropped"] / counts["arrived"] if counts["arrived"] else None,
        "energy_j": energy_j,
        "energy_per_user_frame_j": energy_j / (users * counts["frames"]) if counts["frames"] else None,
        "queue_most": max((row.get("queue", 0.0) for row in after.get("users", {}).values()), default=0.0),
        "meter": after.get("meter"),
        "infeasible": list(after.get("infeasible", ())),
    }


def _parts(before: Told, after: Told, key: str, counted: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    old: Told = before.get(key, {})
    return {
        name: {**row, **_since(old.get(name, {}), row, counted)} for name, row in after.get(key, {}).items()
    }


def _since(before: Told, after: Told, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: _difference(before.get(key), after.get(key)) or 0 for key in keys}


def _difference(before: Any, after: Any) -> Any:
    return None if after is None else after - (before or 0)
