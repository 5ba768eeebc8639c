"""What a dispatcher tells the learner, as plain values, as they travel and lie on the disk; checked where they arrive."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeray.errors import FlowError
from policies.bandit.model import Floats, Offer
from policies.model import JobId, TaskId

UNKNOWN = -1
"""The learner's answer about a job that it does not know (any more): open it."""
MAX_BITS = 1000
"""Of one batch."""
MAX_HELPERS = 10_000
MAX_DIMENSIONS = 1000
_MAX_TEXT = 200
_MAX_DECISIONS = 10_000
_WORDS: Mapping[Any, float] = {None: math.nan, "inf": math.inf, "-inf": -math.inf}
_ARRAYS = ("queue", "predicted_s", "transfer_s")
_NUMBERS = ("deadline_s", "size", "complexity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One bit: whether the item that helper was chosen for met its deadline, and the offer of its dispatch.

    number: 1, 2, ... of the dispatcher's life, in the order in which it learned. helpers: the names of the offer's rows;
    none: those of the job's description. decisions: that were made since the bit before; with them what was learned
    fades here as it does there.
    """

    number: int
    helper: str
    offer: Offer
    happy: bool
    helpers: tuple[str, ...] = ()
    decisions: int = 1


def wrong_with(feedback: Feedback) -> str | None:
    """Why no learner would take it; None: it would."""
    offer = feedback.offer
    if type(feedback.number) is not int or feedback.number < 1:
        return f"its number cannot be {feedback.number!r:.50}"
    if not 0 <= feedback.decisions <= _MAX_DECISIONS:
        return f"decisions cannot be {feedback.decisions!r:.50}"
    if offer.features.ndim != 2 or offer.features.dtype != float:
        return "features of its offer are no table of numbers"
    helpers, dimensions = offer.features.shape
    if not (0 < helpers <= MAX_HELPERS and 0 < dimensions <= MAX_DIMENSIONS):
        return f"features of its offer are {helpers} x {dimensions} numbers"
    for name in _ARRAYS:
        array = getattr(offer, name)
        if array.shape != (helpers,) or array.dtype != float:
            return f"{name} of its offer is not {helpers} numbers"
    for name in _NUMBERS:
        if not math.isfinite(getattr(offer, name)):
            return f"{name} of its offer cannot be {getattr(offer, name)!r:.50}"
    if not are_names(feedback.helpers):
        return "helpers of its offer are not called by names of their own"
    if len(feedback.helpers) != helpers or feedback.helper not in feedback.helpers:
        return f"its offer has no row of {feedback.helper!r:.50}"
    return None


def plain_feedback(feedback: Feedback) -> dict[str, Any]:
    """Of one that `wrong_with` finds nothing wrong with; without its number, which its place in a batch tells."""
    return {
        "helper": feedback.helper,
        "helpers": list(feedback.helpers),
        "happy": bool(feedback.happy),
        "decisions": int(feedback.decisions),
        "offer": plain_offer(feedback.offer),
    }


def feedback_of(told: Any, number: int) -> Feedback:
    """The bit, if it is one, value by value: it came from another device. Raises FlowError."""
    keys = ("helper", "helpers", "happy", "decisions", "offer")
    if not isinstance(told, Mapping) or set(told) != set(keys):
        raise FlowError(f"feedback {number} is none: expected {', '.join(keys)}, got {told!r:.80}")
    helper, helpers, happy, decisions = (told[key] for key in keys[:-1])
    if type(happy) is not bool:
        raise FlowError(f"feedback {number}: happy cannot be {happy!r:.50}")
    if type(decisions) is not int or not 0 <= decisions <= _MAX_DECISIONS:
        raise FlowError(f"feedback {number}: decisions cannot be {decisions!r:.50}")
    if type(helpers) is not list or not are_names(helpers):
        raise FlowError(f"feedback {number}: helpers cannot be {helpers!r:.80}")
    offer = offer_of(told["offer"])
    if not is_name(helper) or helper not in helpers or len(helpers) != len(offer.queue):
        raise FlowError(f"feedback {number}: its offer has no row of {helper!r:.50}")
    return Feedback(
        number=number, helper=helper, offer=offer, happy=happy, helpers=tuple(helpers), decisions=decisions
    )


def plain_offer(offer: Offer) -> dict[str, Any]:
    """As JSON takes it: lists for arrays, None for what is not known, "inf" and "-inf"."""
    told: dict[str, Any] = {"features": [_plain(row) for row in offer.features]}
    if np.isfinite(offer.features).all():
        told["features"] = offer.features.tolist()
    told |= {name: _plain(getattr(offer, name)) for name in _ARRAYS}
    return told | {name: float(getattr(offer, name)) for name in _NUMBERS}


def offer_of(told: Any) -> Offer:
    """The offer, if it is one, value by value. Raises FlowError."""
    keys = ("features", *_ARRAYS, *_NUMBERS)
    if not isinstance(told, Mapping) or set(told) != set(keys):
        raise FlowError(f"an offer has {', '.join(keys)}; this is none: {told!r:.80}")
    features = told["features"]
    if type(features) is not list or not 0 < len(features) <= MAX_HELPERS:
        raise FlowError(f"features of an offer cannot be {features!r:.80}")
    rows = [_array(row, "features") for row in features]
    d = len(rows[0])
    if not 0 < d <= MAX_DIMENSIONS or any(len(row) != d for row in rows):
        raise FlowError(
            f"features of an offer are {d} numbers a helper, at most {MAX_DIMENSIONS}, for each the same"
        )
    queue, predicted_s, transfer_s = arrays = [_array(told[name], name) for name in _ARRAYS]
    for name, array in zip(_ARRAYS, arrays, strict=True):
        if len(array) != len(rows):
            raise FlowError(f"{name} of an offer is of {len(array)} helpers, its features of {len(rows)}")
    for name in _NUMBERS:
        if type(told[name]) is not float or not math.isfinite(told[name]):
            raise FlowError(f"{name} of an offer cannot be {told[name]!r:.50}")
    return Offer(
        features=np.array(rows),
        queue=queue,
        predicted_s=predicted_s,
        transfer_s=transfer_s,
        deadline_s=told["deadline_s"],
        size=told["size"],
        complexity=told["complexity"],
    )


def alone(offer: Offer, row: int) -> Offer:
    """What one helper learns from: the offer with its row only."""
    here = slice(row, row + 1)
    return Offer(
        features=offer.features[here],
        queue=offer.queue[here],
        predicted_s=offer.predicted_s[here],
        transfer_s=offer.transfer_s[here],
        deadline_s=offer.deadline_s,
        size=offer.size,
        complexity=offer.complexity,
    )


def learned_as(job: JobId, task: TaskId) -> JobId:
    """The name under which what is learned of a task's replicas is kept."""
    return JobId(f"{job}/{task}")


def is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT


def are_names(values: Iterable[Any]) -> bool:
    """Whether these are names, no two alike."""
    told = tuple(values)
    return len(told) <= MAX_HELPERS and all(map(is_name, told)) and len(set(told)) == len(told)


def _plain(values: Floats) -> list[Any]:
    told: list[Any] = np.asarray(values, dtype=float).tolist()
    if np.isfinite(values).all():
        return told
    return [value if math.isfinite(value) else _word(value) for value in told]


def _word(value: float) -> str | None:
    return None if math.isnan(value) else "inf" if value > 0 else "-inf"


def _array(values: Any, name: str) -> Floats:
    """Raises FlowError for what is no list of numbers."""
    if type(values) is not list or len(values) > max(MAX_HELPERS, MAX_DIMENSIONS):
        raise FlowError(f"{name} of an offer cannot be {values!r:.50}")
    if not all(type(value) is float and math.isfinite(value) for value in values):
        values = [_number(value, name) for value in values]
    return np.array(values, dtype=float)


def _number(value: Any, name: str) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if (value is None or type(value) is str) and value in _WORDS:
        return _WORDS[value]
    raise FlowError(f"{name} of an offer cannot be {value!r:.50}")
