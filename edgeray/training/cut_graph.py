"""Cuts of a model that torch.export can trace: between any two layers, inside of modules as well."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from itertools import pairwise
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgeray.errors import CannotCutError
from edgeray.training.cut import Cut, Passed, Run, Split, size_bytes
from edgeray.training.cut_part import GraphPart, Stretch, value_of, writes_into

MOST_TENSORS = 2
"""So many tensors may cross a cut: inside of a residual block there are two, the main path and the skip."""


class GraphTrace:
    """A model's operations in the order of execution. Holds none of its parameters.

    A position p cuts before operation p; the last one is behind all. A layer begins at an operation with a
    parameter of two dimensions or more: what has none, or only scales and shifts, belongs to the layer before.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        """Raises CannotCutError where the model does not return one tensor; any error where torch.export fails."""
        batch = {0: torch.export.Dim.AUTO}
        with _quiet():
            exported = torch.export.export(model, (example,), dynamic_shapes=(batch,), strict=False)
        nodes, module = _nodes(exported)
        if not exported.call_spec.out_spec.is_leaf():
            raise CannotCutError(f"{type(model).__name__} does not return one tensor\n  expected: logits")
        (self._input,) = [node for node in nodes if node.op == "placeholder"]
        (self._result,) = nodes[-1].all_input_nodes
        self._batch, self._example = value_of(self._input).shape[0], len(example)
        if isinstance(self._batch, int):
            raise ValueError(f"the trace is good for batches of {self._batch} only")
        self._body = [node for node in nodes if node.op not in ("placeholder", "get_attr", "output")]
        self._end = len(self._body)
        self._at = {node: position for position, node in enumerate(self._body)}
        self._at |= {self._input: -1, nodes[-1]: self._end}
        self._attributes = [node for node in nodes if node.op == "get_attr" and node.users]
        own = _state(model)
        self._constants = {
            _path(node): attrgetter(_path(node))(module)
            for node in self._attributes
            if _path(node) not in own
        }

    def cuts(self, model: nn.Module) -> tuple[list[Cut], list[str]]:
        """The cuts between layers, the whole model as the last one; and why there is none at other places."""
        matrices = {name for name, value in _parameters(model).items() if value.dim() > 1}
        layers = sorted(
            (self._at[user], _path(node))
            for node in self._attributes
            if _path(node) in matrices
            for user in node.users
        )
        starts = sorted({position for position, _ in layers})
        found: list[Cut] = []
        reasons = []
        for position in [*starts[1:], self._end]:
            reason = self._refusal(model, position)
            if reason is not None:
                reasons.append(reason)
                continue
            done = [name for at, name in layers if at < position]
            name = done[-1].rpartition(".")[0] or done[-1] if done else type(model).__name__
            found.append(self._cut(model, position, len(found), name, sum(at < position for at in starts)))
        return found, reasons

    def split(self, model: nn.Module, position: int) -> Split:
        """The parts before and behind a position; they share the model's parameters."""
        head, _ = self._part(model, 0, position)
        tail = None if position == self._end else self._part(model, position, self._end)[0]
        return Split(head=head, tail=tail)

    def stages(self, model: nn.Module, positions: Sequence[int]) -> tuple[nn.Module, ...]:
        """From each position to the next; only the last gives logits, the others tuples of tensors."""
        return tuple(self._part(model, *ends)[0] for ends in pairwise((*positions, self._end)))

    def state(self, model: nn.Module, position: int) -> dict[str, Tensor]:
        state = model.state_dict(keep_vars=True)
        used = [n for n in self._attributes if any(self._at[user] < position for user in n.users)]
        return {_path(node): state[_path(node)] for node in used if _path(node) in state}

    @contextmanager
    def watched(
        self, model: nn.Module, positions: Sequence[int], passed: Passed, stop: int | None = None
    ) -> Iterator[Run]:
        stop = self._end if stop is None else stop
        part, stretch = self._part(model, 0, stop)
        graph = part.operations.graph
        result = next(iter(reversed(graph.nodes)))
        for number, position in enumerate(positions):
            crossing = [stretch.new[node] for node in self._crossing(position)]
            behind = result if position == stop else stretch.new[self._body[position]]
            with graph.inserting_before(behind):
                graph.call_function(passed, (number, crossing))
        part.operations.recompile()
        yield part

    def _part(self, model: nn.Module, start: int, stop: int) -> tuple[GraphPart, Stretch]:
        """Operations start to stop; a tuple comes out, of a tail the logits."""
        state = _state(model) | self._constants
        used = [node for node in self._attributes if any(start <= self._at[u] < stop for u in node.users)]
        tensors = [node for node in used if isinstance(state[_path(node)], Tensor)]
        inputs = self._crossing(start) if start else [self._input]
        stretch = Stretch(inputs, tensors, self._body[start:stop], self._batch)
        outputs = [self._result] if stop == self._end else self._crossing(stop)
        stretch.end(outputs, single=start > 0 and stop == self._end)
        others = {_path(node): state[_path(node)] for node in used if node not in tensors}
        run = fx.GraphModule(others, stretch.graph)
        persistent = model.state_dict(keep_vars=True).keys()
        return GraphPart(run, {_path(n): state[_path(n)] for n in tensors}, tuple(persistent)), stretch

    def _crossing(self, position: int) -> list[fx.Node]:
        """What operations behind a position need of those before it, sizes left out."""
        return [n for n in self._needed(position) if isinstance(value_of(n), Tensor | tuple | list)]

    def _needed(self, position: int) -> list[fx.Node]:
        if position == self._end:
            return []
        before = [self._input, *self._body[:position]]
        return [node for node in before if any(self._at[user] >= position for user in node.users)]

    def _refusal(self, model: nn.Module, position: int) -> str | None:
        if position == self._end:
            return None
        crossing = self._crossing(position)
        where = f"before {self._body[position].name}"
        if self._input in crossing:
            return f"{where} the model's input is still needed, and raw data stays on the device"
        if len(crossing) > MOST_TENSORS or not all(isinstance(value_of(n), Tensor) for n in crossing):
            return f"{where} more than {MOST_TENSORS} tensors are in use"
        if any(written in crossing for node in self._body[position:] for written in writes_into(node)):
            return f"{where} there is a tensor that is later overwritten in place"
        shared = self._on_both_sides(model, position)
        if shared is not None:
            return f"{where} {shared} has been used, and is used again behind"
        if crossing != self._needed(position):
            try:
                Stretch(crossing, self._attributes, self._body[position:], self._batch)
            except LookupError as error:
                return f"{where} the size {error} is in use, and the tensors there do not tell it"
        return None

    def _on_both_sides(self, model: nn.Module, position: int) -> str | None:
        """A part of the state_dict, under whatever name, that both parts would use and change."""
        state = model.state_dict(keep_vars=True)
        before: dict[int, str] = {}
        behind: dict[int, str] = {}
        for node in self._attributes:
            for user in node.users:
                if _path(node) in state:
                    side = before if self._at[user] < position else behind
                    side[id(state[_path(node)])] = _path(node)
        return next((name for key, name in before.items() if key in behind), None)

    def _cut(self, model: nn.Module, position: int, index: int, name: str, layers: int) -> Cut:
        crossing = [value_of(node) for node in self._crossing(position)]
        shapes = tuple(tuple(self._number(size) for size in value.shape) for value in crossing)
        items = zip(shapes, crossing, strict=True)
        used = [n for n in self._attributes if any(self._at[user] < position for user in n.users)]
        state, parameters = model.state_dict(keep_vars=True), _parameters(model)
        own = {id(state[_path(node)]): node for node in used if _path(node) in state}  # tied ones once
        return Cut(
            index=index,
            name=name,
            layers=layers,
            output_shapes=shapes,
            output_bytes=sum(torch.Size(shape).numel() * value.element_size() for shape, value in items),
            head_bytes=size_bytes([state[_path(node)] for node in own.values()]),
            head_parameter_bytes=size_bytes(
                [state[_path(node)] for node in own.values() if _path(node) in parameters]
            ),
            trace=self,
            position=position,
        )

    def _number(self, size: Any) -> int:
        """A size for the example's batch."""
        if isinstance(size, int):
            return size
        return int(size.node.expr.subs({self._batch.node.expr: self._example}))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the pages that torch.export writes when it gives up: why it did is in its error."""
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    handlers = {h for logger in loggers if logger.name.startswith("torch") for h in logger.handlers}
    for handler in handlers:
        handler.addFilter(_nothing)
    try:
        with redirect_stderr(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(_nothing)


def _nothing(_record: logging.LogRecord) -> bool:
    return False


def _nodes(exported: torch.export.ExportedProgram) -> tuple[list[fx.Node], nn.Module]:
    module: Any = exported.module(check_guards=False)
    return list(module.graph.nodes), module


def _path(attribute: fx.Node) -> str:
    return str(attribute.target)


def _parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    return dict(model.named_parameters(remove_duplicate=False))


def _state(model: nn.Module) -> dict[str, Any]:
    return {**_parameters(model), **dict(model.named_buffers(remove_duplicate=False))}
