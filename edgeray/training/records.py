"""What a round of training came to: measured figures only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRound:
    """One client in one round.

    compute_s: its own work: batches, layers forward and backward, compression, updates. waiting_s: what it waited
    for gradients with nothing to compute. Both by its own clock.
    served_s: the server's work for it. queued_s: while the server had something of it, and worked for others; of a client
    with the whole model, while it waited for data, or for the server's word.
    ended_s: from the start of the round until the client's weights had come. The rest of the round it is idle.
    bytes: payload, weights included. loss: mean over its samples.

    So a round is compute_s + server_s + transfer_s + idle: see the properties.
    """

    client: str
    cut: int
    samples: int
    loss: float
    compute_s: float
    waiting_s: float
    served_s: float
    queued_s: float
    ended_s: float
    up_bytes: int
    down_bytes: int

    @property
    def server_s(self) -> float:
        """Seconds that it waited for the server, the queue there included. With micro-batches the server's time is
        hidden in part behind the client's own, and cannot be told from transfers: then at most what it waited."""
        return min(self.served_s + self.queued_s, self.waiting_s)

    @property
    def transfer_s(self) -> float:
        """Seconds that it spent on transfers, of weights, activations and gradients, and did not compute meanwhile."""
        return max(0.0, self.ended_s - self.compute_s - self.server_s)

    def idle_s(self, round_s: float) -> float:
        """Seconds that it was done before all others were, and their weights averaged."""
        return max(0.0, round_s - self.ended_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """One round. dropped: client -> why. seconds_s: from the first message to the averaged weights; evaluation and
    checkpoint come after it. busy_s: of these, the server computing for clients. peak_activation_bytes: the most
    saved for backward on the server at once. peak_half_bytes: the most weights and optimizer state of clients'
    halves in its memory. loss: mean over the samples of the clients that count. accuracy: of the averaged model on
    the test set; None: there is none; where models are not averaged, the mean of the clients' own, by samples.

    iterations: local ones, where a policy says how many. predicted_s: by client, what it was predicted to take from the
    start of the round until its weights had come; {}: nobody said. movement: by client, what became of the points that
    it collected, and what that cost (`fog.costs.Movement`); {}: none were collected."""

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
    iterations: int | None = None
    predicted_s: Mapping[str, float] = field(default_factory=dict)
    movement: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """All fields, and for each client server_s, transfer_s and idle_s: with compute_s they add up to seconds_s."""
        clients = [
            {
                **asdict(one),
                "server_s": one.server_s,
                "transfer_s": one.transfer_s,
                "idle_s": one.idle_s(self.seconds_s),
            }
            for one in self.clients
        ]
        return {**asdict(self), "clients": clients}

    @staticmethod
    def of(values: Mapping[str, Any]) -> RoundRecord:
        """A record again, from its JSON."""
        names = ClientRound.__dataclass_fields__
        clients = tuple(ClientRound(**{name: one[name] for name in names}) for one in values["clients"])
        return RoundRecord(**{**values, "clients": clients})
