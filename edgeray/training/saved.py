"""How many bytes of activations autograd holds for backward passes to come, and the most it held at once."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


class _Held:
    """A saved tensor; dies when autograd lets go of it."""

    __slots__ = ("__weakref__", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class SavedActivations:
    """Counts what is saved for backward while counting(), until it is released, each storage once.

    Weights and buffers are not counted: they are there anyway. Of one thread.
    """

    def __init__(self) -> None:
        self.held_bytes = 0
        self.peak_bytes = 0
        self._holders: Counter[int] = Counter()

    @contextmanager
    def counting(self, modules: Iterable[nn.Module]) -> Iterator[None]:
        """What runs meanwhile saves its activations here; modules: whose weights do not count."""
        own = {
            value.untyped_storage().data_ptr()
            for module in modules
            for value in (*module.parameters(), *module.buffers())
        }

        def pack(tensor: Tensor) -> _Held:
            held = _Held(tensor)
            storage = tensor.untyped_storage()
            address, size_bytes = storage.data_ptr(), storage.nbytes()
            if address not in own:
                self._take(address, size_bytes)
                weakref.finalize(held, self._release, address, size_bytes).atexit = False
            return held

        with saved_tensors_hooks(pack, _tensor_of):
            yield

    def restart_peak(self) -> None:
        """Count the peak from now on."""
        self.peak_bytes = self.held_bytes

    def _take(self, address: int, size_bytes: int) -> None:
        self._holders[address] += 1
        if self._holders[address] == 1:
            self.held_bytes += size_bytes
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)

    def _release(self, address: int, size_bytes: int) -> None:
        self._holders[address] -= 1
        if not self._holders[address]:
            del self._holders[address]
            self.held_bytes -= size_bytes


def _tensor_of(held: _Held) -> Tensor:
    return held.tensor
