"""The tasks of a job of split training: the server's code (Serve) and the clients' (Train), over lines between devices.

The model is made, and the places where it can be cut are found, while a stage is loaded; its call trains. Both end when
all rounds are done, or without a word when the stage is stopped. A client that was lost enters again at the next
round; a server that was killed and started again goes on after the last round that it finished.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from edgeray.errors import FlowError, StageError
from edgeray.node.loop import LoopContext
from edgeray.node.once import RESULTS
from edgeray.training.attendance import ABSENCE_S, RETRY_S, Attendance
from edgeray.training.build import (
    build_model,
    compute_on,
    cutter,
    dataset_of,
    example_of,
    light_model,
    loss_of,
    settings_of,
)
from edgeray.training.cut import whole_model
from edgeray.training.data import batch_of, labels_of
from edgeray.training.device_data import DeviceData
from edgeray.training.lines import HELLO, WELCOME, LineChannel
from edgeray.training.recipe import Recipe
from edgeray.training.records import RoundRecord
from edgeray.training.run_files import RunFiles
from edgeray.training.server import Server, TestSet
from edgeray.training.shares import evaluation_set, share_of
from edgeray.training.stages import stages_of
from edgeray.training.worker import Worker
from policies.model import Rounds, TaskId

log = logging.getLogger(__name__)

START_S = 120.0
"""So long the first round waits for clients that have not been heard of."""
TRIES = 5
"""So often in a row a round may end without any client that finished it."""
_LEAST_PATIENCE_S = 60.0
_MISJUDGED = 3.0  # so much longer than predicted a client may take for a single answer


class Serve:
    """Trains the recipe's model with the clients that come, by the plan's cuts; the results are files, see RunFiles.

    resume: a job after whose last checkpoint this one goes on. The call raises BadInputError where it cannot, and
    StageError when no client is there or none finishes a round.
    """

    def __init__(self, *, recipe: Mapping[str, Any], resume: str | None = None) -> None:
        self._recipe = Recipe.of(recipe)
        self._resume = resume
        self._model = build_model(self._recipe)
        self._cutter = cutter(self._model, example_of(self._recipe, dataset_of(self._recipe, "train")))

    def __call__(self, context: LoopContext) -> None:
        rounds, recipe = context.rounds, self._recipe
        if rounds is None:
            raise StageError(f"job {context.job}: its plan says nothing of rounds, so it cannot be trained")
        compute_on(context.cpus)
        files = RunFiles(context.output_dir, context.output_dir / RESULTS, recipe)
        server = self._server(files, rounds)
        cuts = {str(client): cut for client, cut in rounds.cuts.items()}
        serve(context, recipe, server, files, cuts.__getitem__, server.run_round)

    def _server(self, files: RunFiles, rounds: Rounds) -> Server:
        """At its start, or after the last round of the run that it goes on with."""
        recipe, model = self._recipe, self._model
        splits = {cut: self._cutter(cut) for cut in sorted({*rounds.cuts.values()})}
        found = files.begin(model, self._resume)
        pieces = found.settings.micro_batches if found else rounds.micro_batches
        server = Server(
            model,
            splits.__getitem__,
            loss=loss_of(recipe),
            settings=replace(settings_of(recipe), micro_batches=pieces),
            mode=recipe.server_mode,
            stages_of=stages_of(model, self._cutter.cuts) if recipe.server_mode == "splitpipe-bf" else None,
            test_set=test_set_of(recipe),
            checkpoints=files.next,
            scratch=files.scratch,
            patience_s=patience_s_of(recipe, rounds.predicted_s),
        )
        if found is not None:
            server.resume()
            log.info("goes on after round %d", found.round_number)
        return server


def server_of_whole_models(
    recipe: Recipe,
    model: nn.Module,
    files: RunFiles,
    resume: str | None,
    *,
    patience_s: float,
    overhear: Callable[[str, str, Any], bool],
    averaging: bool = True,
) -> Server:
    """A server whose clients have the whole model each, at its start or after the last round of the run that it goes on
    with. Raises BadInputError where it cannot go on."""
    found = files.begin(model, resume)
    server = Server(
        model,
        lambda _: whole_model(model),
        loss=loss_of(recipe),
        settings=settings_of(recipe),
        test_set=test_set_of(recipe),
        checkpoints=files.next,
        patience_s=patience_s,
        averaging=averaging,
        overhear=overhear,
    )
    if found is not None:
        server.resume()
        log.info("goes on after round %d", found.round_number)
    return server


def serve(
    context: LoopContext,
    recipe: Recipe,
    server: Server,
    files: RunFiles,
    cut_of: Callable[[str], int],
    run_round: Callable[[], RoundRecord],
) -> None:
    """Let clients in, train all rounds, and leave the results. cut_of: a client's. run_round: see `train_rounds`."""
    attendance = Attendance(
        context, context.peers, lambda client, channel: server.join(client, channel, cut_of(client))
    )
    attendance.start()
    try:
        if train_rounds(context, recipe, server, attendance, files, run_round):
            files.conclude(context.task, server.weights)
            attendance.close()
            server.finish()
            log.info("all %d rounds are done", recipe.rounds)
    finally:
        attendance.close()
        server.close()


