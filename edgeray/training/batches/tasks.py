"""The tasks of a job of batch training: the orchestrator's code (Serve) and the learners' (Learn)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from edgeray.errors import StageError
from edgeray.node.loop import LoopContext
from edgeray.node.once import RESULTS
from edgeray.training.batches.coefficients import Coefficients
from edgeray.training.batches.cycles import Cycles
from edgeray.training.batches.data import DealingChannel, DealtData
from edgeray.training.batches.deal import chosen_samples
from edgeray.training.build import build_model, compute_on, dataset_of, loss_of, settings_of
from edgeray.training.cut import WHOLE, whole_model
from edgeray.training.lines import LineChannel
from edgeray.training.recipe import Recipe
from edgeray.training.run_files import RunFiles
from edgeray.training.tasks import patience_s_of, serve, server_of_whole_models, take_part
from edgeray.training.worker import Worker
from policies.batch.registry import load_batch_policy


class Serve:
    """Trains the recipe's model in cycles with the learners that come; the results are files, see RunFiles.

    cycle: cycle_s, margin and send, see `Cycles`. resume: a job after whose last checkpoint this one goes on. The call
    raises BadInputError where it cannot, and StageError when no learner is there or none finishes a cycle.
    """

    def __init__(
        self, *, recipe: Mapping[str, Any], cycle: Mapping[str, Any], resume: str | None = None
    ) -> None:
        self._recipe = Recipe.of(recipe)
        self._cycle = dict(cycle)
        self._resume = resume
        self._model = build_model(self._recipe)
        self._dataset = dataset_of(self._recipe, "train")

    def __call__(self, context: LoopContext) -> None:
        rounds, recipe = context.rounds, self._recipe
        if rounds is None or rounds.cycle is None:
            raise StageError(f"job {context.job}: its plan says nothing of cycles, so it cannot be trained")
        compute_on(context.cpus)
        files = RunFiles(context.output_dir, context.output_dir / RESULTS, recipe)
        cycles: list[Cycles] = []
        server = server_of_whole_models(
            recipe,
            self._model,
            files,
            self._resume,
            patience_s=patience_s_of(recipe, self._cycle["cycle_s"]),
            overhear=lambda client, kind, value: bool(cycles) and cycles[0].overhear(client, kind, value),
        )
        cycles.append(
            Cycles(
                server,
                Coefficients(rounds.cycle),
                load_batch_policy(context.policy),
                dataset=self._dataset,
                chosen=chosen_samples(recipe, recipe.samples, len(self._dataset)),
                settings=settings_of(recipe),
                stopped=context.stop.is_set,
                **self._cycle,
            )
        )
        serve(context, recipe, server, files, lambda _: WHOLE, cycles[0].run)


class Learn:
    """Trains the whole model on the samples that it is dealt, until the server says the end."""

    def __init__(self, *, recipe: Mapping[str, Any]) -> None:
        self._recipe = Recipe.of(recipe)
        self._model = build_model(self._recipe)

    def __call__(self, context: LoopContext) -> None:
        compute_on(context.cpus)
        (server,) = context.peers
        recipe = self._recipe
        data = DealtData(
            partial(dataset_of, recipe, "train"),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            learner=context.task,
        )

        def worker(channel: LineChannel) -> Worker:
            dealing = DealingChannel(channel, data)
            return Worker(
                context.task, data, lambda _: whole_model(self._model), dealing, loss=loss_of(recipe)
            )

        take_part(context, server, worker)
