"""Reads job files of split training, `kind: split-training`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from edgeray.errors import SpecError
from edgeray.spec.app import KeyPath
from edgeray.spec.job_file import find_job_file
from edgeray.spec.schema import BitsPerS, Id, is_id
from edgeray.spec.tables import Floats, Tables
from edgeray.spec.units import BITS, BITS_PER_S, BYTES, VIRTUAL_SECONDS, Quantity
from edgeray.spec.validate import validate
from edgeray.spec.words import listed
from edgeray.spec.yaml_file import MAX_FILE_BYTES, Document, read_yaml
from policies.partition.instance import Parts, SplitInstance, split_instance

KIND = "split-training"
_EXPECTED = "a job file: `kind: split-training` and `declared: {A: ..., C: ..., total_bps: ...}`"
_CAPS = replace(BITS_PER_S, zero=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitJob:
    """A job of split training. declared: its numbers, where the file gives them instead of a model.

    places: "file:line" by key path, for messages.
    """

    name: str
    file: Path
    declared: SplitInstance
    places: Mapping[KeyPath, str] = field(default_factory=dict, repr=False, compare=False)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PartsForm(_Form):
    """What A and C are sums of, for edgesplit-overlap; then A and C may be left out."""

    device_s: Any = Field(description="Seconds of the device, by device and cut.")
    server_s: Any = Field(description="Seconds of the server, by cut, or by device and cut.")
    up_bits: Any = Field(description="Bits to the server, by cut, or by device and cut.")
    down_bits: Any = Field(description="Bits from the server, by cut, or by device and cut.")
    servers: int = Field(1, ge=1, le=10**6, description="Devices that the server computes for side by side.")
    full_duplex: bool = Field(False, description="Each direction has total_bps to itself.")
    micro_batches: int = Field(1, ge=1, le=10**6, description="Pieces of a batch under way at a time.")


class DeclaredForm(_Form):
    """The numbers of a round, in place of a model to measure."""

    A: Any = Field(None, description="Seconds of computing a round: a list of cuts for each device.")
    C: Any = Field(
        None, description="Bits sent a round, up and down: by cut, or a list of cuts for each device."
    )
    total_bps: BitsPerS = Field(description="What all devices share, in bits per second.")
    rate_unit_bps: BitsPerS | None = Field(None, description="Rates are whole multiples of it.")
    rate_caps_bps: Any = Field(
        None, description="The most that a device can have: one for all, or by device."
    )
    memory_bytes: Any = Field(None, description="Memory that training takes on the device, by cut.")
    device_memory_bytes: Any = Field(None, description="Memory of the devices: one for all, or by device.")
    layers: list[int] | None = Field(None, description="Layers on the device, by cut; else 1, 2, ...")
    parts: PartsForm | None = None


class SplitTrainingForm(_Form):
    """Training of one model by many devices and a server."""

    kind: Literal["split-training"]
    name: Id | None = Field(None, description="Default: the folder's or the file's name.")
    declared: DeclaredForm


def is_split_training(path: str | Path) -> bool:
    """Whether a job file, or the job.yaml of a folder, says so; False for what cannot be read."""
    file = find_job_file(Path(path))
    try:
        if not file.is_file():
            return False
        with file.open("rb") as stream:
            if KIND.encode() not in stream.read(MAX_FILE_BYTES):
                return False
    except (OSError, ValueError):
        return False
    return bool(read_yaml(file, expected=_EXPECTED).value.get("kind") == KIND)


def load_split_training(path: str | Path) -> SplitJob:
    """The job of split training in a file, or in a folder with job.yaml. Raises SpecError (file:line, ...)."""
    file = find_job_file(Path(path))
    document = read_yaml(file, expected=_EXPECTED)
    form = validate(document, SplitTrainingForm)
    return SplitJob(
        name=_name(document, form),
        file=file,
        declared=_declared(document, form.declared),
        places=document.places(),
    )


def _name(document: Document, form: SplitTrainingForm) -> str:
    file = document.file.absolute()
    name = form.name or (file.parent.name if file.name == "job.yaml" else file.stem)
    if not is_id(name):
        raise document.error(
            (),
            f"the job has no name, and '{name}' (of the folder or file) is not usable as one",
            expected="a name of letters, digits, '_', '.' and '-'",
            remedy="add `name: ...`",
        )
    return name


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
