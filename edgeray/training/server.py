"""The server of a training run: who takes part, round after round, and what comes of it.

Source: Zhang 2024, thesis, ch. 4, Alg. 5. Each client has its own server half, so that a round equals federated
averaging, bit for bit, wherever the cuts are.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

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
from edgeray.training.messages import Loss
from edgeray.training.modes import make_mode
from edgeray.training.optimizers import OptimizerState
from edgeray.training.progress import Member
from edgeray.training.records import RoundRecord
from edgeray.training.round import BatchOrder, Round
from edgeray.training.saved import SavedActivations
from edgeray.training.session import Inbox, Session
from edgeray.training.settings import Settings
from edgeray.training.weights import load_weights, part_of, weights_of

TestSet = Callable[[], Iterable[tuple[Tensor, Tensor]]]


class Server:
    """Trains a model with whoever has joined.

    model: it has the averaged weights after each round. cut_model: a model cut at an index, which may share the
    model's weights. stages_of: the layers after a cut as several modules, for splitpipe-bf; by default one.
    test_set: its batches, anew on each call. order: how clients batch their data; needed where labels are sent once.
    checkpoints: a folder; None: none are kept. scratch: where
    splitpipe-rw keeps its files; None: the system's folder for such. patience_s: see Round.
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
        self._clock = clock
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

    def run_round(self) -> RoundRecord:
        """Train one round with all who have joined, average, evaluate, and keep a checkpoint.

        Raises FlowError when nobody finished it; the run then stands where it stood before.
        """
        self._admit()
        self._saved.restart_peak()
        self._halves.clear()
        members = [self._members[client] for client in sorted(self._members)]
        running = Round(
            self.rounds_done + 1,
            members,
            weights=self._weights,
            settings=self._settings,
            mode=self._mode,
            halves=self._halves,
            inbox=self._inbox,
            order=self._order,
            patience_s=self._patience_s,
            clock=self._clock,
        )
        try:
            running.run(self._head_weights)
        finally:
            for member in members:
                self._mode.drop(member.client)
            for member in running.gone:
                del self._members[member.client]
        return self._conclude(running)

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
        self._weights = {**self._weights, **federated_average(running.results())}
        self._optimizers.update(running.optimizers())
        for member in self._members.values():
            member.optimizer = self._optimizers.get(member.client)
            member.remembers = self._settings.keep_optimizer
        seconds_s = self._clock() - running.began_s
        self.rounds_done = running.number
        load_weights([self._model], self._weights)
        accuracy = accuracy_of(self._model, self._test_set()) if self._test_set else None
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
            loss=sum(one.loss * one.samples for one in clients) / samples,
            samples=samples,
            accuracy=accuracy,
        )
        self._halves.clear()
        for member in running.gone:
            self._halves.drop(member.client)
        return record

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
        return part_of(self._weights, [self._split(member.cut).head])
