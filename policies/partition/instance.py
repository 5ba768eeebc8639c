"""What a policy of split training is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policies.partition.steps import Steps

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What A and C are sums of, a round: arrays of shape (devices, cuts), or broadcast to it.

    device_s: forward and backward of the layers on the device. server_s: of the rest, on the server alone.
    up_bits, down_bits: activations, gradients and parameters, to and from the server. servers: how many clients the
    server computes side by side at full pace. full_duplex: each direction has total_bps to itself; else they share
    it. micro_batches: pieces of a batch that are under way one behind the other; with 1 a device waits for each batch.
    """

    device_s: Floats
    server_s: Floats
    up_bits: Floats
    down_bits: Floats
    servers: int = 1
    full_duplex: bool = False
    micro_batches: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitInstance:
    """Devices that train one model with a server, a round of it. Made by `split_instance`.

    Cuts are numbered from 0, from the input on; the last is the whole model on the device, with no step on the server.
    A_s: shape (devices, cuts), seconds of computing, device and server together: b(Tf + Sf + Sb + Tb).
    C_bits: shape (devices, cuts), bits up and down together: 2(b·O + P); infinite A or C: that cut cannot be had.
    total_bps: what all devices share. rate_unit_bps: rates are whole multiples of it; None: any rate.
    rate_caps_bps, memory_bytes: shape (devices,), infinite where there is no limit. needs_bytes: shape
    (devices, cuts), memory on the device. layers: shape (cuts,), how many layers are on the device.
    steps: what parts are sums of, where a round is known batch by batch; then rate_caps_bps may be less than what
    a device could have, so that plans of any rates under them fit on links which only some devices share.
    """

    devices: tuple[str, ...]
    A_s: Floats
    C_bits: Floats
    total_bps: float
    rate_unit_bps: float | None
    rate_caps_bps: Floats
    memory_bytes: Floats
    needs_bytes: Floats
    layers: Ints
    parts: Parts | None = None
    steps: Steps | None = None

    @property
    def usable(self) -> Bools:
        """Shape (devices, cuts): which cuts fit the device's memory, end at all, and can send what they must."""
        limits_bps = self.limits_bps()
        fits = self.needs_bytes <= self.memory_bytes[:, None]
        sends = (self.C_bits == 0) | (limits_bps > 0)[:, None]
        usable: Bools = np.isfinite(self.A_s) & np.isfinite(self.C_bits) & fits & sends
        return usable

    def limits_bps(self) -> Floats:
        """The most that each device can be granted: its cap and the total, in whole units; shape (devices,)."""
        caps_bps = np.minimum(self.rate_caps_bps, self.total_bps)
        if self.rate_unit_bps is None:
            return caps_bps
        return in_bps(whole_units(caps_bps, self.rate_unit_bps), self.rate_unit_bps)

    def round_s(self, cuts: Ints, rates_bps: Floats) -> float:
        """max_i A_i + C_i / B_i of these cuts and rates (eq. 4.10)."""
        rows = np.arange(len(self.devices))
        bits = self.C_bits[rows, cuts]
        sending = bits > 0
        seconds = self.A_s[rows, cuts]
        seconds[sending] += bits[sending] / rates_bps[sending]
        return float(seconds.max())

    def predicted_s(self, cuts: Ints, rates_bps: Floats) -> float:
        """`round_s`, or what the server computes for all devices, if that is longer and known."""
        server_s = 0.0
        if self.parts is not None:
            server_s = float(self.parts.server_s[np.arange(len(cuts)), cuts].sum()) / self.parts.servers
        return max(self.round_s(cuts, rates_bps), server_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """A cut and a rate for each device, in the order of the instance.

    round_s: predicted seconds a round. bound_s: no round is shorter (`round_bound`); None where nobody asked.
    work_conserving: rates are guarantees, and a device takes more while others are silent; else they are ceilings.
    micro_batches: pieces of a batch that are under way one behind the other; 1: a device waits for each batch.
    """

    policy: str
    cuts: tuple[int, ...]
    rates_bps: tuple[float, ...]
    round_s: float
    bound_s: float | None = None
    work_conserving: bool = False
    micro_batches: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSplit:
    """No plan exists, and why: each reason names the device and what it lacks."""

    policy: str
    reasons: tuple[str, ...]


def split_instance(
    A_s: npt.ArrayLike,
    C_bits: npt.ArrayLike,
    total_bps: float,
    *,
    devices: Sequence[str] | None = None,
    rate_unit_bps: float | None = None,
    rate_caps_bps: npt.ArrayLike = np.inf,
    memory_bytes: npt.ArrayLike = np.inf,
    needs_bytes: npt.ArrayLike = 0.0,
    layers: Sequence[int] | None = None,
    parts: Parts | None = None,
    steps: Steps | None = None,
) -> SplitInstance:
    """An instance; what has one row, or one number, holds for all devices. See `SplitInstance`.

    devices: their names; else d0, d1, ... layers: else 1, 2, ... Raises ValueError for shapes that do not go
    together, NaN, negative numbers, and a total or a unit that is not above 0.
    """
    seconds = np.array(A_s, dtype=float)
    if seconds.ndim != 2 or 0 in seconds.shape:
        raise ValueError(f"A_s has shape {seconds.shape}, expected (devices, cuts), one of each at least")
    names = tuple(devices) if devices is not None else tuple(f"d{i}" for i in range(len(seconds)))
    deep = np.array(layers if layers is not None else range(1, seconds.shape[1] + 1), dtype=np.int64)
    if len(names) != len(seconds) or deep.shape != seconds.shape[1:]:
        raise ValueError(f"{len(names)} names and {len(deep)} layers for A_s of shape {seconds.shape}")
    if not (np.isfinite(total_bps) and total_bps > 0):
        raise ValueError(f"total_bps is {total_bps}, expected a number above 0")
    if rate_unit_bps is not None and not (np.isfinite(rate_unit_bps) and rate_unit_bps > 0):
        raise ValueError(f"rate_unit_bps is {rate_unit_bps}, expected a number above 0 or None")
    by_cut, by_device = seconds.shape, seconds.shape[:1]
    return SplitInstance(
        devices=names,
        A_s=_checked("A_s", seconds, by_cut),
        C_bits=_checked("C_bits", C_bits, by_cut),
        total_bps=float(total_bps),
        rate_unit_bps=rate_unit_bps,
        rate_caps_bps=_checked("rate_caps_bps", rate_caps_bps, by_device),
        memory_bytes=_checked("memory_bytes", memory_bytes, by_device),
        needs_bytes=_checked("needs_bytes", needs_bytes, by_cut),
        layers=deep,
        parts=None if parts is None else _checked_parts(parts, by_cut),
        steps=steps,
    )


def whole_units(rate_bps: npt.ArrayLike, unit_bps: float) -> Ints:
    """How many whole units a rate holds; one that is short by rounding alone counts."""
    units = np.floor(np.asarray(rate_bps, dtype=float) / unit_bps * (1 + 1e-12))
    return units.astype(np.int64)


def in_bps(units: Ints, unit_bps: float) -> Floats:
    return np.asarray(units * unit_bps, dtype=np.float64)


def _checked(name: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> Floats:
    array = np.asarray(values, dtype=float)
    if not (array >= 0).all():  # NaN is not
        raise ValueError(f"{name} holds a negative number or NaN")
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}") from None


def _checked_parts(parts: Parts, shape: tuple[int, ...]) -> Parts:
    if parts.servers < 1 or parts.micro_batches < 1:
        raise ValueError(f"servers {parts.servers}, micro_batches {parts.micro_batches}: expected 1 or more")
    return Parts(
        device_s=_checked("device_s", parts.device_s, shape),
        server_s=_checked("server_s", parts.server_s, shape),
        up_bits=_checked("up_bits", parts.up_bits, shape),
        down_bits=_checked("down_bits", parts.down_bits, shape),
        servers=parts.servers,
        full_duplex=parts.full_duplex,
        micro_batches=parts.micro_batches,
    )
