"""JSON Schemas of the files that users write, for editors and checkers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from edgeray.spec.schema import ClusterForm, JobForm
from edgeray.spec.training_form import (
    KIND,
    ClientsForm,
    DatasetForm,
    DeclaredJobForm,
    ModelForm,
    TrainingForm,
)

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


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
        ClientsForm,
    ]
    refs, schema = models_json_schema([(form, "validation") for form in forms])
    training = _choice({"required": ["declared"]}, refs[(DeclaredJobForm, "validation")],
                       refs[(TrainingForm, "validation")])  # fmt: skip
    is_training = {"properties": {"kind": {"const": KIND}}, "required": ["kind"]}
    return {
        "$schema": _DRAFT,
        **schema,
        "type": "object",
        **_choice(is_training, training, refs[(JobForm, "validation")]),
        "title": "EdgeRay job file",
    }


def _choice(if_: dict[str, Any], then: dict[str, Any], otherwise: dict[str, Any]) -> dict[str, Any]:
    """One form or another: an editor then says what is wrong with the one that is meant, as anyOf cannot."""
    return {"if": if_, "then": then, "else": otherwise}
