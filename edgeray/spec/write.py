"""Writes job and cluster files that read back to what was written."""

import json
import re
from collections.abc import Mapping

from edgeray.spec.units import (
    BITS_PER_S,
    BYTES,
    FLOP,
    FLOP_PER_S,
    SECONDS,
    TASK_SECONDS,
    Quantity,
    UnitError,
)
from policies.model import Device, DeviceId, Job, Link, Network, Task, TaskId

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_WORDS = ("true", "false", "yes", "no", "on", "off", "null")


def job_text(job: Job, *, comment: str = "") -> str:
    """A job file of a job that declares its numbers; load_app reads an equal job from it.

    comment: lines that go on top. A job whose numbers are profiled, or whose tasks or flows are not in
    topological order (ties by id), reads back otherwise.
    """
    sources = {task.id for task in job.sources}
    inputs: dict[TaskId, list[str]] = {task.id: [] for task in job.tasks}
    for flow in job.flows:
        size = "" if flow.size_bytes is None else _number(BYTES, flow.size_bytes)
        inputs[flow.consumer].append(f"{_text(flow.producer)}: {size}".rstrip())
    lines = [
        *_comment(comment),
        f"kind: {_text(job.kind)}",
        f"mode: {job.mode}",
        f"name: {_text(job.id)}",
        "tasks:",
    ]
    for task in job.tasks:
        pace = job.items_per_s if task.id in sources else None
        lines.append(f"  {_text(task.id)}: {_flow_mapping(_task_fields(task, inputs[task.id], pace))}")
    return "\n".join(lines) + "\n"


def cluster_text(
    network: Network,
    head: DeviceId,
    name: str,
    *,
    addresses: Mapping[DeviceId, str] | None = None,
    comment: str = "",
) -> str:
    """A cluster file; load_cluster reads an equal network from it. comment: lines that go on top."""
    lines = [*_comment(comment), f"name: {_text(name)}", f"head: {_text(head)}", "devices:"]
    for device in network.devices.values():
        fields = _device_fields(device)
        if addresses:
            fields["address"] = json.dumps(addresses[device.id])
        lines.append(f"  {_text(device.id)}: {_flow_mapping(fields)}")
    if network.links:
        lines.append("links:")
        lines += [f"  - {_flow_mapping(_link_fields(link))}" for link in network.links.values()]
    return "\n".join(lines) + "\n"


def _task_fields(task: Task, inputs: list[str], items_per_s: float | None) -> dict[str, str]:
    fields = {}
    if task.device is not None:
        fields["device"] = _text(task.device)
    if items_per_s is not None:
        fields["items_per_s"] = _plain_number(items_per_s)
    if inputs:
        fields["inputs"] = "{" + ", ".join(inputs) + "}"
    if task.work_flop is not None:
        fields["work"] = _number(FLOP, task.work_flop)
    if task.seconds is not None:
        times = {_text(kind): _number(TASK_SECONDS, took) for kind, took in task.seconds.items()}
        fields["seconds"] = _flow_mapping(times)
    if task.memory_bytes:
        fields["memory"] = _number(BYTES, task.memory_bytes)
    return fields


def _device_fields(device: Device) -> dict[str, str]:
    fields = {"type": _text(device.type), "memory": _number(BYTES, device.memory_bytes)}
    if device.speed_flop_per_s:
        fields["speed"] = _number(FLOP_PER_S, device.speed_flop_per_s)
    if device.cpus != 1:
        fields["cpus"] = _plain_number(device.cpus)
    if device.gpu:
        fields["gpu"] = _plain_number(device.gpu)
    return fields


def _link_fields(link: Link) -> dict[str, str]:
    ends = ", ".join(_text(end) for end in link.ends)
    fields = {"ends": f"[{ends}]", "capacity": _number(BITS_PER_S, link.capacity_bps)}
    if link.delay_s:
        fields["delay"] = _number(SECONDS, link.delay_s)
    return fields


def _comment(text: str) -> list[str]:
    return [f"# {line}".rstrip() for line in text.splitlines()]


def _flow_mapping(fields: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in fields.items()) + "}"


def _text(text: str) -> str:
    """Text as YAML: quoted where it would be read as a number or a truth value."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text)


def _number(quantity: Quantity, value: float) -> str:
    """In the largest unit in which it is short and the very same number; else as a bare number."""
    base = next(iter(quantity.units))
    for unit, factor in sorted(quantity.units.items(), key=lambda item: -item[1]):
        text = f"{value / factor:.7g}"
        if (factor <= value or unit == base) and "i" not in unit and "e" not in text and value:
            try:
                if quantity.parse(text + unit) == value:
                    return text + unit
            except UnitError:  # rounded up to above the maximum
                pass
    return _plain_number(value)


def _plain_number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
