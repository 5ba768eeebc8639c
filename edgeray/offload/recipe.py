"""What the tasks of an offload job are told: its helpers, its code, and how things are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgeray.node.code import TaskCode
from policies.model import DeviceId, TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperSpec:
    """A helper goes by the name of its device. bps: of the way there."""

    task: TaskId
    device: DeviceId
    cpus: float
    bps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Whom items may be sent to, and what counts. helpers: by name. deadline_s: from when an item comes. late: what
    becomes of results that come after it. refuse: whether an item may be sent to nobody. telemetry_delay_s: telemetry
    is believed so much later, for experiments. most: items under way to a helper. seed: of what the policy draws."""

    helpers: Mapping[DeviceId, HelperSpec]
    deadline_s: float
    late: Literal["discard", "deliver"]
    refuse: bool = True
    telemetry_delay_s: float = 0.0
    most: int
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(Terms):
    """source: items_per_s is its rate; it ends after `items`, None: when it gives no more. telemetry_every_s: helpers
    tell how they are so often, and with each result."""

    server: TaskId
    source: TaskCode
    items: int | None
    work: TaskCode
    complexity: TaskCode | None
    sink: TaskCode | None
    telemetry_every_s: float

    @staticmethod
    def of(told: Mapping[str, Any]) -> Recipe:
        """Out of the plain values that a job file became (`edgeray.spec.online_app`)."""
        source = told["source"]
        return Recipe(
            server=TaskId(told["server"]),
            source=TaskCode(
                run=source["run"], args=dict(source["args"]), items_per_s=float(source["rate_per_s"])
            ),
            items=source["items"],
            work=_code(told["work"]),
            complexity=None if told["complexity"] is None else _code(told["complexity"]),
            sink=None if told["sink"] is None else _code(told["sink"]),
            helpers={
                DeviceId(spec["device"]): HelperSpec(
                    task=TaskId(task),
                    device=DeviceId(spec["device"]),
                    cpus=float(spec["cpus"]),
                    bps=float(spec["bps"]),
                )
                for task, spec in told["helpers"].items()
            },
            deadline_s=float(told["deadline_s"]),
            late=told["late"],
            telemetry_every_s=float(told["telemetry"]["every_s"]),
            telemetry_delay_s=float(told["telemetry"]["delay_s"]),
            most=int(told["most"]),
            seed=int(told["seed"]),
        )


def _code(told: Mapping[str, Any]) -> TaskCode:
    return TaskCode(run=told["run"], args=dict(told["args"]))
