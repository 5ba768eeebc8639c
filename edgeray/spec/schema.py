"""The form of job and cluster files, as pydantic models; pydantic stays in this package."""

import re
from dataclasses import replace
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from edgeray.spec.units import (
    BITS_PER_S,
    BYTES,
    CPUS,
    FLOP,
    FLOP_PER_S,
    GPUS,
    ITEMS_PER_S,
    SECONDS,
    TASK_SECONDS,
    VIRTUAL_SECONDS,
    Quantity,
    UnitError,
)

KINDS = ("dataflow", "streams", "split-training", "batch-training", "fog-training", "offload", "frames")

MOST_REPLICAS = 100
_ABOVE_ZERO_S = replace(VIRTUAL_SECONDS, zero=False)

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
ID_RULE = "1 to 63 letters, digits, '_', '.' or '-', with a letter or digit first"
_RUN_PATTERN = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_HOST_PATTERN = (
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)


def wrong(problem: str, *, expected: str, remedy: str) -> PydanticCustomError:
    """A validation error that carries the parts of a SpecError. problem completes "KEY VALUE ..."."""
    return PydanticCustomError(
        "edgeray", "{problem}", {"problem": problem, "expected": expected, "remedy": remedy}
    )


def is_id(text: str) -> bool:
    return re.fullmatch(ID_PATTERN, text) is not None


def _check_id(value: Any) -> Any:
    if isinstance(value, str) and not is_id(value):
        raise wrong(
            "is not usable as an id",
            expected=f"{ID_RULE}, since ids become names of namespaces, files and actors",
            remedy="rename it",
        )
    return value


