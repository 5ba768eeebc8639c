"""What a job trains, with what, and how: told to its tasks and to the profiler as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edgeray.training.compress import Compression
from edgeray.training.modes import ModeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """model: "module:factory" of an nn.Module that takes one batch and gives logits. dataset: "module:factory", called
    with "train" or "test" and dataset_args, of a torch Dataset of (input, label). loss: "module:function" of (logits,
    labels), the mean of a batch; None: cross-entropy.

    clients: the devices of all clients, in the order in which the data are shared out. samples: of each.
    classes_per_client: each has samples of so many classes only; None: all alike (IID). test_samples: how many of
    the test set the averaged model is tried on after each round; 0: none. epochs: local ones in a round.
    patience_s: see round.Round; None: by the plan.
    """

    model: str
    model_args: Mapping[str, Any] = field(default_factory=dict)
    dataset: str = "edgeray.training.data:fashion_mnist"
    dataset_args: Mapping[str, Any] = field(default_factory=dict)
    loss: str | None = None
    clients: tuple[str, ...]
    samples: int
    classes_per_client: int | None = None
    test_samples: int = 1000
    rounds: int = 10
    batch_size: int = 32
    epochs: int = 1
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0
    keep_optimizer: bool = False
    compress: Compression | None = None
    seed: int = 0
    server_mode: ModeName = "run-to-completion"
    patience_s: float | None = None

    def as_args(self) -> dict[str, Any]:
        """Plain JSON; `Recipe.of` makes it a recipe again."""
        return {**asdict(self), "clients": list(self.clients)}

    @staticmethod
    def of(args: Mapping[str, Any]) -> Recipe:
        return Recipe(**{**args, "clients": tuple(args["clients"])})