def train_rounds(
    context: LoopContext,
    recipe: Recipe,
    server: Server,
    attendance: Attendance,
    files: RunFiles,
    run_round: Callable[[], RoundRecord],
) -> bool:
    """All rounds that are left, each by run_round, which raises FlowError where nobody finished it. False: the stage is
    stopped."""
    failures = 0
    all_within_s = START_S
    while server.rounds_done < recipe.rounds:
        if not attendance.wait(all_within_s):
            return False
        all_within_s = 0.0
        record = _tried(run_round)
        if context.stop.is_set():
            return False  # clients were cut off in this round: it does not count
        if isinstance(record, str):
            failures += 1
            if failures == TRIES:
                raise StageError(f"{record}, {TRIES} times in a row")
            log.warning("round %d is tried again: %s", server.rounds_done + 1, record)
            continue
        failures = 0
        files.keep(record)
        context.count(record.seconds_s)
        log.info("%s", told(record, recipe.rounds))
    return True


def _tried(run_round: Callable[[], RoundRecord]) -> RoundRecord | str:
    """The next round; why, when nobody finished it."""
    try:
        return run_round()
    except FlowError as error:
        return str(error)


def told(record: RoundRecord, rounds: int) -> str:
    """A round in one line."""
    up_bytes = sum(one.up_bytes for one in record.clients)
    down_bytes = sum(one.down_bytes for one in record.clients)
    accuracy = "" if record.accuracy is None else f", accuracy {record.accuracy:.4f}"
    clients = f"{len(record.clients)} client{'s' if len(record.clients) > 1 else ''}"
    line = (
        f"round {record.number} of {rounds}: loss {record.loss:.4f}{accuracy}, {record.seconds_s:.2f} s, "
        f"{clients}, {up_bytes / 1e6:.2f} MB up, {down_bytes / 1e6:.2f} MB down"
    )
    lost = "; ".join(f"{client} ({why})" for client, why in sorted(record.dropped.items()))
    return f"{line}; without {lost}" if lost else line


def patience_s_of(recipe: Recipe, predicted_s: float) -> float:
    """How long the server waits for a single answer. predicted_s: of a round."""
    if recipe.patience_s is not None:
        return recipe.patience_s
    return max(_LEAST_PATIENCE_S, _MISJUDGED * predicted_s if math.isfinite(predicted_s) else 0.0)


def test_set_of(recipe: Recipe) -> TestSet | None:
    """The batches on which the averaged model is tried; None: on none."""
    if recipe.test_samples == 0:
        return None
    dataset = dataset_of(recipe, "test")
    chosen = evaluation_set(recipe, len(dataset))

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(chosen), recipe.batch_size):
            yield batch_of(dataset, chosen[start : start + recipe.batch_size])

    return batches


class Train:
    """Trains the layers that the server says, on this client's share of the data, until the server says the end.

    The call raises StageError when the server stays away.
    """

    def __init__(self, *, recipe: Mapping[str, Any]) -> None:
        self._recipe = Recipe.of(recipe)
        self._dataset = dataset_of(self._recipe, "train")
        self._cutter = cutter(light_model(self._recipe), example_of(self._recipe, self._dataset))

    def __call__(self, context: LoopContext) -> None:
        compute_on(context.cpus)
        (server,) = context.peers
        data = self._data(context)

        def worker(channel: LineChannel) -> Worker:
            log.info("takes part, with %d samples", data.samples)
            return Worker(context.task, data, self._cutter, channel, loss=loss_of(self._recipe))

        take_part(context, server, worker)

    def _data(self, context: LoopContext) -> DeviceData:
        return DeviceData(
            self._dataset,
            share_of(self._recipe, labels_of(self._dataset), context.device),
            batch_size=self._recipe.batch_size,
            seed=self._recipe.seed,
            device=context.task,
        )


def take_part(context: LoopContext, server: TaskId, worker: Callable[[LineChannel], Worker]) -> None:
    """Until the run is over, or the stage stopped; enter again where the line broke. worker: for a new connection.

    Raises StageError when the server stays away.
    """
    client = _Client(context, server, worker)
    there_s = time.monotonic()
    while not context.stop.is_set():
        try:
            client.take_part(max(0.0, there_s + ABSENCE_S - time.monotonic()))
            return
        except FlowError as error:
            if client.welcomed:
                there_s = time.monotonic()
            elif time.monotonic() - there_s >= ABSENCE_S:
                raise StageError(
                    f"{server} has not been there for {ABSENCE_S:g} s: {error}\n"
                    "  remedy:   see what it logged: edgeray logs"
                ) from error
            log.info("the line to %s is gone: %s", server, error)
        context.stop.wait(RETRY_S)


class _Client:
    """A client of one job. welcomed: whether the server was there when it took part last."""

    def __init__(self, context: LoopContext, server: TaskId, worker: Callable[[LineChannel], Worker]) -> None:
        self.welcomed = False
        self._context = context
        self._server = server
        self._worker = worker

    def take_part(self, within_s: float) -> None:
        """From the opening of a connection to the end of the run. Raises FlowError when it breaks before, or the server
        is not there in time."""
        self.welcomed = False
        channel = LineChannel(self._context.connect(self._server))
        try:
            kind, _ = channel.receive(within_s)
            if kind != WELCOME:
                raise FlowError(f"the server said {kind!r}, expected {WELCOME!r}")
            self.welcomed = True
            channel.send(HELLO, None)
            self._worker(channel).run()
            log.info("the run is over")
        finally:
            channel.close()
