"""What is simulated: a network, jobs that arrive, and what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass

from edgeray.errors import BadInputError
from policies.model import DeviceId, LinkId, Network, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A job that is submitted at at_s.

    A stream ends when so many items have left all its sinks, or so many seconds after it started running, whichever
    is first; with neither it runs to the end of the simulation. One-shot jobs end by themselves.
    """

    at_s: float
    workload: Workload
    policy: str
    items: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFails:
    at_s: float
    device: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReturns:
    at_s: float
    device: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChanges:
    at_s: float
    link: LinkId
    capacity_bps: float


Disturbance = DeviceFails | DeviceReturns | LinkChanges


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Arrivals need not be sorted. until_s: the end; None: when nothing is left to happen."""

    network: Network
    arrivals: tuple[Arrival, ...]
    disturbances: tuple[Disturbance, ...] = ()
    until_s: float | None = None


def check(scenario: Scenario) -> None:
    """Raises BadInputError for what no simulation could be made of, or one that would never end."""
    seen = set()
    for arrival in scenario.arrivals:
        job = arrival.workload.job
        if job.id in seen:
            raise BadInputError(f"two jobs of the scenario are named {job.id}; expected names of their own")
        seen.add(job.id)
        _check_arrival(arrival, endless=scenario.until_s is None)
    for disturbance in scenario.disturbances:
        _check_disturbance(disturbance, scenario.network)
    if scenario.until_s is not None and not scenario.until_s > 0:
        raise BadInputError(f"until_s is {scenario.until_s}; expected a number above 0")


def _check_arrival(arrival: Arrival, *, endless: bool) -> None:
    job = arrival.workload.job
    if not arrival.at_s >= 0:
        raise BadInputError(f"job {job.id} arrives at {arrival.at_s} s; expected 0 or later")
    for what, value in (("items", arrival.items), ("seconds", arrival.seconds)):
        if value is not None and not value > 0:
            raise BadInputError(f"job {job.id} ends after {value} {what}; expected more than 0")
    if endless and job.mode == "stream" and arrival.items is None and arrival.seconds is None:
        raise BadInputError(
            f"job {job.id} never ends, and neither does the simulation\n"
            "  remedy:   give the job items or seconds, or the scenario until_s"
        )
    for flow in job.flows:
        try:
            arrival.workload.size_bytes(flow)
        except KeyError as error:
            raise BadInputError(
                f"job {job.id}: the size of flow {flow.id} is neither declared nor measured\n"
                "  remedy:   declare it under `inputs`, or run edgeray profile"
            ) from error


def _check_disturbance(disturbance: Disturbance, network: Network) -> None:
    if not disturbance.at_s >= 0:
        raise BadInputError(f"a disturbance is at {disturbance.at_s} s; expected 0 or later")
    if isinstance(disturbance, LinkChanges):
        if disturbance.link not in network.links:
            raise BadInputError(f"link {disturbance.link} changes, but the network has no such link")
        if not disturbance.capacity_bps >= 0:
            raise BadInputError(f"link {disturbance.link} changes to {disturbance.capacity_bps} bit/s")
    elif disturbance.device not in network.devices:
        raise BadInputError(
            f"device {disturbance.device} fails or returns, but the network has no such device"
        )
