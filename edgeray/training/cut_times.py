"""What each cut of a model costs on this device: seconds, bytes, memory."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from edgeray.training.cut import Cut

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutTimes:
    """One cut, a batch: medians of the repeats. Of the whole model (the last cut) all is in the head.

    *_saved_bytes: activations, the batch among them, that the part keeps from its forward for its backward, which is
    its peak of them; parameters, gradients and what an operation needs meanwhile are not in it. The loss and the
    optimizer are not in the seconds. What crosses is in the cut: output_bytes.
    """

    index: int
    head_forward_s: float
    head_backward_s: float
    tail_forward_s: float
    tail_backward_s: float
    head_saved_bytes: int
    tail_saved_bytes: int


def measure_cuts(
    model: nn.Module,
    cuts: Sequence[Cut],
    batch: Tensor,
    repeats: int = 5,
    *,
    clock: Clock = time.perf_counter,
) -> tuple[CutTimes, ...]:
    """Train a copy of the whole model on one batch, repeatedly, and note when forward and backward pass each cut.

    So all cuts are measured in the same steps, and the parts' times add up. Backward runs the operations in
    reverse, so it has passed a cut when it is about to enter an operation before it. One more step goes before, for
    warming up and for the memory. cuts: of one model, as `candidate_cuts` gives them. clock: time.process_time,
    say, under a CPU quota. The whole model must fit into this device's memory.
    """
    if not cuts or repeats < 1:
        raise ValueError(f"{len(cuts)} cuts and {repeats} repeats: expected one of each at least")
    copied = copy.deepcopy(model).train()
    parted = [cut for cut in cuts if not cut.whole]
    positions = [cut.position for cut in parted]
    watch = Watch(clock)
    memory = SavedByCut([*copied.parameters(), *copied.buffers()])
    trace = cuts[0].trace
    with torch.random.fork_rng(devices=[]):
        with trace.watched(copied, positions, memory.passed) as run, memory.noting():
            torch.autograd.backward(run(batch)[0].sum())
        with trace.watched(copied, positions, watch.passed) as run:
            for _ in range(repeats):
                copied.zero_grad(set_to_none=True)
                watch.begin()
                (logits,) = run(batch)
                gradient = torch.ones_like(logits)
                watch.turn()
                torch.autograd.backward(logits, gradient)
                watch.end()
    numbers = {cut.index: number for number, cut in enumerate(parted)}
    return tuple(_times(cut, numbers.get(cut.index), watch.steps, memory) for cut in cuts)


@dataclass(slots=True)
class Step:
    """When a step began, turned from forward to backward, ended, and had updated the weights, and when it passed each
    cut, both ways."""

    began: float
    turned: float = 0.0
    ended: float = 0.0
    updated: float = 0.0
    forth: dict[int, float] = field(default_factory=dict)
    back: dict[int, float] = field(default_factory=dict)

    def parts(self, number: int | None) -> tuple[float, float, float, float]:
        """Forward and backward of the head, then of the tail; a head without anything to train has no backward.

        number: among the cuts that were watched; None: all that ran is the head.
        """
        if number is None:
            return self.turned - self.began, self.ended - self.turned, 0.0, 0.0
        forth, back = self.forth[number], self.back.get(number, self.ended)
        return forth - self.began, self.ended - back, self.turned - forth, back - self.turned


class Watch:
    """Notes when steps pass cuts. `passed` is for Trace.watched."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.steps: list[Step] = []

    def begin(self) -> None:
        self.steps.append(Step(self._clock()))

    def turn(self) -> None:
        """Forward is done, backward comes."""
        self.steps[-1].turned = self._clock()

    def end(self) -> None:
        """Backward is done."""
        self.steps[-1].ended = self._clock()

    def update(self) -> None:
        """The weights are updated."""
        self.steps[-1].updated = self._clock()

    def passed(self, number: int, tensors: Sequence[Tensor]) -> None:
        self.steps[-1].forth[number] = self._clock()
        for tensor in tensors:
            if tensor.requires_grad:
                tensor.register_hook(partial(self._passed_back, number))  # type: ignore[no-untyped-call]

    def _passed_back(self, number: int, _gradient: Tensor) -> None:
        if number not in self.steps[-1].back:
            self.steps[-1].back[number] = self._clock()


class SavedByCut:
    """What autograd keeps, in the order of forward, by storage; parameters and buffers are there anyway."""

    def __init__(self, own: Iterable[Tensor]) -> None:
        self._own = {tensor.untyped_storage().data_ptr() for tensor in own}
        self._kept: list[tuple[int, int]] = []
        self._until: dict[int, int] = {}

    def noting(self) -> AbstractContextManager[Any]:
        """What runs meanwhile is noted."""
        return torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    def passed(self, number: int, _tensors: Sequence[Tensor]) -> None:
        self._until[number] = len(self._kept)

    def head_bytes(self, number: int | None) -> int:
        return sum(dict(self._kept[: None if number is None else self._until[number]]).values())

    def tail_bytes(self, number: int) -> int:
        return sum(dict(self._kept[self._until[number] :]).values())

    @property
    def largest_bytes(self) -> int:
        return max((size for _, size in self._kept), default=0)

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._own:
            self._kept.append((storage.data_ptr(), storage.nbytes()))
        return tensor


def _times(cut: Cut, number: int | None, steps: Sequence[Step], memory: SavedByCut) -> CutTimes:
    """number: among the cuts that were watched; None: the whole model."""
    parts = [step.parts(number) for step in steps]
    seconds = [statistics.median(values) for values in zip(*parts, strict=True)]
    return CutTimes(
        index=cut.index,
        head_forward_s=seconds[0],
        head_backward_s=seconds[1],
        tail_forward_s=seconds[2],
        tail_backward_s=seconds[3],
        head_saved_bytes=memory.head_bytes(number),
        tail_saved_bytes=0 if number is None else memory.tail_bytes(number),
    )
