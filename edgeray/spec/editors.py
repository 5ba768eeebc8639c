"""JSON Schemas of the files that users write, for editors and checkers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

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
_DECLARED_STREAMS = {
    "description": "Streams by their numbers: they can be planned, not run.",
    "properties": {"kind": {"const": STREAMS}, "name": {"type": "string"}, "declared": {"type": "object"}},
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
    ]
    refs, schema = models_json_schema([(form, "validation") for form in forms])
    declares = {"required": ["declared"]}
    training = _choice(declares, refs[(DeclaredJobForm, "validation")], refs[(TrainingForm, "validation")])
    streams = _choice(declares, _DECLARED_STREAMS, refs[(StreamsForm, "validation")])
    others = _choice(_is_kind(STREAMS), streams, refs[(JobForm, "validation")])
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
