"""Does a cut model train as the whole one does? To the last bit, or the cut is refused."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgeray.errors import CannotCutError
from edgeray.training.cut import Cut, Split, arrived, send_back

_Step = Mapping[str, Tensor | None]


def self_test(model: nn.Module, cut: Cut, batch: Tensor) -> None:
    """Raises CannotCutError unless a step in two parts equals one in a whole, bit for bit.

    Compared are the logits, the gradient of every parameter and every buffer afterwards (batch norm's running
    statistics), in training mode, with what crosses the cut copied as a flow would. Both steps start from the same
    state of torch's generator, from which dropout draws: first the head, then the tail, as in the whole model. On two
    machines the tail has to be handed that state, else the parts draw other, equally random numbers.
    Works on copies: the model stays as it is, and so does the generator.
    """
    where = f"{type(model).__name__} cannot be cut behind {cut.name}"
    expected = _tried(f"{where}: without a cut, it", model, None, batch)
    found = _tried(f"{where}: in two parts, it", model, cut, batch)
    for what, value in expected.items():
        difference = _difference(value, found[what])
        if difference is not None:
            raise CannotCutError(
                f"{where}: {what} {difference}\n  expected: the same bits as without a cut\n"
                "  remedy:   cut elsewhere; forward may use no random numbers but torch's, and keep no counts of its own"
            )


def _tried(what: str, model: nn.Module, cut: Cut | None, batch: Tensor) -> _Step:
    try:
        return _step(model, cut, batch)
    except Exception as error:  # somebody's code, on somebody's batch
        raise CannotCutError(f"{what} fails with {type(error).__name__}: {error}") from error


def _step(model: nn.Module, cut: Cut | None, batch: Tensor) -> _Step:
    """Forward and backward of a copy, from random gradients of the logits."""
    copied = copy.deepcopy(model).train()
    copied.zero_grad(set_to_none=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        logits = (
            _whole(copied, batch) if cut is None else _in_two(cut.trace.split(copied, cut.position), batch)
        )
    outcome: dict[str, Tensor | None] = {"the output": logits}
    outcome |= {f"the gradient of {name}": weight.grad for name, weight in copied.named_parameters()}
    return outcome | {f"the buffer {name}": buffer for name, buffer in copied.named_buffers()}


def _whole(model: nn.Module, batch: Tensor) -> Tensor:
    logits: Tensor = model(batch)
    torch.autograd.backward(logits, _gradients(logits))
    return logits.detach()


def _in_two(split: Split, batch: Tensor) -> Tensor:
    outputs = split.head(batch)
    if split.tail is None:
        (logits,) = outputs
        torch.autograd.backward(logits, _gradients(logits))
        return logits.detach()  # type: ignore[no-any-return]
    received = arrived(outputs)
    logits = split.tail(*received)
    torch.autograd.backward(logits, _gradients(logits))
    send_back(outputs, [tensor.grad for tensor in received])
    return logits.detach()  # type: ignore[no-any-return]


def _gradients(logits: Tensor) -> Tensor:
    return torch.randn(logits.shape, generator=torch.Generator().manual_seed(1), dtype=logits.dtype)


def _difference(expected: Tensor | None, found: Tensor | None) -> str | None:
    """How two tensors differ, None if they hold the same bits."""
    if expected is None or found is None:
        return (
            None if expected is found else f"is {'missing' if found is None else 'there, and should not be'}"
        )
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return f"has shape {tuple(found.shape)} and not {tuple(expected.shape)}"
    if torch.equal(_bits(expected), _bits(found)):
        return None
    apart = (expected.double() - found.double()).abs()
    return f"differs in {int((apart != 0).sum())} of {apart.numel()} numbers, by {float(apart.max()):.2g} at most"


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)
