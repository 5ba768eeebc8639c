"""How many bytes of activations autograd holds for backward passes to come, and the most it held at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


class _Held:
    """A saved tensor; tells when autograd lets go of it."""

    __slots__ = ("_released", "tensor")

    def __init__(self, tensor: Tensor, released: Callable[[Tensor], None]) -> None:
        self.tensor = tensor
        self._released = released

    def __del__(self) -> None:
        self._released(self.tensor)


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

        def pack(tensor: Tensor) -> _Held | Tensor:
            if tensor.untyped_storage().data_ptr() in own:
                return tensor
            self._take(tensor)
            return _Held(tensor.detach(), self._release)  # with its history it would keep itself alive

        with saved_tensors_hooks(pack, _tensor_of):
            yield

    def restart_peak(self) -> None:
        """Count the peak from now on."""
        self.peak_bytes = self.held_bytes

    def _take(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self._holders[storage.data_ptr()] += 1
        if self._holders[storage.data_ptr()] == 1:
            self.held_bytes += storage.nbytes()
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)

    def _release(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self._holders[storage.data_ptr()] -= 1
        if not self._holders[storage.data_ptr()]:
            del self._holders[storage.data_ptr()]
            self.held_bytes -= storage.nbytes()


def _tensor_of(packed: _Held | Tensor) -> Tensor:
    return packed.tensor if isinstance(packed, _Held) else packed
