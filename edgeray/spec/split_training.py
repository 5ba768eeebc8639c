"""Reads job files of split training, `kind: split-training`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from edgeray.errors import SpecError
from edgeray.spec.app import KeyPath, nearest
from edgeray.spec.job_file import find_job_file, job_name
from edgeray.spec.kinds import kind_among
from edgeray.spec.learning import Learned, learned_of
from edgeray.spec.tables import Floats, Tables
from edgeray.spec.training_form import KIND, DeclaredForm, DeclaredJobForm, PartsForm, TrainingForm
from edgeray.spec.units import BITS, BITS_PER_S, BYTES, VIRTUAL_SECONDS, Quantity
from edgeray.spec.validate import validate
from edgeray.spec.words import listed
from edgeray.spec.yaml_file import Document, read_yaml
from policies.partition.instance import Parts, SplitInstance, split_instance

_EXPECTED = "a job file: `kind: split-training`, `model: ...` and `dataset: ...`"
_CAPS = replace(BITS_PER_S, zero=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained(Learned):
    """What a job trains, and how, as its file says (form); who the clients are is said by a cluster."""

    form: TrainingForm


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitJob:
    """A job of split training. It has either numbers of a round (declared), and can be planned only, or a model to
    train (trained), and becomes an App on a cluster (`training_app`).

    folder: with the job's own code. places: "file:line" by key path, for messages.
    """

    name: str
    file: Path
    folder: Path
    declared: SplitInstance | None = None
    trained: Trained | None = None
    places: Mapping[KeyPath, str] = field(default_factory=dict, repr=False, compare=False)

    def error(self, path: KeyPath, what: str, *, expected: str, remedy: str) -> SpecError:
        """A SpecError that points at path, or at the nearest key above it."""
        return SpecError(nearest(self.places, path, self.file), what, expected=expected, remedy=remedy)


def is_split_training(path: str | Path) -> bool:
    """Whether a job file, or the job.yaml of a folder, says so; False for what cannot be read."""
    return kind_among(path, (KIND,), expected=_EXPECTED) is not None


def load_split_training(path: str | Path) -> SplitJob:
    """The job of split training in a file, or in a folder with job.yaml. Runs none of its code.

    Raises SpecError (file:line, what was found, what was expected, the remedy).
    """
    file = find_job_file(Path(path))
    document = read_yaml(file, expected=_EXPECTED)
    folder = file.absolute().parent
    _check_what(document)
    if "declared" in document.value:
        declared = validate(document, DeclaredJobForm)
        return SplitJob(
            name=job_name(document, declared.name),
            file=file,
            folder=folder,
            declared=_declared(document, declared.declared),
            places=document.places(),
        )
    form = validate(document, TrainingForm)
    return SplitJob(
        name=job_name(document, form.name),
        file=file,
        folder=folder,
        trained=_trained(document, form, folder),
        places=document.places(),
    )


def _check_what(document: Document) -> None:
    has = [key for key in ("declared", "model") if key in document.value]
    if len(has) == 2:
        raise document.error(
            ("declared",),
            "the file has both 'declared' and 'model'",
            expected="numbers of a round, or a model to train",
            remedy="remove one of them",
        )
    if not has and not {"dataset"} & document.value.keys():
        raise document.error(
            (),
            "the file has neither 'model' nor 'declared'",
            expected="a model to train, or the numbers of a round in its place",
            remedy="add `model: lenet` and `dataset: fashion-mnist`",
        )


def _trained(document: Document, form: TrainingForm, folder: Path) -> Trained:
    learned = learned_of(document, form, folder)
    if form.dataset.name is None and form.samples is None:
        raise document.error(
            ("dataset",),
            "nothing says how many samples a client has: the data set is your own",
            expected="`samples: ...`, of each client",
            remedy="add `samples: 1000`",
        )
    if (form.micro_batches or 1) > form.batch_size:
        raise document.error(
            ("micro_batches",),
            f"{form.micro_batches} pieces of a batch of {form.batch_size} cannot be had",
            expected=f"1 to {form.batch_size}",
            remedy="use fewer pieces, or larger batches",
        )
    return Trained(
        model=learned.model,
        dataset=learned.dataset,
        sizes=learned.sizes,
        batch_norm=learned.batch_norm,
        form=form,
    )


def _declared(document: Document, form: DeclaredForm) -> SplitInstance:
    if form.A is not None:
        tables = Tables.like(document, ("declared", "A"), form.A)
    elif form.parts is not None:
        tables = Tables.like(document, ("declared", "parts", "device_s"), form.parts.device_s)
    else:
        raise _missing(document, "A")
    if form.C is None and form.parts is None:
        raise _missing(document, "C")
    parts, summed_s, summed_bits = None, np.zeros(1), np.zeros(1)
    if form.parts is not None:
        parts = _parts(tables, form.parts)
        summed_s, summed_bits = parts.device_s + parts.server_s, parts.up_bits + parts.down_bits
    return split_instance(
        _table(tables, "A", form.A, VIRTUAL_SECONDS, summed_s),
        _table(tables, "C", form.C, BITS, summed_bits),
        form.total_bps,
        devices=tables.devices,
        rate_unit_bps=form.rate_unit_bps,
        rate_caps_bps=_row(tables, "rate_caps_bps", form.rate_caps_bps, _CAPS),
        memory_bytes=_row(tables, "device_memory_bytes", form.device_memory_bytes, BYTES),
        needs_bytes=_table(tables, "memory_bytes", form.memory_bytes, BYTES, np.zeros(1)),
        layers=_layers(document, tables, form.layers),
        parts=parts,
    )


def _missing(document: Document, key: str) -> SpecError:
    return document.error(
        ("declared",),
        f"'declared' has no '{key}'",
        expected="A (seconds by device and cut) and C (bits by cut)",
        remedy=f"add `{key}: ...`",
    )


def _table(tables: Tables, key: str, value: Any, quantity: Quantity, otherwise: Floats) -> Floats:
    if value is None:
        return otherwise
    return tables.by_device_and_cut(("declared", key), value, quantity, infinite=key == "A")


def _row(tables: Tables, key: str, value: Any, quantity: Quantity) -> Floats:
    """By device; infinite where nothing is said."""
    if value is None:
        return np.full(len(tables.devices), np.inf)
    return tables.by_device(("declared", key), value, quantity, missing=np.inf)


def _parts(tables: Tables, form: PartsForm) -> Parts:
    def table(key: str, quantity: Quantity) -> Floats:
        return tables.by_device_and_cut(("declared", "parts", key), getattr(form, key), quantity)

    return Parts(
        device_s=table("device_s", VIRTUAL_SECONDS),
        server_s=table("server_s", VIRTUAL_SECONDS),
        up_bits=table("up_bits", BITS),
        down_bits=table("down_bits", BITS),
        servers=form.servers,
        full_duplex=form.full_duplex,
        micro_batches=form.micro_batches,
    )


def _layers(document: Document, tables: Tables, layers: list[int] | None) -> list[int] | None:
    if layers is None:
        return None
    if len(layers) != tables.cuts or layers[0] < 0 or any(a > b for a, b in pairwise(layers)):
        raise document.error(
            ("declared", "layers"),
            f"'layers' are {listed([str(each) for each in layers]) or 'none'}",
            expected=f"{tables.cuts} whole numbers, one for each cut, none smaller than the one before",
            remedy="count the layers on the device at each cut, or leave it out",
        )
    return layers
