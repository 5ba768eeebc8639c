"""The form of job files of fog training, as pydantic models."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from edgeray.spec.named_devices import DEVICES_SCHEMA, DevicesForm, takes_devices
from edgeray.spec.schema import ID_RULE, Id, PositiveSeconds, is_id, wrong
from edgeray.spec.training_form import Amount, Count, LearningForm
from edgeray.spec.words import kind_of, shorten

KIND = "fog-training"
FULL, MEASURED = "full", "measured"
MOST_POINTS = 10**6
"""That a device collects in an interval, on average."""
_MOST_COST = 1e12


def _links(value: Any) -> Any:
    """Pairs of devices; None: all pairs."""
    if value is None or value == FULL:
        return None
    if not isinstance(value, list):
        raise wrong(
            f"is {kind_of(value)}",
            expected="full, or a list of pairs of devices",
            remedy="write `links: [[e1, e2], [e2, e3]]`",
        )
    seen: set[frozenset[str]] = set()
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(one, str) for one in pair):
            raise wrong(
                f"holds {shorten(str(pair))}, which is no pair of devices",
                expected="full, or a list of pairs of devices",
                remedy="write `links: [[e1, e2], [e2, e3]]`",
            )
        if pair[0] == pair[1] or frozenset(pair) in seen:
            raise wrong(
                f"joins '{pair[0]}' with itself" if pair[0] == pair[1] else f"holds {pair} twice",
                expected="each pair of two devices once: points may go both ways",
                remedy="remove it",
            )
        seen.add(frozenset(pair))
    return tuple(tuple(pair) for pair in value)


def _points(value: Any) -> Any:
    """One number for all, or by device."""
    given = value if isinstance(value, dict) else {"": value}
    for device, points in given.items():
        whole = isinstance(points, int) and not isinstance(points, bool)
        if not whole or not 0 <= points <= MOST_POINTS:
            shown = shorten(str(points))
            raise wrong(
                f"is no number of points: {shown}"
                if device == ""
                else f"has {shown} for '{shorten(device)}'",
                expected=f"a whole number from 0 to {MOST_POINTS:,}, for all or by device",
                remedy="write `collect: 12`, or `collect: {e4: 20, e5: 12}`",
            )
    if not any(given.values()):
        raise wrong(
            "leaves nobody who collects anything",
            expected="points for one device at least",
            remedy="raise it: it is the mean of what a device collects in an interval",
        )
    return value


def _costs(value: Any) -> Any:
    return None if value == MEASURED else value


def _is_cost(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and isfinite(value) and 0 <= value <= _MOST_COST


def _no_cost(shown: str, expected: str, remedy: str) -> Exception:
    return wrong(f"holds {shown}, which is no cost", expected=f"{expected}: 0 or more each", remedy=remedy)


def _process(value: Any) -> Any:
    for cost in value.values() if isinstance(value, dict) else [value]:
        if not _is_cost(cost):
            raise _no_cost(
                shorten(str(cost)),
                "a number, or one by device",
                "write `process: 0.4`, or `process: {e1: 0.1}`",
            )
    return value


def _link(value: Any) -> Any:
    expected = "a number, or one by who sends and who receives"
    remedy = "write `link: 0.05`, or `link: {e4: {e1: 0.02, e2: 0.05}}`"
    for row in value.values() if isinstance(value, dict) else [{"": value}]:
        for cost in row.values() if isinstance(row, dict) else [None]:
            if not _is_cost(cost):
                raise _no_cost(shorten(str(row if cost is None else cost)), expected, remedy)
    return value


def _by_id(value: Any) -> Any:
    for name in value if isinstance(value, dict) else ():
        if not isinstance(name, str) or not is_id(name):
            raise wrong(
                f"names {shorten(repr(name))}, which is no device", expected=ID_RULE, remedy="correct it"
            )
    return value


_COST = {"type": "number", "minimum": 0}
_COSTS = {"type": "object", "additionalProperties": _COST}
_POINTS = {"type": "integer", "minimum": 0, "maximum": MOST_POINTS}


class CostsForm(BaseModel):
    """What a point costs, in whatever unit, the same for all and for `discard`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    process: Annotated[
        float | dict[str, float],
        BeforeValidator(_by_id),
        BeforeValidator(_process),
        WithJsonSchema({"anyOf": [_COST, _COSTS]}),
    ] = Field(description="Of processing it: one number for all devices, or by device.")
    link: Annotated[
        float | dict[str, dict[str, float]],
        BeforeValidator(_by_id),
        BeforeValidator(_link),
        WithJsonSchema({"anyOf": [_COST, {"type": "object", "additionalProperties": _COSTS}]}),
    ] = Field(description="Of sending it: one number for all, or by who sends, and who receives.")


class FogForm(LearningForm):
    """Training on points that devices collect interval by interval, and keep, send to each other, or discard."""

    kind: Literal["fog-training"] = Field(description="What sort of job it is.")
    devices: Annotated[
        DevicesForm | None, takes_devices("devices", "all devices but the server"), DEVICES_SCHEMA
    ] = Field(
        None,
        description="Who collects and processes points: a list, or {types: [...]}. Default: all but the server, and "
        "but those of type switch or router.",
    )
    links: Annotated[
        tuple[tuple[Id, Id], ...] | None,
        BeforeValidator(_links),
        WithJsonSchema(
            {
                "anyOf": [
                    {"const": FULL},
                    {
                        "type": "array",
                        "items": {
                            "type": "array",
                            "items": {"type": "string"},
                            "minItems": 2,
                            "maxItems": 2,
                        },
                    },
                ]
            }
        ),
    ] = Field(
        None,
        description="Pairs of devices that may send points to each other, both ways. Default: full, all of them.",
    )
    collect: Annotated[
        int | dict[str, int],
        BeforeValidator(_by_id),
        BeforeValidator(_points),
        WithJsonSchema({"anyOf": [_POINTS, {"type": "object", "additionalProperties": _POINTS}]}),
    ] = Field(
        12,
        description="Points that a device collects in an interval: the mean of 0 to twice as many, all as likely. By "
        "device: who is not named collects none.",
    )
    intervals: Count = Field(60, description="Intervals in which points are collected.")
    interval: PositiveSeconds = Field(1.0, description="How long one is.")
    aggregate: Count = Field(10, description="Intervals between two averages of the weights (tau).")
    costs: Annotated[
        CostsForm | None,
        BeforeValidator(_costs),
        WithJsonSchema({"anyOf": [{"const": MEASURED}, {"$ref": "#/$defs/CostsForm"}]}),
    ] = Field(
        None,
        description="What a point costs: measured, in seconds (the default), or {process: ..., link: ...}, declared.",
    )
    discard: Amount = Field(
        0.05, description="What a point costs that nobody processes (f), in the unit of `costs`."
    )
    information: Literal["estimated", "perfect"] = Field(
        "estimated",
        description="What is planned with: what was seen so far, or what will come (with declared costs only).",
    )
