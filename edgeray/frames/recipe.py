"""What the server and all users of a job of frames are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeray.node.code import TaskCode
from policies.model import DeviceId, TaskId

START_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSpec:
    """idle_w: always. local_w, send_w: beside it, while computing and while sending."""

    idle_w: float
    local_w: float
    send_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSpec:
    """One source of packets. rate_per_s: items that are taken of it a second; None: as many as it gives. An item is a
    packet, a list of packets that come at once, or an empty list. items: it ends after so many packets. mean: packets a
    frame, declared (lambda); None: as they come."""

    name: str
    task: TaskId
    device: DeviceId
    source: TaskCode
    rate_per_s: float | None
    items: int | None
    mean: float | None
    power: PowerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """slots, slot_s: of a frame. rho: the part of packets that may be dropped. M: packets that a joule counts for.
    link_bps: of the link that users share. floor_bps: of each, whatever it was granted. frames: the job ends after so
    many; None: when no packets come. start_s: users are waited for so long. meter: "declared", or "sensor" where a
    device has one."""

    server: TaskId
    users: Mapping[str, UserSpec]
    work: TaskCode
    slots: int
    slot_s: float
    rho: float
    M: float
    link_bps: float
    floor_bps: float
    frames: int | None
    start_s: float
    meter: str

    @property
    def frame_s(self) -> float:
        return self.slots * self.slot_s

    @property
    def tasks(self) -> dict[DeviceId, TaskId]:
        """The users' tasks, by device."""
        return {user.device: user.task for user in self.users.values()}

    def rate_bps(self, slots: float) -> float:
        """What a user has of the link that was granted so many slots: its floor, and its part of what floors leave."""
        floor_bps = min(self.floor_bps, self.link_bps / len(self.users))
        return floor_bps + slots / self.slots * (self.link_bps - len(self.users) * floor_bps)

    @staticmethod
    def of(told: Mapping[str, Any]) -> Recipe:
        """Out of the plain values that a job file became (`edgeray.spec.online_app`)."""
        return Recipe(
            server=TaskId(told["server"]),
            users={name: _user(name, user) for name, user in sorted(told["users"].items())},
            work=TaskCode(run=told["work"]["run"], args=dict(told["work"]["args"])),
            slots=int(told["slots"]),
            slot_s=float(told["slot_s"]),
            rho=float(told["rho"]),
            M=float(told["M"]),
            link_bps=float(told["link_bps"]),
            floor_bps=float(told["floor_bps"]),
            frames=told["frames"],
            start_s=float(told.get("start_s", START_S)),
            meter=str(told.get("meter", "declared")),
        )


def _user(name: str, told: Mapping[str, Any]) -> UserSpec:
    source = told["source"]
    return UserSpec(
        name=name,
        task=TaskId(told["task"]),
        device=DeviceId(told["device"]),
        source=TaskCode(run=source["run"], args=dict(source["args"])),
        rate_per_s=source["rate_per_s"],
        items=source["items"],
        mean=told["lambda"],
        power=PowerSpec(**told["power"]),
    )
