"""The server of a training run: who takes part, round after round, and what comes of it.

Source: Zhang 2024, thesis, ch. 4, Alg. 5. Each client has its own server half, so that a round equals federated
averaging, bit for bit, wherever the cuts are.
"""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgeray.errors import BadInputError, FlowError
from edgeray.training.aggregate import federated_average
from edgeray.training.channel import Channel
from edgeray.training.checkpoint import (
    Checkpoint,
    check_same_settings,
    load_checkpoint,
    save_checkpoint,
)
from edgeray.training.cut import Split
from edgeray.training.evaluate import accuracy_of
from edgeray.training.halves import HalfMaker
from edgeray.training.messages import Dealt, Loss
from edgeray.training.modes import make_mode
from edgeray.training.optimizers import OptimizerState
from edgeray.training.progress import Member
from edgeray.training.records import ClientRound, RoundRecord
from edgeray.training.round import BatchOrder, Round
from edgeray.training.saved import SavedActivations
from edgeray.training.session import GONE, Heard, Inbox, Session
from edgeray.training.settings import Settings
from edgeray.training.weights import load_weights, part_of, weights_of

TestSet = Callable[[], Iterable[tuple[Tensor, Tensor]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a round is, where not all do the same in it: only these take part, on what they are dealt. settings: of this
    round, of which only the epochs may be others than the run's. within_s: see Round."""

    settings: Settings
    dealt: Mapping[str, Dealt]
    within_s: float


class Server:
    """Trains a model with whoever has joined.

    model: it has the averaged weights after each round. cut_model: a model cut at an index, which may share the
    model's weights. stages_of: the layers after a cut as several modules, for splitpipe-bf; by default one.
    test_set: its batches, anew on each call. order: how clients batch their data; needed where labels are sent once.
    checkpoints: a folder; None: none are kept. scratch: where
    splitpipe-rw keeps its files; None: the system's folder for such. patience_s: see Round. averaging: else each client
    goes on with its own weights, and nobody gets the average. overhear: is told, in the thread of the round, of messages
    that are no part of it, by client and kind, also of the end of what is late; False: it knows no such message.
    """

    def __init__(
        self,
        model: nn.Module,
        cut_model: Callable[[int], Split],
        *,
        loss: Loss,
        settings: Settings,
        mode: str = "run-to-completion",
        stages_of: Callable[[int], Sequence[nn.Module]] | None = None,
        test_set: TestSet | None = None,
        order: BatchOrder | None = None,
        checkpoints: Path | None = None,
        scratch: Path | None = None,
        patience_s: float = 600.0,
        averaging: bool = True,
        overhear: Callable[[str, str, Any], bool] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if settings.labels_once and order is None:
            raise BadInputError(
                "labels are to be sent once, but the server does not know the order of batches\n"
                "  expected: order\n  remedy:   pass it, or send labels with each batch"
            )
        self._model = model
        self._cut_model = cut_model
        self._cuts: dict[int, Split] = {}
        self._settings = settings
        self._saved = SavedActivations()
        self._stages_of = stages_of or self._tail
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if mode == "splitpipe-rw":
            self._folder = tempfile.TemporaryDirectory(prefix="edgeray-halves-", dir=scratch)
        maker = HalfMaker(self._stages_of, loss=loss, settings=settings, saved=self._saved)
        self._mode, self._halves = make_mode(mode, maker, Path(self._folder.name if self._folder else ""))
        self._test_set = test_set
        self._order = order
        self._checkpoints = checkpoints
        self._patience_s = patience_s
        self._averaging = averaging
        self._overhear = overhear
        self._clock = clock
        self._late: set[str] = set()
        self._own: dict[str, dict[str, Tensor]] = {}
        self._inbox: Inbox = Inbox()
        self._lock = threading.Lock()
        self._joining: dict[str, Member] = {}
        self._members: dict[str, Member] = {}
        self._optimizers: dict[str, OptimizerState] = {}
        self._weights = weights_of([model])
        self.rounds_done = 0

    @property
    def clients(self) -> tuple[str, ...]:
        """Who takes part in the next round as things stand, sorted."""
        with self._lock:
            return tuple(sorted({**self._members, **self._joining}))

    @property
    def late(self) -> tuple[str, ...]:
        """Of these, who has not finished what it was given in a round that is over, sorted."""
        with self._lock:
            return tuple(sorted(self._late & (self._members.keys() - self._joining.keys())))

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The averaged weights after the last round, by their names in the model's state_dict."""
        return self._weights

    def join(self, client: str, channel: Channel, cut: int) -> None:
        """A client enters at the next round, in place of a session that it had. From any thread."""
        whole = self._split(cut).tail is None
        member = Member(session=Session(client, channel, self._inbox, self._clock), cut=cut, whole=whole)
        with self._lock:
            before, self._joining[client] = self._joining.get(client), member
        if before is not None:
            before.session.close()

    def move_cut(self, client: str, cut: int) -> None:
        """The client's cut from the next round on. Between rounds only."""
        self._admit()
        member = self._members[client]
        if member.cut != cut:
            member.cut, member.whole, member.remembers = cut, self._split(cut).tail is None, False

    def resume(self) -> None:
        """Go on after the last checkpoint. Raises BadInputError when there is none, or it was another run's."""
        if self._checkpoints is None:
            raise BadInputError("no folder of checkpoints was given\n  remedy:   name that of the run")
        checkpoint = load_checkpoint(self._checkpoints)
        check_same_settings(self._checkpoints, checkpoint.settings, self._settings)
        try:
            load_weights([self._model], checkpoint.weights)
        except FlowError as error:
            raise BadInputError(
                f"{self._checkpoints}: the checkpoint is of another model: {error}\n"
                "  expected: the model that the run began with\n  remedy:   set it back, or start without resuming"
            ) from error
        self._weights = dict(checkpoint.weights)
        self._optimizers = dict(checkpoint.optimizers)
        self.rounds_done = checkpoint.round_number

    def say(self, client: str, kind: str, value: Any) -> None:
        """Say something to a client that is a member, and nothing to others. From any thread."""
        with self._lock:
            member = self._members.get(client)
        if member is not None:
            member.session.say(kind, value)

    def is_here(self, client: str) -> bool:
        """Whether a client is a member, and its channel not known to be broken. From any thread."""
        with self._lock:
            member = self._members.get(client)
        return member is not None and member.session.broken is None

    def hear(self, timeout_s: float) -> None:
        """Between rounds: wait for a word of somebody, such as of who is late, and take it in."""
        with suppress(queue.Empty):
            self._heard(self._inbox.get(timeout=timeout_s))

    def run_round(self, assignment: Assignment | None = None) -> RoundRecord:
        """Train one round with all who have joined, average, evaluate, and keep a checkpoint.

        Raises FlowError when nobody finished it; the run then stands where it stood before.
        """
        self._admit()
        self._saved.restart_peak()
        self._halves.clear()
        with self._lock:
            members = [self._members[client] for client in sorted(self._members.keys() - self._late)]
        if assignment is not None:
            members = [member for member in members if member.client in assignment.dealt]
        running = Round(
            self.rounds_done + 1,
            members,
            weights=self._weights,
            settings=self._settings if assignment is None else assignment.settings,
            mode=self._mode,
            halves=self._halves,
            inbox=self._inbox,
            order=self._order,
            patience_s=self._patience_s,
            clock=self._clock,
            within_s=None if assignment is None else assignment.within_s,
            dealt={} if assignment is None else assignment.dealt,
            overhear=self._heard,
        )
        try:
            running.run(self._head_weights)
        finally:
            for member in members:
                self._mode.drop(member.client)
            with self._lock:
                for member in running.gone:
                    del self._members[member.client]
                self._late.update(member.client for member in running.late)
        return self._conclude(running)

    def _heard(self, heard: Heard) -> bool:
        """A word that is no part of the round: of a client that is late, or that the round does not know."""
        client = heard.session.client
        with self._lock:
            member = self._members.get(client)
        if member is None or member.session is not heard.session:
            return True  # of a session that is over
        if client in self._late and heard.kind in ("finished", GONE):
            with self._lock:
                self._late.discard(client)
                if heard.kind == GONE:
                    del self._members[client]
            if heard.kind == GONE:
                return True
        return self._overhear is not None and self._overhear(client, heard.kind, heard.value)

    def finish(self) -> None:
        """Training is over: send everybody the averaged weights and let them go."""
        self._admit()
        members = tuple(self._members.values())
        for member in members:
            member.session.say("end", self._head_weights(member))
        for member in members:
            member.session.finish(self._patience_s)
        self._members.clear()
        self.close()

    def close(self) -> None:
        """Break off all sessions, and leave no file but the checkpoint."""
        with self._lock:
            sessions = [member.session for member in (*self._members.values(), *self._joining.values())]
            self._members.clear()
            self._joining.clear()
        for session in sessions:
            session.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _conclude(self, running: Round) -> RoundRecord:
        clients = running.records()
        if not clients:
            reasons = "; ".join(f"{client}: {why}" for client, why in sorted(running.dropped.items()))
            raise FlowError(f"no client finished round {running.number}: {reasons or 'none has joined'}")
        if any(one.samples for one in clients):  # else nobody trained, and weights are what they were
            self._weights = {**self._weights, **federated_average(self._results(running, clients))}
        self._optimizers.update(running.optimizers())
        for member in self._members.values():
            member.optimizer = self._optimizers.get(member.client)
            member.remembers = self._settings.keep_optimizer
        seconds_s = self._clock() - running.began_s
        self.rounds_done = running.number
        load_weights([self._model], self._weights)
        accuracy = self._accuracy(clients)
        self._save()
        samples = sum(one.samples for one in clients)
        record = RoundRecord(
            number=running.number,
            clients=clients,
            dropped=dict(running.dropped),
            seconds_s=seconds_s,
            busy_s=running.busy_s,
            peak_activation_bytes=self._saved.peak_bytes,
            peak_half_bytes=self._halves.peak_bytes,
            loss=sum(one.loss * one.samples for one in clients) / max(1, samples),
            samples=samples,
            accuracy=accuracy,
        )
        self._halves.clear()
        for member in running.gone:
            self._halves.drop(member.client)
        return record

    def _results(
        self, running: Round, clients: Sequence[ClientRound]
    ) -> Iterator[tuple[Mapping[str, Tensor], int]]:
        for one, (weights, samples) in zip(clients, running.results(), strict=True):
            if not self._averaging:
                self._own[one.client] = weights
            yield weights, samples

    def _accuracy(self, clients: Sequence[ClientRound]) -> float | None:
        """Of the averaged model; where models are not averaged, the mean of the clients' own, by samples."""
        if self._test_set is None:
            return None
        if self._averaging:
            return accuracy_of(self._model, self._test_set())
        right, samples = 0.0, 0
        for one in clients:
            load_weights([self._model], {**self._weights, **self._own.get(one.client, {})})
            right += one.samples * (accuracy_of(self._model, self._test_set()) or 0.0)
            samples += one.samples
        load_weights([self._model], self._weights)
        return right / samples if samples else None

    def _save(self) -> None:
        if self._checkpoints is not None:
            checkpoint = Checkpoint(
                round_number=self.rounds_done,
                settings=self._settings,
                weights=self._weights,
                optimizers=self._optimizers,
            )
            save_checkpoint(self._checkpoints, checkpoint)

    def _admit(self) -> None:
        """Those who joined become members."""
        with self._lock:
            joining, self._joining = self._joining, {}
        for client, member in joining.items():
            if client in self._members:
                self._members[client].session.close()
                self._late.discard(client)
            member.optimizer = self._optimizers.get(client)
            with self._lock:
                self._members[client] = member

    def _split(self, cut: int) -> Split:
        if cut not in self._cuts:
            self._cuts[cut] = self._cut_model(cut)
        return self._cuts[cut]

    def _tail(self, cut: int) -> Sequence[nn.Module]:
        tail = self._split(cut).tail
        return () if tail is None else (tail,)

    def _head_weights(self, member: Member) -> Mapping[str, Tensor]:
        weights = self._own.get(member.client, self._weights)
        return part_of(weights, [self._split(member.cut).head])
