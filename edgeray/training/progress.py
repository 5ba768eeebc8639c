"""Who takes part in a round, and how far each has got in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor

from edgeray.errors import FlowError
from edgeray.training.messages import Finished, Forward
from edgeray.training.optimizers import OptimizerState
from edgeray.training.session import Session


@dataclass(slots=True, kw_only=True, eq=False)
class Member:
    """A client that takes part. whole: it has the whole model. labels: all of its, once it sent them.

    optimizer: its state after the last round that counted, where settings keep it. remembers: the client itself has
    its part of that, for the cut that it has now.
    """

    session: Session
    cut: int
    whole: bool
    labels: Tensor | None = None
    optimizer: OptimizerState | None = None
    remembers: bool = False

    @property
    def client(self) -> str:
        return self.session.client


@dataclass(slots=True)
class Progress:
    """What a member has done in the round so far.

    batch: the one that it is at, as epoch, batch and pieces; of so many samples. due: the labels of pieces to come.
    here: how many pieces the server has of it; since_s: for how long it has had some, of which visit_served_s went into
    them; until_s: when it last had none left.
    """

    member: Member
    sent_bytes: int
    received_bytes: int
    label_batches: Iterator[Tensor] = field(default_factory=lambda: iter(()))
    epoch: int = -1
    batch: tuple[int, int, int] = (-1, -1, 0)
    samples: int = 0
    due: deque[Tensor] = field(default_factory=deque)
    here: int = 0
    since_s: float = 0.0
    until_s: float = 0.0
    visit_served_s: float = 0.0
    served_s: float = 0.0
    queued_s: float = 0.0
    ended_s: float = 0.0
    finished: Finished | None = None
    losses: tuple[float, int] = (0.0, 0)

    def expect(self, first: Forward, labels: Tensor, most: int) -> None:
        """A batch with these labels begins with this piece, one of `most` at most."""
        if not 1 <= first.pieces <= max(1, min(most, len(labels))):
            raise FlowError(f"it cut a batch of {len(labels)} samples into {first.pieces} pieces")
        self.batch, self.samples = (first.epoch, first.batch, first.pieces), len(labels)
        self.due = deque(labels.tensor_split(first.pieces))

    def next_labels(self, sent: Forward) -> Tensor:
        """Those of the piece that came, if it is the next one."""
        number = self.batch[2] - len(self.due)
        if not self.due or (sent.epoch, sent.batch, sent.pieces) != self.batch or sent.piece != number:
            raise FlowError("it sent a piece of a batch that was not due")
        return self.due.popleft()

    def arrived(self, at_s: float) -> None:
        if not self.here:
            # It may have come while the piece before it was served, and have been taken in only afterwards.
            self.since_s, self.visit_served_s = max(at_s, self.until_s), 0.0
        self.here += 1

    def served(self, began_s: float, ended_s: float, *, answered: bool) -> None:
        self.served_s += ended_s - began_s
        self.visit_served_s += ended_s - began_s
        if answered:
            self.here -= 1
            if not self.here:
                self.queued_s += max(0.0, ended_s - self.since_s - self.visit_served_s)
                self.until_s = ended_s
