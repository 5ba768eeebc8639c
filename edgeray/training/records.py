"""What a round of training came to: measured figures only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRound:
    """One client in one round.

    compute_s: its own layers, forward, backward and update, by its own clock. waiting_s: between activations sent
    and gradients received: transfers, the server's work for it (served_s) and its queue there (queued_s). bytes:
    payload, weights included. loss: mean over its samples.
    """

    client: str
    cut: int
    samples: int
    loss: float
    compute_s: float
    waiting_s: float
    served_s: float
    queued_s: float
    up_bytes: int
    down_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """One round. dropped: client -> why. seconds_s: from the first message to the averaged weights; evaluation and
    checkpoint come after it. busy_s: of these, the server computing for clients. peak_activation_bytes: the most
    saved for backward on the server at once. peak_half_bytes: the most weights and optimizer state of clients'
    halves in its memory. loss: mean over the samples of the clients that count. accuracy: of the averaged model on
    the test set; None: there is none."""

    number: int
    clients: tuple[ClientRound, ...]
    dropped: Mapping[str, str]
    seconds_s: float
    busy_s: float
    peak_activation_bytes: int
    peak_half_bytes: int
    loss: float
    samples: int
    accuracy: float | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
