"""What all kinds of training read of their job files in the same way: the model, the data, how weights are updated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeray.errors import SpecError
from edgeray.spec.app import Code, KeyPath, nearest
from edgeray.spec.built_in import DATASETS, MODELS, BuiltInDataset, dataset_code, model_code
from edgeray.spec.callables import check_code
from edgeray.spec.kinds import document_among
from edgeray.spec.training_form import LearningForm
from edgeray.spec.yaml_file import Document

_TEST_SAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a job trains: the factories of its model and data set, with all arguments. sizes: of a data set that comes
    with EdgeRay. batch_norm: has the model BatchNorm? None: it is one's own, and nobody looked."""

    model: Code
    dataset: Code
    sizes: BuiltInDataset | None
    batch_norm: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningJob:
    """A job that trains a model in rounds in which its policy decides (batch-training, fog-training); it becomes an App
    on a cluster. folder: with the job's own code. places: "file:line" by key path, for messages."""

    name: str
    file: Path
    folder: Path
    learned: Learned
    places: Mapping[KeyPath, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def model(self) -> Code:
        return self.learned.model

    @property
    def dataset(self) -> Code:
        return self.learned.dataset

    def error(self, path: KeyPath, what: str, *, expected: str, remedy: str) -> SpecError:
        """A SpecError that points at path, or at the nearest key above it."""
        return SpecError(nearest(self.places, path, self.file), what, expected=expected, remedy=remedy)


def says_model(path: str | Path, kind: str, *, expected: str) -> bool:
    """Whether a job file, or the job.yaml of a folder, is of this kind, and not declared numbers; False for what cannot
    be read. Raises SpecError for what says so, and is no YAML."""
    document = document_among(path, (kind,), expected=expected)
    return document is not None and ("declared" not in document.value or "model" in document.value)


def check_no_numbers(document: Document) -> None:
    """Raises SpecError where the file has numbers to plan with beside the model."""
    if "declared" in document.value:
        raise document.error(
            ("declared",),
            "the file has both 'declared' and 'model'",
            expected="numbers to plan with, or a model to train",
            remedy="remove one of them",
        )


def learned_of(document: Document, form: LearningForm, folder: Path) -> Learned:
    """The form's model and data set. Raises SpecError for what does not go together, or is not there."""
    own = (("model", "run"), form.model.run), (("dataset", "run"), form.dataset.run), (("loss",), form.loss)
    for path, run in own:
        if run is not None:
            check_code(document, path, run, folder, factory=path != ("loss",))
    if form.optimizer == "adam" and form.momentum:
        raise document.error(
            ("momentum",),
            "adam takes no `momentum`",
            expected="it with `optimizer: sgd` only",
            remedy="remove it, or write `optimizer: sgd`",
        )
    sizes = None if form.dataset.name is None else DATASETS[form.dataset.name]
    if sizes is not None and (form.test_samples or 0) > sizes.test:
        raise document.error(
            ("test_samples",),
            f"{form.dataset.name} has {sizes.test:,} samples to test on, not {form.test_samples:,}",
            expected=f"0 to {sizes.test}",
            remedy="use fewer",
        )
    return Learned(
        model=model_code(document, form.model, form.dataset),
        dataset=dataset_code(document, form.model, form.dataset),
        sizes=sizes,
        batch_norm=None if form.model.name is None else MODELS[form.model.name].batch_norm,
    )


def test_samples_of(form: LearningForm, sizes: BuiltInDataset | None) -> int:
    """How many samples the averaged model is tried on."""
    if form.test_samples is not None:
        return form.test_samples
    return _TEST_SAMPLES if sizes is None else min(_TEST_SAMPLES, sizes.test)
