"""Reads job files of batch training, `kind: batch-training`, that have a model to train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeray.spec.batch_form import KIND, BatchForm
from edgeray.spec.job_file import find_job_file, job_name
from edgeray.spec.learning import LearningJob, check_no_numbers, learned_of, says_model
from edgeray.spec.validate import validate
from edgeray.spec.yaml_file import Document, read_yaml

_EXPECTED = "a job file: `kind: batch-training`, `model: ...`, `dataset: ...` and `cycle: ...`"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJob(LearningJob):
    """A job of batch training. samples: that are shared out in each cycle."""

    form: BatchForm
    samples: int


def is_batches(path: str | Path) -> bool:
    """Whether a job file, or the job.yaml of a folder, is batch training with a model; see `says_model`."""
    return says_model(path, KIND, expected=_EXPECTED)


def load_batches(path: str | Path) -> BatchJob:
    """The job in a file, or in a folder with job.yaml. Runs none of its code.

    Raises SpecError (file:line, what was found, what was expected, the remedy).
    """
    file = find_job_file(Path(path))
    document = read_yaml(file, expected=_EXPECTED)
    check_no_numbers(document)
    form, folder = validate(document, BatchForm), file.absolute().parent
    learned = learned_of(document, form, folder)
    if form.dataset.classes_per_client is not None:
        raise document.error(
            ("dataset", "classes_per_client"),
            "samples are dealt out anew in each cycle, at random: nobody has some classes only",
            expected="a data set without it",
            remedy="remove it",
        )
    most = None if learned.sizes is None else learned.sizes.train
    return BatchJob(
        name=job_name(document, form.name),
        file=file,
        folder=folder,
        learned=learned,
        places=document.places(),
        form=form,
        samples=_samples(document, form, most),
    )


def _samples(document: Document, form: BatchForm, most: int | None) -> int:
    """most: that the data set has; None: it is one's own."""
    if form.samples is None:
        if most is None:
            raise document.error(
                ("dataset",),
                "nothing says how many samples a cycle has: the data set is your own",
                expected="`samples: ...`, for all learners together",
                remedy="add `samples: 1000`",
            )
        return most
    if most is not None and form.samples > most:
        raise document.error(
            ("samples",),
            f"{form.dataset.name} has {most:,} samples to train on, not {form.samples:,}",
            expected=f"at most {most}",
            remedy="use fewer, or leave `samples` out",
        )
    return form.samples
