"""A few real training steps on this device, watched as they pass the places where the model can be cut.

All cuts are measured in the same steps. A device that cannot hold the whole model trains the layers up to the deepest
cut that fits, as its client would.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np
import torch
from torch import Tensor

from edgeray.errors import StageError
from edgeray.training.build import (
    EXAMPLE_SAMPLES,
    cutter,
    dataset_of,
    example_of,
    fill,
    light_model,
    loss_of,
    settings_of,
)
from edgeray.training.cut import Cut, Passed, Run
from edgeray.training.cut_memory import ROOM, ClientMemory, PeakMemory
from edgeray.training.cut_times import Clock, SavedByCut, Step, Watch
from edgeray.training.data import Sample, batch_of
from edgeray.training.draws import Draws
from edgeray.training.optimizers import Optimizer
from edgeray.training.recipe import Recipe

log = logging.getLogger(__name__)

LEAST_STEPS, MOST_STEPS = 2, 15
PIECES = 4
"""A batch is tried in so many pieces, to see what each adds; of batches of fewer samples than twice that nothing is."""
FIRST_SEED = 0
"""Of the random numbers in the first step."""


class _FullError(Exception):
    """No more would fit."""


class Trial:
    """Trains a model on this device, as many of its layers as fit into its memory.

    room_bytes: for the whole process. deepest: the last cut that fits, as far as is known; none behind it is run.
    samples: of a batch. memory: what each cut needs. steps, piece_steps: what was timed of batches and of parts of them.
    """

    def __init__(self, recipe: Recipe, room_bytes: float) -> None:
        """Raises BadInputError where the recipe names what is not there, CannotCutError among them; StageError where not
        even the weights up to the first cut fit."""
        self.settings = settings_of(recipe)
        self.steps: tuple[Step, ...] = ()
        self.piece_steps: tuple[Step, ...] = ()
        self._recipe = recipe
        self._loss = loss_of(recipe)
        self._room_bytes = room_bytes
        self._dataset = dataset_of(recipe, "train")
        self.samples = min(recipe.batch_size, len(self._dataset))
        self._random = np.random.default_rng(recipe.seed)
        example = example_of(recipe, self._dataset)
        self._cutter = cutter(light_model(recipe), example)
        self.model = self._cutter.model
        self.memory = ClientMemory(
            self.model, self.cuts, self.settings, batch_in_examples=self.samples / len(example)
        )
        self.deepest = self._last_that_fits(len(self.cuts) - 1)

    @property
    def cuts(self) -> tuple[Cut, ...]:
        return self._cutter.cuts

    @property
    def whole(self) -> bool:
        """Does all of the model fit?"""
        return self.cuts[self.deepest].whole

    def run(self, clock: Clock, budget_s: float, look: Passed) -> None:
        """Train: one step to warm up, two that are timed, two with a piece of a batch, and more as the budget allows.

        look: called once for each cut that the steps pass, with what crosses it.
        Raises StageError where not even the first cut fits.
        """
        began_s = time.monotonic()
        self._fill()
        self._try_few_samples()
        peak = PeakMemory()
        head = self.cuts[self.deepest].trace.split(self.model, self.cuts[self.deepest].position).head
        optimizer = Optimizer([head], self.settings, None)
        self._warm_up(optimizer, look)
        log.info(
            "a first step, through %d of %d cuts, took %.1f s",
            self.deepest + 1,
            len(self.cuts),
            time.monotonic() - began_s,
        )
        until_s = began_s + budget_s
        self.steps = self._timed(optimizer, clock, until_s, self.samples)
        if self.samples >= 2 * PIECES:
            self.piece_steps = self._timed(optimizer, clock, until_s, self.samples // PIECES)
        log.info(
            "%d training steps were timed, and %d with a part of a batch, %.1f s after the start",
            len(self.steps),
            len(self.piece_steps),
            time.monotonic() - began_s,
        )
        self.memory.settle_working(self.deepest, peak.bytes())

    def _timed(self, optimizer: Optimizer, clock: Clock, until_s: float, samples: int) -> tuple[Step, ...]:
        """Steps with so many samples each, two at least."""
        watch = Watch(clock)
        with self._watched(watch.passed) as run:
            while len(watch.steps) < LEAST_STEPS or (
                len(watch.steps) < MOST_STEPS and time.monotonic() < until_s
            ):
                self._step(run, optimizer, watch, samples)
        return tuple(watch.steps)

    # What fits

    def _last_that_fits(self, index: int) -> int:
        """The last cut up to index that fits, as far as is known. Raises StageError where there is none."""
        while (need_bytes := self.memory.need_bytes(index)) > self._room_bytes:
            if index == 0:
                raise StageError(
                    f"not even the layers up to {self.cuts[0].name} fit: training them takes "
                    f"{need_bytes / 1e6:.0f} MB, {self.memory.base_bytes / 1e6:.0f} MB of it without them\n"
                    f"  expected: {self._room_bytes / 1e6:.0f} MB at most, {ROOM:.0%} of the device's memory\n"
                    "  remedy:   a smaller batch_size, or a device with more memory"
                )
            index -= 1
        return index

    def _fill(self) -> None:
        """Give the layers up to the deepest cut weights to compute with."""
        if self._cutter.light:
            cut = self.cuts[self.deepest]
            fill(cut.trace.state(self.model, cut.position))

    def _try_few_samples(self) -> None:
        """Forward only, and no further than where a whole batch would fit: what is saved grows with the samples."""
        inputs, labels = self.batch(EXAMPLE_SAMPLES)
        times, reached = self.samples / len(inputs), 0
        saved = SavedByCut(self._own())

        def note(index: int, number: int | None) -> None:
            nonlocal reached
            reached = index
            self.memory.saved_bytes[index] = times * saved.head_bytes(number)
            self.memory.working_bytes = 2 * times * saved.largest_bytes
            if self.memory.steps_bytes(index) > self._room_bytes:
                raise _FullError

        def passed(number: int, tensors: Sequence[Tensor]) -> None:
            saved.passed(number, tensors)
            note(number, number)

        with suppress(_FullError), self._watched(passed) as run, saved.noting():
            outputs = run(inputs)
            if self.whole:
                self._loss(outputs[0], labels)
                note(self.deepest, None)
        before, self.deepest = self.deepest, self._last_that_fits(reached)
        self.memory.saved_bytes[self.deepest + 1 :] = [0.0] * (len(self.cuts) - self.deepest - 1)
        if self.deepest < before and self._cutter.light:
            self.model = light_model(self._recipe)  # the layers behind hold memory by now
            self._fill()

    # Steps

    def batch(self, samples: int | None = None) -> Sample:
        """A real batch at random; samples: the recipe's number by default."""
        size = self.samples if samples is None else min(samples, len(self._dataset))
        return batch_of(self._dataset, self._random.choice(len(self._dataset), size, replace=False))

    def _warm_up(self, optimizer: Optimizer, look: Passed) -> None:
        """A step that also tells what is saved, and what crosses."""
        saved = SavedByCut(self._own())

        def passed(number: int, tensors: Sequence[Tensor]) -> None:
            saved.passed(number, tensors)
            look(number, tensors)

        with self._watched(passed) as run, saved.noting(), Draws(FIRST_SEED).drawing():
            self._step(run, optimizer)
        for cut in self.cuts[: self.deepest + 1]:
            self.memory.saved_bytes[cut.index] = saved.head_bytes(None if cut.whole else cut.index)

    def _step(
        self, run: Run, optimizer: Optimizer, watch: Watch | None = None, samples: int | None = None
    ) -> None:
        """What a client does with a batch; with the whole model, the server's loss as well."""
        watch = Watch(time.perf_counter) if watch is None else watch
        watch.begin()
        inputs, labels = self.batch(samples)
        optimizer.clear_gradients()
        outputs = run(inputs)
        ends = [self._loss(outputs[0], labels)] if self.whole else [o for o in outputs if o.requires_grad]
        watch.turn()
        if ends:
            torch.autograd.backward(ends, [torch.ones_like(end) for end in ends])
        watch.end()
        optimizer.step()
        watch.update()

    @contextmanager
    def _watched(self, passed: Passed) -> Iterator[Run]:
        """Runs the layers up to the deepest cut in training mode."""
        cut = self.cuts[self.deepest]
        positions = [one.position for one in self.cuts[: self.deepest + 1] if not one.whole]
        stop = None if cut.whole else cut.position
        with cut.trace.watched(self.model.train(), positions, passed, stop) as run:
            yield run

    def _own(self) -> Iterator[Tensor]:
        yield from self.model.parameters()
        yield from self.model.buffers()
