"""One round of split training event by event, with what formulas leave out: the server's queue, and links that wait."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np

from policies.partition.instance import Floats, Ints, SplitInstance, SplitPlan
from policies.partition.lines import NEVER, make_line
from policies.partition.steps import Steps

_SERVED, _COMPUTED = range(2)
_WEIGHTS_OUT, _PIECE, _WEIGHTS_IN = range(3)
_COMPUTING, _IN_SERVICE, _MOVING, _QUEUED, _ENDED = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTimes:
    """Where one device's round goes; the five add up to the round.

    compute_s: it computes. While it does not: served_s: the server computes for it; transfer_s: its data are on the
    way; queued_s: they wait for the server. idle_s: it is done, others are not. end_s: when the server has its weights.
    """

    compute_s: float
    served_s: float
    transfer_s: float
    queued_s: float
    idle_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A round. server_s: of it the server computes. clients: in the order of the instance."""

    round_s: float
    server_s: float
    clients: tuple[ClientTimes, ...]


def simulate_round(
    steps: Steps, cuts: Ints, rates_bps: Floats, *, work_conserving: bool = False, micro_batches: int = 1
) -> Timeline:
    """One round from the first weights that go down to the last that came up.

    Each device gets its layers' weights, then for each batch: forward, activations up, forward and backward on the
    server, gradients down, backward with the update; then its weights go up. In micro-batches a device sends each
    piece as soon as it is through its layers, goes on with the next, and takes gradients in the order in which they
    come once all pieces are forward; the next batch begins when all are back. The server computes for one device at a
    time, to completion, first come, first served. A line carries one thing of a device at a time, each way.
    A device with the last cut, the whole model, meets the server only with its weights.
    rates_bps: shape (devices,), of each direction; ceilings, or with work_conserving guarantees (see `make_line`).
    O(devices x batches x micro_batches) events. Raises ValueError where something is to be sent at a rate of 0.
    """
    rows = np.arange(len(cuts))
    sends = (steps.weights_bits + steps.up_bits + steps.down_bits)[rows, cuts] > 0
    if (np.asarray(rates_bps)[sends] <= 0).any():
        raise ValueError(
            f"devices {np.flatnonzero(sends & (rates_bps <= 0)).tolist()} are to send at a rate of 0"
        )
    return _Round(steps, cuts, np.asarray(rates_bps, dtype=np.float64), work_conserving, micro_batches).run()


def timeline_of(instance: SplitInstance, plan: SplitPlan) -> Timeline:
    """A plan's round. Raises ValueError where the instance does not know its rounds batch by batch."""
    if instance.steps is None:
        raise ValueError("the instance has no steps: only sums of its rounds are known")
    return simulate_round(
        instance.steps,
        np.array(plan.cuts, dtype=np.int64),
        np.array(plan.rates_bps, dtype=np.float64),
        work_conserving=plan.work_conserving,
        micro_batches=plan.micro_batches,
    )


@dataclass(slots=True, eq=False, kw_only=True)
class _Device:
    """One device in the round. forward_s and so on are of one piece; alone_s: all batches of one with the whole model.

    batches_left: that meet the server. forward_left, back_left: pieces of this batch.
    gradients: pieces whose gradients are there. up, down: bits that wait for the line, the first on its way if
    *_moving.
    """

    number: int
    batches_left: int
    pieces: int
    forward_s: float
    backward_s: float
    server_s: float
    up_bits: float
    down_bits: float
    alone_s: float
    weights_bits: float
    weights_s: float
    server_weights_s: float
    loaded: bool = False
    forward_left: int = 0
    back_left: int = 0
    gradients: int = 0
    computing: bool = False
    in_service: bool = False
    up: deque[float] = field(default_factory=deque)
    down: deque[float] = field(default_factory=deque)
    up_moving: bool = False
    down_moving: bool = False
    ended: bool = False
    state: int = _QUEUED
    since_s: float = 0.0
    spent_s: list[float] = field(default_factory=lambda: [0.0] * 5)


