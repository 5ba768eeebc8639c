"""What became of the points that a client collected, and what that cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from edgeray.training.fog.settings import Fog
from edgeray.training.messages import IntervalDone


@dataclass(slots=True)
class Movement:
    """Of one client, over some intervals. In points: collected, of which kept, sent and discarded; arrived from others;
    processed: kept and arrived. What is sent while the intervals end is counted when its receiver has it.

    process_cost: of processing points, transfer_cost: of sending them, discard_cost: f times those discarded; in the
    unit of declared costs, else in seconds.
    """

    collected: int = 0
    kept: int = 0
    sent: int = 0
    discarded: int = 0
    arrived: int = 0
    processed: int = 0
    process_cost: float = 0.0
    transfer_cost: float = 0.0
    discard_cost: float = 0.0

    def add(self, client: str, done: IntervalDone, fog: Fog) -> None:
        """One more interval."""
        processed = done.kept + done.arrived
        self.collected += done.collected
        self.kept += done.kept
        self.sent += sum(done.sent.values())
        self.discarded += done.discarded
        self.arrived += done.arrived
        self.processed += processed
        self.discard_cost += fog.discard * done.discarded
        if fog.process is None or fog.link is None:
            self.process_cost += done.process_s
            self.transfer_cost += sum(done.transfer_s.values())
        else:
            self.process_cost += fog.process[client] * processed
            self.transfer_cost += sum(fog.link[client][peer] * points for peer, points in done.sent.items())

    def as_json(self) -> dict[str, float]:
        return asdict(self)
