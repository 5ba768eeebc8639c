"""Reads job files of fog training, `kind: fog-training` with a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeray.spec.fog_form import KIND, FogForm
from edgeray.spec.job_file import find_job_file, job_name
from edgeray.spec.learning import LearningJob, check_no_numbers, learned_of, says_model
from edgeray.spec.validate import validate
from edgeray.spec.yaml_file import Document, read_yaml

_EXPECTED = "a job file: `kind: fog-training`, `model: ...` and `dataset: ...`"


@dataclass(frozen=True, slots=True, kw_only=True)
class FogJob(LearningJob):
    """A job of fog training; it becomes an App on a cluster (`fog_app`)."""

    form: FogForm


def is_fog(path: str | Path) -> bool:
    """Whether a job file, or the job.yaml of a folder, is of fog training with a model; False for what cannot be
    read, and for declared numbers. Raises SpecError for what says so, and is no YAML."""
    return says_model(path, KIND, expected=_EXPECTED)


def load_fog(path: str | Path) -> FogJob:
    """The job of fog training in a file, or in a folder with job.yaml. Runs none of its code.

    Raises SpecError (file:line, what was found, what was expected, the remedy).
    """
    document = read_yaml(find_job_file(Path(path)), expected=_EXPECTED)
    check_no_numbers(document)
    form = validate(document, FogForm)
    _check_together(document, form)
    folder = document.file.absolute().parent
    return FogJob(
        name=job_name(document, form.name),
        file=document.file,
        folder=folder,
        learned=learned_of(document, form, folder),
        places=document.places(),
        form=form,
    )


def _check_together(document: Document, form: FogForm) -> None:
    if form.aggregate > form.intervals:
        raise document.error(
            ("aggregate",),
            f"weights are averaged every {form.aggregate} intervals, and there are {form.intervals}",
            expected=f"1 to {form.intervals}",
            remedy="lower it, or raise `intervals`",
        )
    if form.patience is not None and form.patience <= form.interval:
        raise document.error(
            ("patience",),
            f"a device that is silent for {form.patience:g} s is dropped, and an interval lasts {form.interval:g} s",
            expected="more than an interval",
            remedy="raise it, or leave it out",
        )
    if form.information == "perfect" and form.costs is None:
        raise document.error(
            ("information",),
            "what will come cannot be known: costs are measured as it comes",
            expected="`information: perfect` with declared costs only",
            remedy="declare them (`costs: {process: ..., link: ...}`), or leave it out",
        )
