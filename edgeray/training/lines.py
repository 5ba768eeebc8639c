"""A channel over a line between two devices: tensors travel as they lie in memory, and come back bit for bit.

What comes is checked before anybody works with it. The kinds of messages are those of messages.py, and two before
a client takes part: the server says "welcome" when the line is open, and the client "hello" once it can begin.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edgeray.errors import BadInputError, FlowError
from edgeray.node.lines import Connection
from edgeray.training.compress import Quantized
from edgeray.training.data import Pack
from edgeray.training.messages import (
    Backward,
    Dealt,
    Finished,
    Forward,
    Interval,
    IntervalDone,
    Points,
    RoundStart,
)
from edgeray.training.settings import Settings

WELCOME, HELLO, END = "welcome", "hello", "end"

_VALUES: Mapping[str, type] = {
    WELCOME: NoneType,
    HELLO: NoneType,
    "round": RoundStart,
    "labels": Tensor,
    "forward": Forward,
    "backward": Backward,
    "progress": NoneType,
    "finished": Finished,
    "dealt": Dealt,
    "interval": Interval,
    "interval-done": IntervalDone,
    "points": Points,
    "got": int,
    END: Mapping,
}
_HOLDERS = (
    Mapping, tuple, list, RoundStart, Forward, Backward, Finished, Settings, Quantized, Dealt, Pack, Interval,
    IntervalDone, Points,
)  # fmt: skip
_PLAIN = (NoneType, bool, int, float, str, torch.dtype)


class LineChannel:
    """One end of a channel. gone: set once it is closed or broken; then it stays so."""

    def __init__(self, connection: Connection) -> None:
        self.gone = threading.Event()
        self._connection = connection

    def send(self, kind: str, value: Any) -> None:
        """After "end" nothing more can be sent: this returns when the peer has it."""
        try:
            self._connection.send((kind, packed(value)))
            if kind == END:
                self._connection.finish()
        except FlowError:
            self.gone.set()
            raise

    def receive(self, timeout_s: float | None) -> tuple[str, Any]:
        try:
            kind, value = _checked(self._connection.receive(timeout_s))
        except FlowError:
            self.gone.set()
            raise
        if kind == END:
            with suppress(FlowError):  # the server is gone already: we have what we need
                self._connection.finish()
        return kind, value

    def close(self) -> None:
        self._connection.close()
        self.gone.set()


@dataclass(frozen=True, slots=True)
class PackedTensor:
    """A tensor on its way. dtype: its name in torch. memory: shape (bytes,), its elements in plain order."""

    dtype: str
    shape: tuple[int, ...]
    memory: npt.NDArray[np.uint8]


def packed(value: Any) -> Any:
    """The value with its tensors packed, wherever they are in it. They share memory: write to none until it is sent."""
    if isinstance(value, Tensor):
        memory = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        return PackedTensor(str(value.dtype).removeprefix("torch."), tuple(value.shape), memory)
    return _with(value, packed)


def unpacked(value: Any) -> Any:
    """What was packed again; its tensors have memory of their own. Raises FlowError for what no message holds.

    Copied into torch's own memory, which is aligned: sums over memory that is not may come out in other last bits.
    """
    if isinstance(value, PackedTensor):
        return _tensor(value)
    if isinstance(value, _PLAIN):
        return value
    if not isinstance(value, _HOLDERS):
        raise FlowError(f"a {type(value).__name__} came, which is part of no message")
    return _with(value, unpacked)


def _with(value: Any, change: Any) -> Any:
    """The value with whatever it holds changed."""
    if isinstance(value, Mapping):
        return {key: change(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(change(one) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: change(getattr(value, field.name)) for field in fields(value)})
    return value


def _tensor(sent: PackedTensor) -> Tensor:
    dtype = getattr(torch, sent.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise FlowError(f"a tensor of unknown type {sent.dtype!r} came")
    if math.prod(sent.shape) * dtype.itemsize != sent.memory.nbytes:
        raise FlowError(
            f"a tensor of shape {sent.shape} and type {sent.dtype} came in {sent.memory.nbytes} bytes"
        )
    tensor = torch.empty(sent.shape, dtype=dtype)
    np.copyto(tensor.reshape(-1).view(torch.uint8).numpy(), sent.memory)
    return tensor


def _checked(message: Any) -> tuple[str, Any]:
    """A message as its sender gave it to send. Raises FlowError for anything else."""
    try:
        kind, sent = message
        expected = _VALUES[kind]
        value = unpacked(sent)
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, BadInputError) as error:
        raise FlowError(
            f"what came is no message of a training run: {str(message)[:80]!r}: {error}"
        ) from error
    if not isinstance(value, expected):
        raise FlowError(f"{kind!r} came with a {type(value).__name__}, expected a {expected.__name__}")
    return kind, value
