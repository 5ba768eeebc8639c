"""What every place where a model can be cut costs on this device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeray.dataplane import encode, wire_bytes
from edgeray.profiler.cuts import CutMeasurements
from edgeray.profiler.measure import transfer_cpu_s
from edgeray.training.build import EXAMPLE_SAMPLES, compute_on
from edgeray.training.compress import Compression, compressed, restored
from edgeray.training.cut import Cut
from edgeray.training.cut_memory import ROOM, optimizer_tensors
from edgeray.training.cut_times import Clock, Step
from edgeray.training.draws import Draws
from edgeray.training.lines import packed
from edgeray.training.messages import Backward, Finished, Forward
from edgeray.training.recipe import Recipe
from edgeray.training.trial import FIRST_SEED, PIECES, Trial

INFINITE = float("inf")
BUDGET_S = 25.0
SMALL_BYTES, LARGE_BYTES = 1_000, 1_000_000


def measure_training(
    recipe: Recipe,
    *,
    cpus: float,
    capped: bool,
    memory_bytes: float | None,
    budget_s: float = BUDGET_S,
) -> CutMeasurements:
    """Train on real batches, as a client would, and note what the layers before and behind each cut take.

    cpus: the device's cores. capped: this process is held to them; below one core the kernel stops it wherever it
    happens to be, so seconds are then CPU seconds over cpus, else wall time. memory_bytes: the device's; cuts that
    would need more than nine tenths of it are not run. budget_s: at least two steps, then as many as fit into it.

    Seconds of a cut hold all that its messages take whatever their size is: getting the batch, compression, and what
    either end does for a message of no bytes. Raises BadInputError where the recipe names what is not there,
    CannotCutError among them; StageError where not even the first cut fits.
    """
    compute_on(cpus)
    held = capped and cpus < 1
    clock, slowed = (time.process_time, 1 / cpus) if held else (time.perf_counter, 1.0)
    message_s, byte_s = message_costs()
    with ThreadPoolExecutor(1) as thread:  # as a client does: the allocator keeps more for threads
        trial, crossings = thread.submit(
            _try, recipe, memory_bytes * ROOM if memory_bytes else INFINITE, clock, budget_s
        ).result()
    return measurements(trial, crossings, slowed, message_s, byte_s)


def _try(recipe: Recipe, room_bytes: float, clock: Clock, budget_s: float) -> tuple[Trial, Crossings]:
    with torch.random.fork_rng(devices=[]):
        trial = Trial(recipe, room_bytes)
        crossings = Crossings(recipe.compress, trial.batch()[1], clock)
        trial.run(clock, budget_s, crossings.passed)
    return trial, crossings


def message_costs() -> tuple[float, float]:
    """CPU seconds of either end of a flow: of a message whatever its size, and of each byte more."""
    sizes = (SMALL_BYTES, LARGE_BYTES)
    small_s, large_s = (transfer_cpu_s([np.zeros(size, np.uint8)]) for size in sizes)
    byte_s = max(0.0, large_s - small_s) / (sizes[1] - sizes[0])
    return max(0.0, small_s - sizes[0] * byte_s), byte_s


@dataclass(frozen=True, slots=True)
class Crossing:
    """What crosses a cut with a batch: bytes on the wire, and seconds of making it small and large again, one way."""

    up_bytes: float
    down_bytes: float
    compress_s: float = 0.0


class Crossings:
    """Looks at what crosses each cut in a Trial's first step. found: by the cut's index."""

    def __init__(self, how: Compression | None, labels: Tensor, clock: Clock) -> None:
        self.found: dict[int, Crossing] = {}
        self._how = how
        self._labels = labels
        self._clock = clock
        self._undrawn = Draws(FIRST_SEED).state

    def passed(self, number: int, tensors: Sequence[Tensor]) -> None:
        """For Trace.watched."""
        began_s = self._clock()
        sent = tuple(compressed(tensor.detach().contiguous(), self._how) for tensor in tensors)
        if self._how is not None:
            for one in sent:
                restored(one)
        took_s = 0.0 if self._how is None else self._clock() - began_s
        wants = tuple(tensor.requires_grad for tensor in tensors)
        state = torch.get_rng_state()
        forward = Forward(
            epoch=0,
            batch=0,
            activations=sent,
            differentiable=wants,
            labels=self._labels,
            draws=None if torch.equal(state, self._undrawn) else state,
        )
        # A gradient has its activation's shape and type.
        back = Backward(gradients=tuple(one if want else None for one, want in zip(sent, wants, strict=True)))
        self.found[number] = Crossing(
            message_bytes("forward", forward), message_bytes("backward", back), took_s
        )

    def of(self, cut: Cut, samples: int) -> Crossing:
        """Of a cut that was not passed: by what crosses it for the example."""
        if cut.whole:
            return Crossing(0.0, 0.0)
        if cut.index in self.found:
            return self.found[cut.index]
        size = np.zeros(
            cut.output_bytes * samples // EXAMPLE_SAMPLES // (1 if self._how is None else 4), np.uint8
        )
        return Crossing(message_bytes("forward", size), message_bytes("backward", size))


def message_bytes(kind: str, value: Any) -> int:
    """Bytes of a message on the wire, as a LineChannel sends it."""
    return wire_bytes(encode((kind, packed(value))))


def measurements(
    trial: Trial, crossings: Crossings, slowed: float, message_s: float, byte_s: float
) -> CutMeasurements:
    """slowed: seconds on this device for each that was measured. message_s, byte_s: see message_costs."""
    rows = [_seconds(trial, cut, crossings, message_s) for cut in trial.cuts]
    pieces = [_piece_seconds(trial, cut, message_s) for cut in trial.cuts]
    crossing = [crossings.of(cut, trial.samples) for cut in trial.cuts]
    fits = [cut.index <= trial.deepest for cut in trial.cuts]
    return CutMeasurements(
        names=tuple(cut.name for cut in trial.cuts),
        layers=tuple(cut.layers for cut in trial.cuts),
        up_bytes=tuple(float(one.up_bytes) for one in crossing),
        down_bytes=tuple(float(one.down_bytes) for one in crossing),
        weights_bytes=tuple(float(_weights_bytes(trial, cut)) for cut in trial.cuts),
        forward_s=tuple(forward * slowed for forward, _, _ in rows),
        backward_s=tuple(backward * slowed for _, backward, _ in rows),
        server_s=tuple(server * slowed for _, _, server in rows),
        memory_bytes=tuple(trial.memory.need_bytes(n) if fit else INFINITE for n, fit in enumerate(fits)),
        piece_s=tuple(device * slowed for device, _ in pieces),
        server_piece_s=tuple(server * slowed for _, server in pieces),
        send_s_per_byte=byte_s * slowed,
        steps=len(trial.steps),
    )


def _seconds(trial: Trial, cut: Cut, crossings: Crossings, message_s: float) -> tuple[float, float, float]:
    """Forward and backward on the device, and all on the server, of a batch, as the clock has it.

    The update's seconds are shared out by the weights that are trained. A message of any size takes either end its
    seconds: activations and gradients. With the whole model there are none.
    """
    if cut.index > trial.deepest:
        return INFINITE, INFINITE, INFINITE
    parts = [step.parts(None if cut.whole else cut.index) for step in trial.steps]
    head_forward, head_backward, tail_forward, tail_backward = (
        statistics.median(values) for values in zip(*parts, strict=True)
    )
    update_s = statistics.median(step.updated - step.ended for step in trial.steps)
    all_bytes = trial.memory.weights[trial.deepest].trained_bytes
    share = trial.memory.weights[cut.index].trained_bytes / all_bytes if all_bytes else 0.0
    backward_s = head_backward + update_s * share
    if cut.whole:
        return head_forward, backward_s, 0.0
    compress_s = crossings.found[cut.index].compress_s
    server_s = tail_forward + tail_backward + update_s * (1 - share) + compress_s + 2 * message_s
    return (
        head_forward + compress_s / 2 + message_s,
        backward_s + compress_s / 2 + message_s,
        server_s if trial.whole else INFINITE,
    )


def _piece_seconds(trial: Trial, cut: Cut, message_s: float) -> tuple[float, float]:
    """What each further piece of a batch adds, on the device and on the server; 0 where nothing was tried.

    Layers take their time by the samples and some whatever these are: by a batch and by a part of one. And each piece
    has messages of its own, one each way.
    """
    if cut.whole or cut.index > trial.deepest or not trial.piece_steps:
        return 0.0, 0.0
    whole, part = (_by_end(steps, cut.index) for steps in (trial.steps, trial.piece_steps))
    device, server = (
        max(0.0, (PIECES * one - all_) / (PIECES - 1)) for all_, one in zip(whole, part, strict=True)
    )
    return device + 2 * message_s, server + 2 * message_s


def _by_end(steps: Sequence[Step], number: int) -> tuple[float, float]:
    """Seconds of the head, and of the tail, both ways."""
    head_forward, head_backward, tail_forward, tail_backward = (
        statistics.median(values) for values in zip(*(step.parts(number) for step in steps), strict=True)
    )
    return head_forward + head_backward, tail_forward + tail_backward


def _weights_bytes(trial: Trial, cut: Cut) -> int:
    """Of the layers up to a cut, as they go up after a round, with what the optimizer keeps where it lives on."""
    state = cut.trace.state(trial.model, cut.position)
    kept = {
        name: {str(number): value for number in range(optimizer_tensors(trial.settings))}
        for name, value in state.items()
        if trial.settings.keep_optimizer and value.requires_grad
    }
    finished = Finished(
        weights=state,
        optimizer=kept or None,
        samples=0,
        loss_sum=0.0,
        seen=0,
        compute_s=0.0,
        waiting_s=0.0,
    )
    return message_bytes("finished", finished)
