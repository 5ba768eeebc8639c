"""A job of batch training on the devices of a cluster: one task for the server, and one for each learner."""

from __future__ import annotations

import math
from typing import Any

from edgeray.spec.app import App, Cluster, Code
from edgeray.spec.batch_form import KIND
from edgeray.spec.batch_job import BatchJob
from edgeray.spec.learning import test_samples_of
from edgeray.spec.learning_app import learning_app, learning_devices
from edgeray.spec.named_devices import Place
from edgeray.spec.training_app import imported_from
from policies.model import Cycles, Network, TaskId

INDEX_BYTES = 8
"""Of a sample, what says which it is; its label has as many."""
_FLOAT_BYTES = 4


def batch_app(job: BatchJob, cluster: Cluster | Network, *, resume: str | None = None) -> App:
    """The job's App: the task "server", and a task "learner-DEVICE" for each learner, pinned to their devices.

    resume: a job of the same folder whose checkpoints it goes on after. Raises SpecError for devices that are not there,
    and for no learners.
    """
    from edgeray.training.recipe import Recipe

    form, learned = job.form, job.learned
    place = Place.of(cluster, job.error)
    devices = learning_devices(job, place, "learners", "the learner", form.learners, form.server)
    recipe = Recipe(
        model=learned.model.run,
        model_args=learned.model.args,
        dataset=learned.dataset.run,
        dataset_args=learned.dataset.args,
        loss=form.loss,
        clients=devices.others,
        samples=job.samples,
        test_samples=test_samples_of(form, learned.sizes),
        rounds=form.cycles,
        batch_size=form.batch_size,
        optimizer=form.optimizer,
        learning_rate=form.learning_rate,
        momentum=form.momentum,
        weight_decay=form.weight_decay,
        seed=form.seed,
        patience_s=form.patience,
    )
    cycle = {"cycle_s": form.cycle, "margin": form.margin, "send": form.data == "server"}
    learners = {TaskId(f"learner-{device}"): device for device in devices.others}
    return learning_app(
        job,
        server=devices.server,
        clients=learners,
        rounds=form.cycles,
        kind=KIND,
        mode="batches",
        serve=Code(
            run="edgeray.training.batches.tasks:Serve",
            args={"recipe": recipe.as_args(), "cycle": cycle, "resume": resume},
        ),
        client=Code(run="edgeray.training.batches.tasks:Learn", args={"recipe": recipe.as_args()}),
        cycles=Cycles(
            cycle_s=form.cycle,
            samples=job.samples,
            sample_bytes=float(_sample_bytes(job)),
            batch_size=form.batch_size,
            margin=form.margin,
        ),
        needs_profile=True,
    )


def _sample_bytes(job: BatchJob) -> int:
    """On the wire: which it is; and where the server has the data, a byte a pixel, and its label."""
    if job.form.data == "learners":
        return INDEX_BYTES
    sizes = job.learned.sizes
    if sizes is not None:
        padded: Any = job.learned.dataset.args.get("padded_to") or sizes.side
        return 2 * INDEX_BYTES + sizes.channels * int(padded) ** 2
    return 2 * INDEX_BYTES + _FLOAT_BYTES * math.prod(_own_shape(job))


def _own_shape(job: BatchJob) -> tuple[int, ...]:
    """Of an input of one's own data set, which is made for that; of one that cannot be made here nothing is known, and
    the first cycle will tell."""
    from edgeray.training.build import named

    with imported_from(job.folder):
        try:
            inputs, _ = named(job.dataset.run)("train", **job.dataset.args)[0]
            return tuple(int(side) for side in inputs.shape)
        except (
            Exception
        ):  # whatever somebody's code raises: the profiler will say it, on the devices that matter
            return (0,)
