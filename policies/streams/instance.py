"""What a policy of camera streams is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class StreamInstance:
    """K streams, each with a detector and a re-identification, on M devices. Made by `stream_instance`.

    PS: shape (M,), work a second of each device. CL1, CL2: shape (K,), work of the detector and of the
    re-identification for a frame. detect_s, identify_s: shape (K, M), CL1_k / PS_i and CL2_k / PS_i, or what was
    measured in their place; infinite where a device cannot. upload_s: shape (M, K), T_ik, seconds that a frame takes
    from its camera to a device; infinite where it cannot go. transfer_s: shape (K, M, M), D_k / R_ij, seconds from
    the detector's device to the other's; 0 on the same one. memory: shape (M,). R_det, R_reid: memory of a detector,
    one a stream, and of a re-identification model, one a device that has any of it.
    """

    devices: tuple[str, ...]
    streams: tuple[str, ...]
    PS: Floats
    CL1: Floats
    CL2: Floats
    detect_s: Floats
    identify_s: Floats
    upload_s: Floats
    transfer_s: Floats
    memory: Floats
    R_det: float
    R_reid: float

    @cached_property
    def pair_s(self) -> Floats:
        """Shape (K, M, M): the latency of a stream by its two devices (eq. 5.2 with the indicator put right)."""
        pairs: Floats = (
            self.upload_s.T[:, :, None]
            + self.detect_s[:, :, None]
            + self.identify_s[:, None, :]
            + self.transfer_s
        )
        return pairs

    def sum_latency_s(self, x: Ints, y: Ints) -> float:
        """Eq. 5.3. x, y: shape (K,), the device of each stream's detector and of its re-identification."""
        return float(self.pair_s[np.arange(len(x)), x, y].sum())

    def loads_s(self, x: Ints, y: Ints) -> Floats:
        """Shape (M,): seconds of computing that one frame of every stream takes on each device."""
        rows = np.arange(len(x))
        loads: Floats = np.bincount(x, weights=self.detect_s[rows, x], minlength=len(self.PS)).astype(float)
        return loads + np.bincount(y, weights=self.identify_s[rows, y], minlength=len(self.PS))

    def busiest_s(self, x: Ints, y: Ints) -> float:
        """Seconds that the busiest device, uplink or transfer takes for one frame of every stream."""
        rows = np.arange(len(x))
        network = max(float(self.upload_s[x, rows].max()), float(self.transfer_s[rows, x, y].max()))
        return max(float(self.loads_s(x, y).max()), network)

    def common_fps(self, x: Ints, y: Ints) -> float:
        """The frame rate that all streams can have at the same time: 1 / the largest utilisation at one frame a second.

        The spec's load-aware model; infinite when nothing takes any time.
        """
        busiest_s = self.busiest_s(x, y)
        return 1 / busiest_s if busiest_s > 0 else float("inf")

    def used(self, x: Ints, y: Ints) -> Floats:
        """Shape (M,): memory that each device needs at least, with models reused (eqs. 5.1, 5.4, corrected)."""
        detectors = np.bincount(x, minlength=len(self.PS))
        identifying = np.bincount(y, minlength=len(self.PS)) > 0
        return self.R_det * detectors + self.R_reid * identifying

    def fits(self, x: Ints, y: Ints) -> bool:
        """Whether memory suffices and every frame gets where it should."""
        reached = bool(np.isfinite(self.pair_s[np.arange(len(x)), x, y]).all())
        return reached and bool((self.used(x, y) <= self.memory * (1 + 1e-12)).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """The device, counted from 0, of each stream's detector (x) and of its re-identification (y)."""

    policy: str
    x: tuple[int, ...]
    y: tuple[int, ...]
    sum_latency_s: float
    common_fps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMapping:
    """The policy found no plan, and why."""

    policy: str
    reasons: tuple[str, ...]


def stream_instance(
    PS: npt.ArrayLike,
    CL1: npt.ArrayLike,
    CL2: npt.ArrayLike,
    upload_s: npt.ArrayLike,
    transfer_s: npt.ArrayLike,
    *,
    memory: npt.ArrayLike = np.inf,
    R_det: float = 0.0,
    R_reid: float = 0.0,
    devices: Sequence[str] | None = None,
    streams: Sequence[str] | None = None,
) -> StreamInstance:
    """An instance. See `StreamInstance`; one number holds for all.

    transfer_s: shape (K,), between any two devices, or (K, M, M). Raises ValueError for shapes that do not go
    together, NaN, negative numbers, and a device whose PS is not above 0.
    """
    speeds = np.atleast_1d(np.asarray(PS, dtype=float))
    if speeds.ndim != 1 or not (np.isfinite(speeds) & (speeds > 0)).all():
        raise ValueError(f"PS is {PS!r}, expected a number above 0 for each device")
    M = len(speeds)
    K = max(np.size(CL1), np.size(CL2), np.shape(upload_s)[1] if np.ndim(upload_s) == 2 else 1)
    names = tuple(devices) if devices is not None else tuple(f"d{i}" for i in range(M))
    cameras = tuple(streams) if streams is not None else tuple(f"s{k}" for k in range(K))
    if len(names) != M or len(cameras) != K:
        raise ValueError(f"{len(names)} devices and {len(cameras)} streams are named, expected {M} and {K}")
    between = np.asarray(transfer_s, dtype=float)
    if between.ndim < 2:
        between = np.broadcast_to(between, (K,))[:, None, None]
    between = np.array(_checked("transfer_s", between, (K, M, M)))
    between[:, np.arange(M), np.arange(M)] = 0.0
    work1 = _checked("CL1", CL1, (K,), finite=True)
    work2 = _checked("CL2", CL2, (K,), finite=True)
    return StreamInstance(
        devices=names,
        streams=cameras,
        PS=speeds,
        CL1=work1,
        CL2=work2,
        detect_s=_over(work1, speeds),
        identify_s=_over(work2, speeds),
        upload_s=_checked("upload_s", upload_s, (M, K)),
        transfer_s=between,
        memory=_checked("memory", memory, (M,)),
        R_det=float(_checked("R_det", R_det, (), finite=True)),
        R_reid=float(_checked("R_reid", R_reid, (), finite=True)),
    )


def measured_instance(
    detect_s: Floats,
    identify_s: Floats,
    upload_s: Floats,
    transfer_s: Floats,
    *,
    memory: Floats,
    R_det: float,
    R_reid: float,
    devices: Sequence[str],
    streams: Sequence[str],
) -> StreamInstance:
    """An instance whose seconds were measured by stream and device, rather than work by speed.

    detect_s, identify_s: shape (K, M). The order of streams by load is that of their mean seconds on the devices that
    can have them. Raises ValueError as `stream_instance` does.
    """
    K, M = np.shape(detect_s)
    made = stream_instance(
        np.ones(M), _mean_finite(detect_s), _mean_finite(identify_s), upload_s, transfer_s,
        memory=memory, R_det=R_det, R_reid=R_reid, devices=devices, streams=streams,
    )  # fmt: skip
    return replace(
        made,
        detect_s=_checked("detect_s", detect_s, (K, M)),
        identify_s=_checked("identify_s", identify_s, (K, M)),
    )


def stream_plan(policy: str, instance: StreamInstance, x: Ints, y: Ints) -> StreamPlan:
    return StreamPlan(
        policy=policy,
        x=tuple(x.tolist()),
        y=tuple(y.tolist()),
        sum_latency_s=instance.sum_latency_s(x, y),
        common_fps=instance.common_fps(x, y),
    )


def _over(work: Floats, speeds: Floats) -> Floats:
    seconds: Floats = work[:, None] / speeds[None, :]
    return seconds


def _mean_finite(seconds: Floats) -> Floats:
    """Shape (K,): the mean over the devices that can; 0 where none can."""
    can = np.isfinite(seconds)
    means: Floats = np.where(can, seconds, 0.0).sum(axis=1) / np.maximum(can.sum(axis=1), 1)
    return means


def _checked(name: str, values: npt.ArrayLike, shape: tuple[int, ...], *, finite: bool = False) -> Floats:
    array = np.asarray(values, dtype=float)
    if not (array >= 0).all() or (finite and not np.isfinite(array).all()):  # NaN is not
        raise ValueError(f"{name} holds a negative number, NaN or what is not finite")
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}") from None
