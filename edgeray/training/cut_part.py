"""A stretch of a traced model's operations as a module of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgeray.training.cut import adopt


class GraphPart(nn.Module):
    """Operations of a traced model, with the parameters and buffers that they use, named as in the model."""

    def __init__(self, run: fx.GraphModule, state: Mapping[str, Tensor], persistent: Sequence[str]) -> None:
        super().__init__()
        for path, value in state.items():
            adopt(self, path, value, persistent=path in persistent)
        owners = [(path.rpartition(".")[0], path.rpartition(".")[2]) for path in state]
        self._owners = [(self.get_submodule(module), name) for module, name in owners]
        object.__setattr__(self, "_run", run)  # not as a submodule: it has no state of its own

    def forward(self, *inputs: Tensor) -> Any:
        return self.operations(*inputs, *(getattr(module, name) for module, name in self._owners))

    def train(self, mode: bool = True) -> GraphPart:
        """Raises RuntimeError for evaluation: the trace knows how dropout and batch norm train, and nothing else."""
        if not mode:
            raise RuntimeError("a part of a model cannot be evaluated; load its state into the whole model")
        return self

    @property
    def operations(self) -> fx.GraphModule:
        operations: fx.GraphModule = self.__dict__["_run"]
        return operations


class Stretch:
    """Copies operations into a graph that takes first the inputs, then parameters and buffers.

    new: the copy of each node. Sizes that were computed before the stretch are computed again: only tensors cross a cut.
    """

    def __init__(
        self, inputs: Sequence[fx.Node], state: Sequence[fx.Node], body: Sequence[fx.Node], batch: Any
    ) -> None:
        """batch: the traced batch's symbolic size. Raises LookupError for a size that the inputs do not tell."""
        self.graph = fx.Graph()
        self.new = {node: self.graph.placeholder(node.name) for node in (*inputs, *state)}
        self._inputs, self._batch = inputs, batch
        for node in body:
            self._copy(node)

    def end(self, outputs: Sequence[fx.Node], *, single: bool) -> None:
        """The graph's result: a tuple of tensors, or one tensor."""
        found = tuple(self.new[node] for node in outputs)
        self.graph.output(found[0] if single else found)

    def _copy(self, node: fx.Node) -> fx.Node:
        copied = self.graph.node_copy(node, self._given)
        copied.meta = {}  # shapes and stack traces of tracing: neither copied nor pickled with the part
        self.new[node] = copied
        return copied

    def _given(self, node: fx.Node) -> fx.Node:
        if node in self.new:
            return self.new[node]
        value = value_of(node)
        if node.op == "get_attr":
            return self._copy(node)
        if value is None or isinstance(value, Tensor | tuple | list):
            raise LookupError(node.name)
        if not _same_size(value, self._batch):
            return self._copy(node)  # out of other sizes
        for source in self._inputs:
            for dimension, size in enumerate(value_of(source).shape):
                if _same_size(size, self._batch):
                    again = self.graph.call_function(
                        torch.ops.aten.sym_size.int, (self.new[source], dimension)
                    )
                    self.new[node] = again
                    return again
        raise LookupError(node.name)


def value_of(node: fx.Node) -> Any:
    """What tracing saw there: a tensor without data, or a size; None for what is neither."""
    return node.meta.get("val")


def writes_into(node: fx.Node) -> list[fx.Node]:
    """The inputs that an operation overwrites."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return []
    pairs = zip(node.args, schema.arguments, strict=False)
    return [
        given
        for given, declared in pairs
        if isinstance(given, fx.Node) and declared.alias_info is not None and declared.alias_info.is_write
    ]


def _same_size(size: Any, batch: Any) -> bool:
    return isinstance(size, torch.SymInt) and bool(size.node.expr == batch.node.expr)
