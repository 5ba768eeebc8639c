"""Reads what a Ray DAG says about a task in .options(...)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeray.errors import SpecError
from edgeray.spec.app import SourceOptions
from edgeray.spec.schema import ID_RULE, is_id
from edgeray.spec.units import BYTES, ITEMS_PER_S, Quantity, UnitError
from edgeray.spec.words import remedy_for_name
from policies.model import DeviceId

DEVICE_RESOURCE = "device:"
DEVICE_LABEL = "edgeray.device"
PACE_LABEL = "edgeray.items_per_s"
OVERFLOW_LABEL = "edgeray.overflow"
_LABELS = (PACE_LABEL, OVERFLOW_LABEL)

_REFUSED = (
    "num_gpus",
    "accelerator_type",
    "scheduling_strategy",
    "placement_group",
    "fallback_strategy",
    "runtime_env",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What a job file says in `device`, `memory`, `items_per_s` and `overflow`. name: None if not given."""

    name: str | None = None
    device: DeviceId | None = None
    memory_bytes: float = 0.0
    source: SourceOptions = field(default_factory=SourceOptions)


def read_options(options: Mapping[str, Any], where: str, owner: str) -> TaskOptions:
    """The options of one Ray node. Raises SpecError for those that EdgeRay cannot keep."""
    for name in _REFUSED:
        if options.get(name) not in (None, "default", 0, {}):
            raise SpecError(
                where,
                f"'{owner}' has the option {name}={options[name]!r}, which EdgeRay cannot keep",
                expected='the device by resources={"device:ID": 1}, memory, name and _labels',
                remedy=f"remove {name}: EdgeRay decides where and how a task runs",
            )
    returns = options.get("num_returns")
    if isinstance(returns, int) and returns != 1:
        raise SpecError(
            where,
            f"'{owner}' returns {returns} values",
            expected="one item out for one item in",
            remedy="return one item, such as a tuple",
        )
    return TaskOptions(
        name=options.get("name"),
        device=_device(options, where, owner),
        memory_bytes=_quantity(BYTES, options.get("memory") or 0.0, "memory", where, owner),
        source=_source(options.get("_labels") or {}, where, owner),
    )


def _device(options: Mapping[str, Any], where: str, owner: str) -> DeviceId | None:
    named: list[str] = []
    for resource in options.get("resources") or {}:
        if not resource.startswith(DEVICE_RESOURCE):
            raise SpecError(
                where,
                f"'{owner}' asks for the resource '{resource}'",
                expected="only 'device:ID', which pins a task to a device",
                remedy="remove it: EdgeRay decides where a task runs by what it measures",
            )
        named.append(resource.removeprefix(DEVICE_RESOURCE))
    for label, value in (options.get("label_selector") or {}).items():
        if label != DEVICE_LABEL:
            raise SpecError(
                where,
                f"'{owner}' selects by the label '{label}'",
                expected=f"only '{DEVICE_LABEL}', which pins a task to a device",
                remedy="remove it: EdgeRay decides where a task runs by what it measures",
            )
        named.append(value)
    if len(set(named)) > 1:
        raise SpecError(
            where,
            f"'{owner}' is pinned to several devices: {', '.join(named)}",
            expected="one device",
            remedy="keep one of them",
        )
    if named and not is_id(named[0]):
        raise SpecError(
            where,
            f"'{owner}' is pinned to '{named[0]}', which is not usable as an id",
            expected=ID_RULE,
            remedy='write resources={"device:e4": 1} with the device\'s id',
        )
    return DeviceId(named[0]) if named else None


def _source(labels: Mapping[str, Any], where: str, owner: str) -> SourceOptions:
    for label in labels:
        if label.startswith("edgeray.") and label not in _LABELS:
            raise SpecError(
                where,
                f"'{owner}' has the unknown label '{label}'",
                expected=f"one of {', '.join(_LABELS)}",
                remedy=remedy_for_name(label, list(_LABELS), "remove it"),
            )
    overflow = labels.get(OVERFLOW_LABEL, "block")
    if overflow not in ("block", "drop-oldest"):
        raise SpecError(
            where,
            f"'{owner}' has {OVERFLOW_LABEL}={overflow!r}",
            expected="'block' or 'drop-oldest'",
            remedy=remedy_for_name(str(overflow), ["block", "drop-oldest"], "write one of them"),
        )
    pace = labels.get(PACE_LABEL)
    return SourceOptions(
        items_per_s=None if pace is None else _quantity(ITEMS_PER_S, pace, PACE_LABEL, where, owner),
        overflow=overflow,
    )


def _quantity(quantity: Quantity, value: Any, name: str, where: str, owner: str) -> float:
    try:
        return quantity.parse(value)
    except UnitError as error:
        raise SpecError(
            where,
            f"{name} of '{owner}' {value!r} {error.problem}",
            expected=error.expected,
            remedy=error.remedy,
        ) from None
