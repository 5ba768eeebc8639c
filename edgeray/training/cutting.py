"""Where a model can be cut in two, and its two parts.

Any `nn.Module` that takes one batch and returns logits: cuts are found by torch.export, which sees every operation,
also inside of a residual block. What it cannot trace, control flow that depends on data say, is cut at the
boundaries of its modules. Before a cut is used for training, `self_test` has to pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from edgeray.errors import CannotCutError
from edgeray.training.cut import Cut, Split, Trace, arrived, send_back
from edgeray.training.cut_graph import GraphTrace
from edgeray.training.cut_modules import ModuleTrace
from edgeray.training.cut_times import CutTimes, measure_cuts
from edgeray.training.self_test import self_test

__all__ = [
    "Cut",
    "CutTimes",
    "Split",
    "arrived",
    "candidate_cuts",
    "measure_cuts",
    "pareto",
    "self_test",
    "send_back",
    "split",
]


def candidate_cuts(model: nn.Module, example: Tensor, *, run: bool = True) -> tuple[Cut, ...]:
    """The cuts of a model, from the input on; the last one is the whole model. The model stays as it is.

    Between layers, where at most two tensors cross, nothing of the state_dict is needed on both sides, and the raw
    input is no longer needed. The same model and example give the same cuts in any process.
    example: one batch of two samples or more; batches of other sizes can be trained. run: the model may be run to find
    its cuts; if not, as with weights that mean nothing, one that cannot be traced cannot be cut.
    Raises CannotCutError, which says why, where there is no cut but the whole model.
    """
    if example.dim() == 0 or len(example) < 2:
        raise CannotCutError(
            f"the example has shape {tuple(example.shape)}\n  expected: a batch of two samples or more"
        )
    with _training(model):
        cuts, reasons = _found(model, example, run)
    if len(cuts) < 2:
        why = "\n  because:  ".join(reasons or ["it has one layer with a weight matrix"])
        raise CannotCutError(
            f"{type(model).__name__} cannot be cut\n  because:  {why}\n"
            "  remedy:   train it whole on the devices, or write it as an nn.Sequential of its layers"
        )
    return cuts


def split(model: nn.Module, cut: Cut) -> Split:
    """The model's head and tail. They share the model's parameters and buffers: copy the model to train apart.

    model: the one that the cut was found on, or another of the same architecture.
    """
    return cut.trace.split(model, cut.position)


def pareto(cuts: Sequence[Cut], costs: npt.ArrayLike) -> tuple[Cut, ...]:
    """The cuts that no other beats: another is as good in all costs and better in one, or as good and before it.

    costs: shape (cuts, kinds), the less the better: seconds on the device, seconds on the server, bytes.
    """
    table = np.asarray(costs, dtype=float)
    if table.ndim != 2 or len(table) != len(cuts):
        raise ValueError(f"costs have shape {table.shape}, expected ({len(cuts)}, kinds)")
    kept = []
    for number, cut in enumerate(cuts):
        no_worse = (table <= table[number]).all(axis=1)
        better = (table < table[number]).any(axis=1)
        if not (no_worse & (better | (np.arange(len(cuts)) < number))).any():
            kept.append(cut)
    return tuple(kept)


def _found(model: nn.Module, example: Tensor, run: bool) -> tuple[tuple[Cut, ...], list[str]]:
    trace: Trace
    try:
        trace = GraphTrace(model, example)
    except CannotCutError:
        raise
    except Exception as error:  # whatever the tracer stumbles over in somebody's code
        untraced = f"torch.export cannot trace it: {str(error).strip().partition(chr(10))[0]}"
        if not run:
            return (), [untraced]
        trace = ModuleTrace(model, example)
        cuts, reasons = trace.cuts(model)
        cuts, failures = _tested(model, cuts, example)
        reasons = [untraced, *reasons, *failures]
    else:
        cuts, reasons = trace.cuts(model)
    return tuple(replace(cut, index=index) for index, cut in enumerate(cuts)), reasons


def _tested(model: nn.Module, cuts: Sequence[Cut], example: Tensor) -> tuple[list[Cut], list[str]]:
    """The cuts that pass the self-test: module boundaries do not show what else forward does."""
    passed, failures = [], []
    for cut in cuts:
        try:
            self_test(model, cut, example)
            passed.append(cut)
        except CannotCutError as error:
            failures.append(str(error).partition("\n")[0])
    return passed, failures


@contextmanager
def _training(model: nn.Module) -> Iterator[None]:
    """Training mode, and afterwards what each module was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
