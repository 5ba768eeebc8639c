"""The published mappings: JSTSH (WMWO) and its baselines NMNO, WMNO and NMWO.

Source: Zhang 2024, thesis, ch. 5, Alg. 7, eqs. 5.1-5.9, and sec. 5.5.2.
Departures: memory is tested with >=; line 16's transfer is D_k / R from the detector's device unless that is the
same one; line 17's time is the re-identification's. "Random" draws among devices that have room, from a seed.
Stream-wise greedy: O(K M) for each stage.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from policies.streams.instance import Bools, Floats, Ints, NoMapping, StreamInstance, StreamPlan, stream_plan
from policies.streams.room import Room

Choose = Callable[[int, Bools], int | None]
"""The device for a stream, of those that are open to it; None: none is."""


def jstsh(instance: StreamInstance) -> StreamPlan | NoMapping:
    """Streams by descending load, each to the device of least T_ik + CL1_k / PS_i; then the same for their
    re-identification, a model each while memory lasts, and what is deployed after that (eq. 5.9)."""
    return _offloaded("jstsh", instance, _by_least(instance.upload_s.T + instance.detect_s))


def nmno(instance: StreamInstance, seed: int = 0) -> StreamPlan | NoMapping:
    """No mapping, no offloading: each stream on a random device, re-identified there."""
    return _local("nmno", instance, _at_random(instance, seed))


def wmno(instance: StreamInstance) -> StreamPlan | NoMapping:
    """With mapping, no offloading: each stream on the device of its shortest transmission, re-identified there."""
    return _local("wmno", instance, _by_least(instance.upload_s.T))


def nmwo(instance: StreamInstance, seed: int = 0) -> StreamPlan | NoMapping:
    """No mapping, with offloading: each stream on a random device, its re-identification placed as by JSTSH."""
    return _offloaded("nmwo", instance, _at_random(instance, seed))


def by_load(instance: StreamInstance) -> list[int]:
    """Streams by descending load, ties in their order."""
    return np.argsort(-(instance.CL1 + instance.CL2), kind="stable").tolist()  # type: ignore[no-any-return]


def _local(policy: str, instance: StreamInstance, choose: Choose) -> StreamPlan | NoMapping:
    room, x = Room(instance), np.zeros(len(instance.streams), dtype=np.int64)
    for stream in by_load(instance):
        device = choose(stream, room.for_both)
        if device is None:
            return _refused(policy, instance, stream, "its detector and the re-identification model together")
        x[stream] = device
        room.detect(device)
        if not room.identifying[device]:
            room.load_model(device)
    return stream_plan(policy, instance, x, x)


def _offloaded(policy: str, instance: StreamInstance, choose: Choose) -> StreamPlan | NoMapping:
    room, order = Room(instance), by_load(instance)
    x, y = np.zeros((2, len(instance.streams)), dtype=np.int64)
    for stream in order:
        device = choose(stream, room.for_detector)
        if device is None:
            return _refused(policy, instance, stream, "its detector")
        x[stream] = device
        room.detect(device)
    for stream in order:
        device = _second_stage(instance, room, stream, x)
        if device is None:
            return _refused(policy, instance, stream, "the re-identification model")
        y[stream] = device
    return stream_plan(policy, instance, x, y)


def _second_stage(instance: StreamInstance, room: Room, stream: int, x: Ints) -> int | None:
    """Lines 14 to 26: a new model where one fits anywhere, else the deployed one that is quickest (eq. 5.9)."""
    took_s = instance.transfer_s[stream, x[stream]] + instance.identify_s[stream]
    device = _least(took_s, room.for_new_model)
    if device is None:
        return _least(took_s, room.identifying)
    room.load_model(device)
    return device


def _by_least(seconds: Floats) -> Choose:
    """seconds: shape (K, M)."""
    return lambda stream, open_: _least(seconds[stream], open_)


def _at_random(instance: StreamInstance, seed: int) -> Choose:
    rng = np.random.default_rng(seed)

    def choose(stream: int, open_: Bools) -> int | None:
        able = np.flatnonzero(open_ & np.isfinite(instance.upload_s[:, stream]))
        return int(rng.choice(able)) if len(able) else None

    return choose


def _least(seconds: Floats, open_: Bools) -> int | None:
    able = np.where(open_, seconds, np.inf)
    device = int(able.argmin())
    return device if np.isfinite(able[device]) else None


def _refused(policy: str, instance: StreamInstance, stream: int, what: str) -> NoMapping:
    reason = f"stream {instance.streams[stream]}: no device that it reaches has memory left for {what}"
    return NoMapping(policy=policy, reasons=(reason,))
