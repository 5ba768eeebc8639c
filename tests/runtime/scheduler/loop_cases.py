"""A loop that runs on the small cluster, and words for what happens to it."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler_cases import Cluster

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import ApplyNetwork, Effect, JobChanged
from edgeray.scheduler.ports import PortPool
from edgeray.scheduler.state import SchedulerState
from policies.model import DeviceId, JobId

LOOP = JobId("l")


def running() -> Cluster:
    cluster = Cluster()
    cluster.submit("l", "loop")
    assert cluster.phase("l") == "running"
    return cluster


def ended(device: DeviceId, error: str | None = "killed", **how: bool) -> ev.StageEnded:
    return ev.StageEnded(at_s=9, job=LOOP, device=device, error=error, **how)


def lost(device: DeviceId) -> ev.DeviceLost:
    return ev.DeviceLost(at_s=9, device=device, reason="gone")


def back(device: DeviceId, address: str | None = None) -> ev.DeviceJoined:
    return ev.DeviceJoined(at_s=12, device=device, address=address or f"ip-{device}")


def kinds(effects: Iterable[Effect]) -> list[tuple[str, str]]:
    """The orders among effects, with the device that each is for."""
    return [(type(e).__name__, e.device) for e in effects if not isinstance(e, JobChanged)]  # type: ignore[attr-defined]


def told(effects: Iterable[Effect]) -> list[str]:
    return [e.detail for e in effects if isinstance(e, JobChanged)]


def flows(effects: Iterable[Effect], device: DeviceId) -> list[str]:
    """What the last rules for this device let through."""
    *_, last = (e for e in effects if isinstance(e, ApplyNetwork) and e.device == device)
    return [rule.flow for rule in last.rules]


def detail(state: SchedulerState) -> str:
    return state.jobs[LOOP].detail


def nothing_held(state: SchedulerState) -> bool:
    record = state.jobs[LOOP]
    return state._ports.free == PortPool().free and not (
        record.stages or record.ports or record.network or record.attendance.addresses
    )
