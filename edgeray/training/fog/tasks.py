"""The tasks of a job of fog training: the server's code (Serve), and that of devices that collect points (Collect)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeray.errors import BadInputError
from edgeray.node.loop import LoopContext
from edgeray.node.once import RESULTS
from edgeray.training.build import build_model, compute_on, dataset_of, loss_of
from edgeray.training.channel import payload_bytes
from edgeray.training.cut import WHOLE, whole_model
from edgeray.training.data import labels_of, packed_samples
from edgeray.training.fog.collected import Collector
from edgeray.training.fog.data import FogData
from edgeray.training.fog.intervals import Intervals
from edgeray.training.fog.mover import LOCAL, Mover
from edgeray.training.fog.points import GOT_WITHIN_S, Exchange
from edgeray.training.fog.settings import Fog
from edgeray.training.lines import LineChannel
from edgeray.training.recipe import Recipe
from edgeray.training.run_files import RunFiles
from edgeray.training.shares import dealt_to
from edgeray.training.tasks import patience_s_of, serve, server_of_whole_models, take_part
from edgeray.training.worker import Worker
from policies.model import TaskId


class Serve:
    """Averages the recipe's model every so many intervals, and says in each what becomes of the points that devices
    collect; the results are files, see RunFiles.

    fog: see `Fog`. resume: a job after whose last checkpoint this one goes on; what was measured before is not known
    then. The call raises BadInputError where it cannot, and StageError when no device is there or none finishes a round.
    """

    def __init__(
        self, *, recipe: Mapping[str, Any], fog: Mapping[str, Any], resume: str | None = None
    ) -> None:
        self._recipe = Recipe.of(recipe)
        self._fog = Fog.of(fog)
        self._resume = resume
        self._model = build_model(self._recipe)
        one = packed_samples(dataset_of(self._recipe, "train"), np.zeros(1, dtype=np.int64))
        self._point_bytes = float(payload_bytes(one))

    def __call__(self, context: LoopContext) -> None:
        compute_on(context.cpus)
        recipe, fog = self._recipe, self._fog
        files = RunFiles(context.output_dir, context.output_dir / RESULTS, recipe)
        heard: list[Intervals] = []
        server = server_of_whole_models(
            recipe,
            self._model,
            files,
            self._resume,
            patience_s=patience_s_of(recipe, fog.interval_s),
            averaging=context.policy != LOCAL,
            overhear=lambda client, kind, value: bool(heard) and heard[0].overhear(client, kind, value),
        )
        heard.append(Intervals(server, self._mover(context), fog))
        serve(context, recipe, server, files, lambda _: WHOLE, heard[0].run)

    def _mover(self, context: LoopContext) -> Mover:
        devices = dict(zip(self._fog.clients, self._recipe.clients, strict=True))
        try:
            return Mover(
                self._fog,
                context.policy,
                point_bytes=self._point_bytes,
                seed=self._recipe.seed,
                devices=devices,
            )
        except ValueError as error:
            raise BadInputError(f"{error}\n  remedy:   name another policy") from error


class Collect:
    """Collects points in each interval, and trains on what it keeps and what others send, until the server says the end.

    The call raises StageError when the server stays away.
    """

    def __init__(self, *, recipe: Mapping[str, Any], fog: Mapping[str, Any], server: str) -> None:
        self._recipe = Recipe.of(recipe)
        self._fog = Fog.of(fog)
        self._server = TaskId(server)
        self._model = build_model(self._recipe)
        self._dataset = dataset_of(self._recipe, "train")

    def __call__(self, context: LoopContext) -> None:
        compute_on(context.cpus)
        patience_s = self._recipe.patience_s
        exchange = Exchange(
            [peer for peer in context.peers if peer != self._server],
            lambda peer: LineChannel(context.connect(TaskId(peer))),
            got_within_s=GOT_WITHIN_S if patience_s is None else min(GOT_WITHIN_S, patience_s / 2),
        )
        data = self._data(context, exchange)

        def worker(channel: LineChannel) -> Worker:
            data.attach(channel)
            return Worker(
                context.task, data, lambda _: whole_model(self._model), channel, loss=loss_of(self._recipe)
            )

        exchange.start()
        try:
            take_part(context, self._server, worker)
        finally:
            exchange.close()

    def _data(self, context: LoopContext, exchange: Exchange) -> FogData:
        recipe, task = self._recipe, context.task
        samples = dealt_to(recipe, labels_of(self._dataset), context.device)
        collector = Collector(samples, self._fog.collect[task], seed=recipe.seed, device=context.device)
        return FogData(
            self._dataset,
            collector,
            exchange,
            self._fog,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            client=task,
        )
