"""What a cut is, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

Passed = Callable[[int, Sequence[Tensor]], None]
"""Called with a cut's number among the watched ones, and the tensors that cross it, as they come into being."""
Run = Callable[[Tensor], tuple[Tensor, ...]]


class Trace(Protocol):
    """How a model's parts are made; one for all cuts of a model, found on an example."""

    def split(self, model: nn.Module, position: int) -> Split: ...

    def stages(self, model: nn.Module, positions: Sequence[int]) -> tuple[nn.Module, ...]:
        """The tail behind the first position, cut again at the others, if such parts can be made, else the tail alone."""
        ...

    def state(self, model: nn.Module, position: int) -> dict[str, Tensor]:
        """What the head's state_dict holds: the model's own tensors, by their names in it."""
        ...

    def watched(
        self, model: nn.Module, positions: Sequence[int], passed: Passed, stop: int | None = None
    ) -> AbstractContextManager[Run]:
        """Runs the model, and says when it passes each of these positions, in their order; its logits come out.

        stop: a position behind which nothing runs; then what crosses there comes out.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A place where a model can be cut in two. The last cut of a model is the whole of it, with nothing on the server.

    index: among the candidates, from the input on. name: the last layer on the device, by its module.
    layers: how many layers with a weight matrix are on the device, as papers count them.
    output_shapes, output_bytes: what crosses forward for the example's batch; as much comes back. Nothing crosses
    the last. head_bytes: parameters and buffers on the device, which it gets and gives back each round.
    head_parameter_bytes: the parameters alone, each of which also has a gradient on the device.
    """

    index: int
    name: str
    layers: int
    output_shapes: tuple[tuple[int, ...], ...]
    output_bytes: int
    head_bytes: int
    head_parameter_bytes: int
    trace: Trace = field(repr=False, compare=False)
    position: int = field(repr=False)  # where that is, in the trace's own count

    @property
    def whole(self) -> bool:
        """Is this the last cut, with the whole model on the device?"""
        return not self.output_shapes


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A model in two parts, which share its parameters and buffers and name them as its state_dict does.

    head(x) is a tuple of tensors, tail(*tensors) are the logits; tail None: the head is the whole model, and its
    tuple holds the logits. Parts are for training: evaluate with the whole model. They can be copied and pickled.
    """

    head: nn.Module
    tail: nn.Module | None

    def state(self) -> dict[str, Tensor]:
        """The state of both parts by the keys of the whole model's state_dict; what forward does not use is absent."""
        state = dict(self.head.state_dict())
        return state if self.tail is None else state | self.tail.state_dict()


def adopt(part: nn.Module, path: str, value: Tensor | nn.Module, *, persistent: bool = True) -> None:
    """Give part this parameter, buffer or module at a dotted path; modules in between are made as needed."""
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in part._modules:
            part.add_module(parent, nn.Module())
        part = part.get_submodule(parent)
    if isinstance(value, nn.Module):
        part.add_module(name, value)
    elif isinstance(value, nn.Parameter):
        part.register_parameter(name, value)
    else:
        part.register_buffer(name, value, persistent=persistent)


def size_bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def arrived(outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What comes out at the other end of a flow: copies in plain memory order, leaves that collect gradients."""
    copies = [o.detach().clone(memory_format=torch.contiguous_format) for o in outputs]
    return tuple(
        copy.requires_grad_(output.requires_grad) for copy, output in zip(copies, outputs, strict=True)
    )


def send_back(outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Backward through a head, from the gradients of its outputs; None: the tail did not need that output."""
    pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if o.requires_grad and g is not None]
    if pairs:
        torch.autograd.backward([o for o, _ in pairs], [g for _, g in pairs])


WHOLE = 0
"""The cut of a model that is never cut."""


def whole_model(model: nn.Module) -> Split:
    """All of it on the client's side of the cut."""
    return Split(head=model, tail=None)