class _Round:
    def __init__(
        self, steps: Steps, cuts: Ints, rates_bps: Floats, work_conserving: bool, micro_batches: int
    ) -> None:
        self._devices = [
            _device(steps, number, cut, micro_batches) for number, cut in enumerate(cuts.tolist())
        ]
        self._up = make_line(steps, rates_bps, work_conserving=work_conserving)
        self._down = make_line(steps, rates_bps, work_conserving=work_conserving)
        self._events: list[tuple[float, int, int]] = []
        self._waiting: deque[tuple[_Device, int]] = deque()
        self._serving: int | None = None
        self._served_s = 0.0
        self._now_s = 0.0

    def run(self) -> Timeline:
        for device in self._devices:
            self._ask_server(device, _WEIGHTS_OUT)
            self._look_at(device)
        up, down, events = self._up, self._down, self._events
        while True:
            event_s = events[0][0] if events else NEVER
            self._now_s = now_s = min(event_s, up.next_s, down.next_s)
            if now_s == NEVER:
                break
            if now_s == up.next_s:
                device = self._devices[up.take()]
                device.up_moving = False
                self._came_up(device)
            elif now_s == down.next_s:
                device = self._devices[down.take()]
                device.down_moving = False
                self._came_down(device)
            else:
                _, what, number = heappop(events)
                device = self._devices[number]
                if what == _COMPUTED:
                    device.computing = False
                    self._computed(device)
                else:
                    device.in_service = False
                    self._served(device)
            self._look_at(device)
        round_s = max(device.since_s for device in self._devices)
        return Timeline(
            round_s=round_s,
            server_s=self._served_s,
            clients=tuple(_times(device, round_s) for device in self._devices),
        )

    def _ask_server(self, device: _Device, what: int) -> None:
        if what != _PIECE and not device.server_weights_s:
            self._answer(device, what)
            return
        self._waiting.append((device, what))
        if self._serving is None:
            self._serve_next()

    def _serve_next(self) -> None:
        if not self._waiting:
            self._serving = None
            return
        device, self._serving = self._waiting.popleft()
        took_s = device.server_s if self._serving == _PIECE else device.server_weights_s
        self._served_s += took_s
        device.in_service = True
        heappush(self._events, (self._now_s + took_s, _SERVED, device.number))
        self._look_at(device)

    def _served(self, device: _Device) -> None:
        what = self._serving
        assert what is not None, "it was in service"
        self._serve_next()
        self._answer(device, what)

    def _answer(self, device: _Device, what: int) -> None:
        if what == _WEIGHTS_IN:
            device.ended = True
        else:
            device.down.append(device.weights_bits if what == _WEIGHTS_OUT else device.down_bits)
            self._send_down(device)

    def _send_down(self, device: _Device) -> None:
        if device.down and not device.down_moving:
            device.down_moving = True
            bits = device.down.popleft()
            if bits:
                self._down.begin(self._now_s, device.number, bits)
            else:
                device.down_moving = False
                self._came_down(device)

    def _send_up(self, device: _Device) -> None:
        if device.up and not device.up_moving:
            device.up_moving = True
            bits = device.up.popleft()
            if bits:
                self._up.begin(self._now_s, device.number, bits)
            else:
                device.up_moving = False
                self._came_up(device)

    def _came_up(self, device: _Device) -> None:
        self._ask_server(device, _PIECE if device.batches_left else _WEIGHTS_IN)
        self._send_up(device)

    def _came_down(self, device: _Device) -> None:
        if device.loaded:
            device.gradients += 1
            self._compute(device)
        else:
            self._spend(device, device.weights_s)
        self._send_down(device)

    def _computed(self, device: _Device) -> None:
        """The device has loaded its weights, or a piece is through, or its weights are ready to be sent."""
        if not device.loaded:
            device.loaded = True
            if device.batches_left:
                device.forward_left = device.back_left = device.pieces
            else:
                self._spend(device, device.alone_s + device.weights_s)
                return
        elif not device.batches_left:
            device.up.append(device.weights_bits)
            self._send_up(device)
            return
        elif device.forward_left:
            device.forward_left -= 1
            device.up.append(device.up_bits)
            self._send_up(device)
        else:
            device.back_left -= 1
        self._compute(device)

    def _compute(self, device: _Device) -> None:
        """The next piece, if it is there and the device free."""
        if device.computing:
            return
        if device.forward_left:
            self._spend(device, device.forward_s)
        elif not device.back_left:
            device.batches_left -= 1
            if device.batches_left:
                device.forward_left = device.back_left = device.pieces
                self._spend(device, device.forward_s)
            else:
                self._spend(device, device.weights_s)
        elif device.gradients:
            device.gradients -= 1
            self._spend(device, device.backward_s)

    def _spend(self, device: _Device, seconds: float) -> None:
        device.computing = True
        heappush(self._events, (self._now_s + seconds, _COMPUTED, device.number))

    def _look_at(self, device: _Device) -> None:
        """Keep the books: what the time since the last look went into."""
        if device.computing:
            state = _COMPUTING
        elif device.in_service:
            state = _IN_SERVICE
        elif device.up_moving or device.down_moving:
            state = _MOVING
        else:
            state = _ENDED if device.ended else _QUEUED
        if state != device.state:
            device.spent_s[device.state] += self._now_s - device.since_s
            device.state, device.since_s = state, self._now_s


def _device(steps: Steps, number: int, cut: int, micro_batches: int) -> _Device:
    def of(values: Floats) -> float:
        return float(values[number, cut])

    batches, alone_s = int(steps.batches[number]), 0.0
    if cut == steps.forward_s.shape[1] - 1:  # all batches at once: nobody waits for any of them
        batches, alone_s = 0, batches * (of(steps.forward_s) + of(steps.backward_s))
    return _Device(
        number=number,
        batches_left=batches,
        pieces=micro_batches,
        forward_s=of(steps.piece_forward_s(micro_batches)),
        backward_s=of(steps.piece_backward_s(micro_batches)),
        server_s=of(steps.piece_server_s(micro_batches)),
        up_bits=of(steps.up_bits) / micro_batches,
        down_bits=of(steps.down_bits) / micro_batches,
        alone_s=alone_s,
        weights_bits=of(steps.weights_bits),
        weights_s=of(steps.weights_s),
        server_weights_s=of(steps.server_weights_s),
    )


def _times(device: _Device, round_s: float) -> ClientTimes:
    spent = device.spent_s
    return ClientTimes(
        compute_s=spent[_COMPUTING],
        served_s=spent[_IN_SERVICE],
        transfer_s=spent[_MOVING],
        queued_s=spent[_QUEUED],
        idle_s=round_s - device.since_s,
        end_s=device.since_s,
    )
