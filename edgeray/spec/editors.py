"""JSON Schemas of the files that users write, for editors and checkers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from edgeray.spec.batch_form import KIND as BATCHES
from edgeray.spec.batch_form import BatchForm
from edgeray.spec.fog_form import KIND as FOG
from edgeray.spec.fog_form import CostsForm, FogForm
from edgeray.spec.named_devices import DevicesForm
from edgeray.spec.schema import ClusterForm, JobForm
from edgeray.spec.streams_form import KIND as STREAMS
from edgeray.spec.streams_form import ReplanForm, StreamsForm
from edgeray.spec.training_form import (
    KIND,
    DatasetForm,
    DeclaredJobForm,
    ModelForm,
    TrainingForm,
)

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def _declared(kind: str) -> dict[str, Any]:
    return {
        "description": "Numbers to plan with: they cannot be run.",
        "properties": {"kind": {"const": kind}, "name": {"type": "string"}, "declared": {"type": "object"}},
        "required": ["kind", "declared"],
        "additionalProperties": False,
    }


def json_schema(which: str) -> dict[str, Any]:
    """The JSON Schema of "job" or "cluster" files, for editors. Raises ValueError for another name."""
    if which == "cluster":
        return {"$schema": _DRAFT, **ClusterForm.model_json_schema(), "title": "EdgeRay cluster file"}
    if which != "job":
        raise ValueError(f"no schema '{which}': there are job and cluster")
    forms: list[type[BaseModel]] = [
        JobForm,
        DeclaredJobForm,
        TrainingForm,
        ModelForm,
        DatasetForm,
        DevicesForm,
        StreamsForm,
        ReplanForm,
        BatchForm,
        FogForm,
        CostsForm,
    ]
    refs, schema = models_json_schema([(form, "validation") for form in forms])
    declares = {"required": ["declared"]}
    training = _choice(declares, refs[(DeclaredJobForm, "validation")], refs[(TrainingForm, "validation")])
    others: dict[str, Any] = refs[(JobForm, "validation")]
    for kind, form in ((FOG, FogForm), (BATCHES, BatchForm), (STREAMS, StreamsForm)):
        one = _choice(declares, _declared(kind), refs[(form, "validation")])
        others = _choice(_is_kind(kind), one, others)
    return {
        "$schema": _DRAFT,
        **schema,
        "type": "object",
        **_choice(_is_kind(KIND), training, others),
        "title": "EdgeRay job file",
    }


def _is_kind(kind: str) -> dict[str, Any]:
    return {"properties": {"kind": {"const": kind}}, "required": ["kind"]}


def _choice(if_: dict[str, Any], then: dict[str, Any], otherwise: dict[str, Any]) -> dict[str, Any]:
    """One form or another: an editor then says what is wrong with the one that is meant, as anyOf cannot."""
    return {"if": if_, "then": then, "else": otherwise}
