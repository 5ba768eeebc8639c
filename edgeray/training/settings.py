"""How a model is trained: what the server tells the clients, and what must not change when a run resumes."""

from __future__ import annotations

from dataclasses import dataclass

from edgeray.errors import BadInputError
from edgeray.training.compress import Compression


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """epochs: local ones in a round. keep_optimizer: momentum and the like live on from round to round for each
    client, and its part goes up with the weights; else each round starts afresh, as FedAvg does. labels_once: a
    client sends all its labels when it joins instead of each batch's with the activations. micro_batches: pieces
    that a batch is cut into where a client has a part of the model, so that computing and sending overlap; the
    weights are still updated once a batch, by the gradient of its mean loss. BatchNorm then sees pieces."""

    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0
    epochs: int = 1
    seed: int = 0
    keep_optimizer: bool = False
    labels_once: bool = False
    compress: Compression | None = None
    micro_batches: int = 1

    def __post_init__(self) -> None:
        if self.micro_batches < 1:
            raise BadInputError(
                f"a batch cannot be cut into {self.micro_batches} pieces\n  expected: 1 or more\n"
                "  remedy:   set micro_batches to 1, for whole batches"
            )
