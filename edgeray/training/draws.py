"""Where a batch's random numbers (dropout's, say) come from: the same ones wherever its layers run.

Each batch has its own seed, from (root seed, round, epoch, client, batch), so that no generator's state outlives
a batch: the root seed and the number of the round are all that a checkpoint needs. The client's layers draw first;
only if they drew is the generator's state sent to the server, whose layers go on from there. A batch that is cut into
pieces has a seed for each: which of them the server works on first does not matter.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_GENERATOR = threading.RLock()  # torch has one generator for the process; clients within one take turns


def batch_seed(seed: int, round_number: int, epoch: int, client: str, batch: int, piece: int = 0) -> int:
    """The seed of one batch, or of a piece of it: 63 bits, the same in any process."""
    part = f"{batch}.{piece}" if piece else f"{batch}"
    text = f"{seed}/{round_number}/{epoch}/{part}/{client}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


class Draws:
    """The random numbers of one batch, as far as they were drawn. start: its seed, or a generator's state."""

    def __init__(self, start: int | Tensor) -> None:
        if isinstance(start, Tensor):
            self.state = start
        else:
            self.state = torch.Generator().manual_seed(start).get_state()
        self.drawn = isinstance(start, Tensor)  # something was drawn since the seed

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """torch's own generator draws from here meanwhile."""
        with _GENERATOR:
            outside = torch.get_rng_state()
            torch.set_rng_state(self.state)
            try:
                yield
            finally:
                state = torch.get_rng_state()
                torch.set_rng_state(outside)
                self.drawn = self.drawn or not torch.equal(state, self.state)
                self.state = state
