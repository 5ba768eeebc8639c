"""One round on the server: its side of Algorithm 5, lines 2 to 10, for all clients at once."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from torch import Tensor

from edgeray.errors import FlowError
from edgeray.training.aggregate import State
from edgeray.training.draws import Draws, batch_seed
from edgeray.training.half import Piece
from edgeray.training.halves import Halves
from edgeray.training.messages import Dealt, Finished, Forward, RoundStart
from edgeray.training.modes import Mode
from edgeray.training.optimizers import OptimizerState
from edgeray.training.progress import Member, Progress
from edgeray.training.records import ClientRound
from edgeray.training.session import GONE, Heard, Inbox
from edgeray.training.settings import Settings

BatchOrder = Callable[[str, int, int, int], Iterable[Tensor]]
"""(client, samples, round, epoch) -> the indices of each batch's samples, as the client's data are batched."""
Overhear = Callable[[Heard], bool]


def _nobody_listens(heard: Heard) -> bool:
    return False


class Round:
    """Drives the members from the averaged weights to weights of their own.

    patience_s: a member that owes a message, and from which none has come for so long since it was last told something,
    is dropped (so it has to exceed a batch's seconds, and those of the message on its way), as is one
    whose channel breaks or that says what is not due: none of what it did in this round counts. A member that is lost
    after it finished still counts, and is gone for the next round.
    Where a round has to end by a time, who has not finished by then is late: it counts for nothing in this round either,
    but stays, and goes on with what it does until it says that it has finished.
    dropped: why, by client. gone: of these and those lost afterwards, the members. late: of these, those that stay.
    busy_s: the server computing. began_s: by the clock.
    overhear: is given what is said that is no part of a round, also by members that take no part in this one; False: it
    is no message of theirs.
    """

    def __init__(
        self,
        number: int,
        members: Sequence[Member],
        *,
        weights: State,
        settings: Settings,
        mode: Mode,
        halves: Halves,
        inbox: Inbox,
        order: BatchOrder | None,
        patience_s: float,
        clock: Callable[[], float],
        within_s: float | None = None,
        dealt: Mapping[str, Dealt] = MappingProxyType({}),
        overhear: Overhear = _nobody_listens,
    ) -> None:
        self.number = number
        self.began_s = clock()
        self.dropped: dict[str, str] = {}
        self.gone: list[Member] = []
        self.late: list[Member] = []
        self.busy_s = 0.0
        self._settings = settings
        self._weights = weights
        self._mode = mode
        self._halves = halves
        self._inbox = inbox
        self._order = order
        self._patience_s = patience_s
        self._clock = clock
        self._by_s = float("inf") if within_s is None else self.began_s + within_s
        self._dealt = dealt
        self._overhear = overhear
        self._parts = {
            member.client: Progress(
                member, member.session.channel.sent_bytes, member.session.channel.received_bytes
            )
            for member in members
        }
        self._open = dict(self._parts)  # those that have neither finished nor been dropped

    def run(self, head_weights: Callable[[Member], Mapping[str, Tensor]]) -> None:
        """Train until every member has finished or was dropped. head_weights: those of a member's layers."""
        for part in self._parts.values():
            broken = part.member.session.broken
            if broken is None:
                self._start(part.member, head_weights(part.member))
            else:
                self._drop(part, f"its channel broke: {broken}")
        while self._open:
            self._hear()
            if self._mode.pending:
                self._step()

    def results(self) -> Iterator[tuple[dict[str, Tensor], int]]:
        """The whole model's weights of each member that finished, in the order of members, and its samples."""
        for part in self._parts.values():
            if part.finished is not None:
                tail = {} if part.member.whole else self._halves.trained(part.member.client).weights
                yield {**part.finished.weights, **tail}, part.finished.samples

    def optimizers(self) -> dict[str, OptimizerState]:
        """The optimizer state of each member that finished, where settings keep it."""
        found: dict[str, OptimizerState] = {}
        for client, part in self._parts.items():
            if part.finished is not None and part.finished.optimizer is not None:
                tail = {} if part.member.whole else self._halves.trained(client).optimizer
                found[client] = {**part.finished.optimizer, **tail}
        return found

    def records(self) -> tuple[ClientRound, ...]:
        """What each member that finished came to."""
        return tuple(_record(part) for part in self._parts.values() if part.finished is not None)

    def _start(self, member: Member, head_weights: Mapping[str, Tensor]) -> None:
        if not member.whole:
            self._halves.open(member.client, member.cut, self._weights, member.optimizer)
        optimizer = None
        if member.optimizer is not None and not member.remembers:
            optimizer = {name: state for name, state in member.optimizer.items() if name in head_weights}
        if member.client in self._dealt:
            member.session.say("dealt", self._dealt[member.client])
        start = RoundStart(
            number=self.number,
            cut=member.cut,
            settings=self._settings,
            weights=head_weights,
            optimizer=optimizer,
        )
        member.session.say("round", start)

    def _hear(self) -> None:
        """Take in all messages that have come; wait for one if there is nothing else to do."""
        while self._open:
            try:
                heard = self._inbox.get_nowait()
            except queue.Empty:
                if self._mode.pending:
                    return
                wait_s = min(self._drop_overdue(), self._leave_late())
                if not self._open:
                    return
                try:
                    heard = self._inbox.get(timeout=wait_s)
                except queue.Empty:
                    continue
            part = self._parts.get(heard.session.client)
            if part is None:
                self._overhear(heard)
            elif part.member.session is heard.session:  # not of one dropped before
                self._take(part, heard)

    def _leave_late(self) -> float:
        """Once the round has to end, go on without whoever has not finished; seconds until then."""
        left_s = self._by_s - self._clock()
        if left_s > 0:
            return left_s
        for client, part in tuple(self._open.items()):
            self.dropped[client] = f"it had not finished after {self._by_s - self.began_s:.3g} s"
            self.late.append(part.member)
            del self._open[client]
        return 0.0

    def _drop_overdue(self) -> float:
        """Drop whoever is silent for too long; seconds until the next one may be."""
        now_s, left_s = self._clock(), self._patience_s
        for part in tuple(self._open.values()):
            quiet_since_s = part.member.session.quiet_since_s()
            if not part.here and quiet_since_s is not None:
                part_left_s = quiet_since_s + self._patience_s - now_s
                if part_left_s <= 0:
                    self._drop(part, f"nothing came from it for {self._patience_s:g} s")
                else:
                    left_s = min(left_s, part_left_s)
        return left_s

    def _take(self, part: Progress, heard: Heard) -> None:
        if part.member in self.gone:
            return
        if part.member in self.late:
            self._overhear(heard)
            return
        try:
            if heard.kind == GONE:
                raise FlowError(f"its channel broke: {heard.value}")
            if part.finished is not None:
                raise FlowError(f"it said {heard.kind!r} after it had finished")
            if heard.kind == "labels" and isinstance(heard.value, Tensor):
                part.member.labels = heard.value
            elif heard.kind == "forward" and isinstance(heard.value, Forward) and not part.member.whole:
                self._mode.add(part.member.client, self._piece(part, heard.value))
                part.arrived(heard.at_s)
            elif heard.kind == "finished" and isinstance(heard.value, Finished):
                self._finish(part, heard.value)
                part.ended_s = heard.at_s - self.began_s
            elif heard.kind != "progress" and not self._overhear(heard):
                raise FlowError(f"it said {heard.kind!r}, which was not due")
        except FlowError as error:
            self._drop(part, str(error))

    def _piece(self, part: Progress, sent: Forward) -> Piece:
        if sent.piece == 0:
            if part.here or part.due:
                raise FlowError("it sent a batch before the one before was answered")
            part.expect(sent, self._labels(part, sent), self._settings.micro_batches)
        labels = part.next_labels(sent)
        client = part.member.client
        seed = batch_seed(self._settings.seed, self.number, sent.epoch, client, sent.batch, sent.piece)
        draws = Draws(seed if sent.draws is None else sent.draws)
        return Piece(sent, labels, draws, share=len(labels) / part.samples if sent.pieces > 1 else 1.0)

    def _labels(self, part: Progress, sent: Forward) -> Tensor:
        if sent.labels is not None:
            return sent.labels
        labels = part.member.labels
        if labels is None or self._order is None:
            raise FlowError("it sent a batch without labels")
        if part.epoch != sent.epoch:
            part.epoch = sent.epoch
            part.label_batches = iter(self._order(part.member.client, len(labels), self.number, sent.epoch))
        indices = next(part.label_batches, None)
        if indices is None:
            raise FlowError("it sent more batches than its labels make")
        return labels[indices]

    def _finish(self, part: Progress, finished: Finished) -> None:
        if part.here or part.due:
            raise FlowError("it finished before its last batch was answered")
        whole = part.member.whole
        part.losses = (finished.loss_sum, finished.seen) if whole else self._halves.losses(part.member.client)
        part.finished = finished
        del self._open[part.member.client]

    def _step(self) -> None:
        began_s = self._clock()
        step = self._mode.step()
        ended_s = self._clock()
        part = self._parts[step.client]
        self.busy_s += ended_s - began_s
        part.served(began_s, ended_s, answered=step.answer is not None)
        if step.answer is not None:
            part.member.session.say("backward", step.answer)

    def _drop(self, part: Progress, why: str) -> None:
        if part.finished is None:
            self.dropped[part.member.client] = why
            del self._open[part.member.client]
            self._mode.drop(part.member.client)
            self._halves.drop(part.member.client)
        self.gone.append(part.member)
        part.member.session.close()


def _record(part: Progress) -> ClientRound:
    finished, channel = part.finished, part.member.session.channel
    assert finished is not None
    loss_sum, seen = part.losses
    return ClientRound(
        client=part.member.client,
        cut=part.member.cut,
        samples=finished.samples,
        loss=loss_sum / seen if seen else 0.0,
        compute_s=finished.compute_s,
        waiting_s=finished.waiting_s,
        served_s=part.served_s,
        queued_s=finished.waiting_s if part.member.whole else part.queued_s,
        ended_s=part.ended_s,
        up_bytes=channel.received_bytes - part.received_bytes,
        down_bytes=channel.sent_bytes - part.sent_bytes,
    )
