"""What a job's server and its users tell each other, over one line a device. All may be lost with its line."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Of frames that are over: arrived = sent + local + dropped. sent: and done there in time. energy_j: of the user."""

    frames: int = 0
    arrived: int = 0
    sent: int = 0
    local: int = 0
    dropped: int = 0
    energy_j: float = 0.0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            frames=self.frames + other.frames,
            arrived=self.arrived + other.arrived,
            sent=self.sent + other.sent,
            local=self.local + other.local,
            dropped=self.dropped + other.dropped,
            energy_j=self.energy_j + other.energy_j,
        )

    @staticmethod
    def of(values: list[float]) -> Totals:
        """Out of what `plain` gave. Raises ValueError or TypeError for anything else."""
        *counts, energy_j = values
        frames, arrived, sent, local, dropped = (int(count) for count in counts)
        return Totals(
            frames=frames, arrived=arrived, sent=sent, local=local, dropped=dropped, energy_j=float(energy_j)
        )

    def plain(self) -> list[float]:
        return list(astuple(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Server to user: a frame begins, and the one before is over. queue, known: what the server knows of the user, for
    a user whose process has just begun; any other knows better. policy: for frames without a server."""

    user: str
    frame: int
    policy: str
    queue: float
    known: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """User to server, at once when a frame begins. session: of its process; totals are counted since that began.

    arrived: packets of this frame (A). per_slot: that it can send in a slot of the whole link (C). computed: that it can
    compute in a slot (mu). queue: X, after the frame before. meter: what told the energy. ended: no more packets come.
    """

    user: str
    frame: int
    session: str
    arrived: int
    per_slot: float
    computed: float
    queue: float
    totals: Totals
    meter: str
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Server to user: of this frame's packets, so many may be sent, and so many are computed. slots, computing: that
    this takes. rate_bps: of the user's way to the server until the frame's end."""

    user: str
    frame: int
    slots: int
    computing: int
    sent: int
    local: int
    rate_bps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """User to server. number: no two of a process have the same. at_s: Unix time at which it came. data: pickled."""

    user: str
    frame: int
    number: int
    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """Server to user: the packet is here, so the next one may follow."""

    user: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Server to user: the packet was done within its frame. Never behind the next frame's Begin."""

    user: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """Server to user: the last frame is over, and no more begin. Answered with a last Report."""

    user: str
    frame: int