def _check_run(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(_RUN_PATTERN, value, re.ASCII) is None:
        raise wrong(
            "does not name code",
            expected="module:callable, such as tasks:Detector for class Detector in tasks.py",
            remedy="write the module without .py, a colon, and the name of the function or class",
        )
    return value


def _check_address(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        ip_address(value)
    except ValueError:
        looks_numeric = re.fullmatch(r"[0-9.]+", value) is not None
        if looks_numeric or re.fullmatch(_HOST_PATTERN, value) is None:
            raise wrong(
                "is no address",
                expected="an IP address or a host name, without a port",
                remedy="write the address that the other devices reach this one by",
            ) from None
    return value


def _inputs(value: Any) -> Any:
    """A list of producers is a mapping to sizes that the profile gives."""
    if not isinstance(value, list):
        if value is None or isinstance(value, dict):
            return value or {}
        raise wrong(
            "is neither a mapping nor a list",
            expected="{producer: size, ...} or [producer, ...]",
            remedy="put the producers in brackets",
        )
    for producer in value:
        if not isinstance(producer, str):
            raise wrong(
                f"holds {producer!r}, which is no task id",
                expected="a list of task ids",
                remedy="quote the id, or write {producer: size} for declared sizes",
            )
        if value.count(producer) > 1:
            raise wrong(
                f"names '{producer}' twice", expected="each producer once", remedy="remove one of them"
            )
    return dict.fromkeys(value)


def _replicas(value: Any) -> Any:
    """How many, or where each must run; a number is as many that may run anywhere."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_REPLICAS:
        return (None,) * value
    if isinstance(value, list) and 1 <= len(value) <= MOST_REPLICAS:
        return tuple(value)
    if value is None:
        return None
    raise wrong(
        "is neither how many replicas nor where they are",
        expected=f"a number from 1 to {MOST_REPLICAS}, or a list of as many devices",
        remedy="write `replicas: 3`, or `replicas: [e1, e2, e3]`",
    )


def _pair(value: Any) -> Any:
    if not isinstance(value, list) or len(value) != 2:
        raise wrong(
            "are not two devices", expected="a list of two device ids", remedy="write `ends: [e1, e2]`"
        )
    return value


def _parser(quantity: Quantity) -> BeforeValidator:
    def parse(value: Any) -> float:
        try:
            return quantity.parse(value)
        except UnitError as error:
            raise wrong(error.problem, expected=error.expected, remedy=error.remedy) from None

    return BeforeValidator(parse)


def _number_schema(quantity: Quantity) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0, "maximum": quantity.maximum}, {"type": "string"}],
            "description": quantity.expected,
        }
    )


def _text_schema(pattern: str, description: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "description": description})


Id = Annotated[str, BeforeValidator(_check_id), _text_schema(ID_PATTERN, ID_RULE)]
Run = Annotated[str, BeforeValidator(_check_run), _text_schema(_RUN_PATTERN, "module:callable")]
Address = Annotated[str, BeforeValidator(_check_address), _text_schema(r"\S+", "IP address or host name")]
Bytes = Annotated[float, _parser(BYTES), _number_schema(BYTES)]
ItemsPerS = Annotated[float, _parser(ITEMS_PER_S), _number_schema(ITEMS_PER_S)]
Flop = Annotated[float, _parser(FLOP), _number_schema(FLOP)]
FlopPerS = Annotated[float, _parser(FLOP_PER_S), _number_schema(FLOP_PER_S)]
BitsPerS = Annotated[float, _parser(BITS_PER_S), _number_schema(BITS_PER_S)]
Seconds = Annotated[float, _parser(SECONDS), _number_schema(SECONDS)]
VirtualSeconds = Annotated[float, _parser(VIRTUAL_SECONDS), _number_schema(VIRTUAL_SECONDS)]
PositiveSeconds = Annotated[float, _parser(_ABOVE_ZERO_S), _number_schema(_ABOVE_ZERO_S)]
TaskSeconds = Annotated[float, _parser(TASK_SECONDS), _number_schema(TASK_SECONDS)]
Cpus = Annotated[float, _parser(CPUS), _number_schema(CPUS)]
Gpus = Annotated[float, _parser(GPUS), _number_schema(GPUS)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskForm(_Form):
    """A module of the application: one item in, one item out. A task with no inputs is a source."""

    device: Id | None = Field(None, description="Where it must run; a stream's source with code must say it.")
    items_per_s: ItemsPerS | None = Field(None, description="A stream's sources only: its own pace.")
    overflow: Literal["block", "drop-oldest"] | None = Field(
        None,
        description="A stream's sources only: wait while the pipeline is full (block), or drop the oldest item.",
    )
    inputs: Annotated[
        dict[Id, Bytes | None],
        BeforeValidator(_inputs),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "object", "additionalProperties": {"type": ["number", "string", "null"]}},
                    {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
                    {"type": "null"},
                ],
                "description": "Producers and bytes per item, or a list of producers (sizes are profiled).",
            }
        ),
    ] = Field(default_factory=dict)
    replicas: Annotated[
        tuple[Id | None, ...] | None,
        BeforeValidator(_replicas),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "integer", "minimum": 1, "maximum": MOST_REPLICAS},
                    {"type": "array", "items": {"type": "string"}, "maxItems": MOST_REPLICAS},
                ],
                "description": "How many of this task there are, or the devices where they run.",
            }
        ),
    ] = Field(
        None,
        description="How many of this task there are, or where; each item goes to one of them. It keeps nothing "
        "from item to item; what it gives is put in order again.",
    )
    dispatch: str | None = Field(
        None, description="With replicas: what decides who gets an item (hybrid, toof, jsq, ...)."
    )
    deadline: PositiveSeconds | None = Field(
        None, description="With replicas: by when an item should be done, from its dispatch. Default: 1 s."
    )
    work: Flop | None = Field(None, description="Declared FLOP per item; else the profile tells its time.")
    seconds: Annotated[dict[Id, TaskSeconds], Field(min_length=1)] | None = Field(
        None,
        description="Declared time per item by device type, before `work`; then it runs on these types only.",
    )
    memory: Bytes | None = Field(None, description="Memory that the task holds while the job runs.")
    run: Run | None = Field(None, description="Its code, module:callable.")
    args: dict[str, Any] = Field(
        default_factory=dict,
        description="Keyword arguments of the function, or of the class's constructor. "
        "${OUTPUT_DIR} in a text becomes the job's output folder on the device.",
    )


class JobForm(_Form):
    """An application: a DAG of tasks."""

    kind: Literal["dataflow"] = Field("dataflow", description="What sort of job it is.")
    mode: Literal["stream", "once"] = Field(
        "stream",
        description="stream: every task runs per item, as many items a second as can be. "
        "once: each task runs once, as soon as can be.",
    )
    name: Id | None = Field(None, description="Default: the folder's or the file's name.")
    tasks: dict[Id, TaskForm] = Field(description="Tasks by id.", min_length=1)


class DeviceForm(_Form):
    """One device."""

    type: Id = Field(
        description="Kind of hardware: devices of one type take the same time for the same task."
    )
    memory: Bytes = Field(description="Memory that tasks can have.")
    speed: FlopPerS = Field(0.0, description="FLOP per second; needed only for jobs with declared work.")
    cpus: Cpus = Field(1.0, description="CPU cores; the testbed limits its tasks to them.")
    gpu: Gpus = Field(0.0, description="GPUs.")
    address: Address | None = Field(None, description="Of a real device; all devices or none have one.")


class LinkForm(_Form):
    """One undirected link; both directions share its capacity."""

    ends: Annotated[tuple[Id, Id], BeforeValidator(_pair)] = Field(
        description="The two devices that it joins."
    )
    capacity: BitsPerS = Field(description="Bits per second.")
    delay: Seconds = Field(0.0, description="One-way delay.")


class ClusterForm(_Form):
    """Devices, and the links that join them."""

    name: Id | None = Field(None, description="Default: the file's name.")
    head: Id = Field(description="The device that runs the scheduler.")
    devices: dict[Id, DeviceForm] = Field(description="Devices by id.", min_length=1)
    links: list[LinkForm] = Field(default_factory=list, description="Links between the devices.")
