"""What a job asks of a network, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from policies.flows.graph import Floats, Graph, Ints
from policies.model import FlowId, Network, Profile, Task, Workload

ANYWHERE = -1


@dataclass(frozen=True, kw_only=True)
class Demand:
    """A workload on a graph. Tasks and flows are indices, in the job's order.

    class_seconds: per item, shape (tasks, classes), inf where a task cannot run. class_transfer_seconds: of
    either end per item of each flow that crosses, shape (flows, classes). class_of: of each device.
    memory_bytes: shape (tasks,). pinned: device of each task, or ANYWHERE. producers, consumers: tasks of each
    flow. bits: per item of each flow. inputs: flows into each task. problems: what makes any plan impossible.
    """

    workload: Workload
    class_seconds: Floats
    class_transfer_seconds: Floats
    class_of: Ints
    memory_bytes: Floats
    pinned: tuple[int, ...]
    producers: tuple[int, ...]
    consumers: tuple[int, ...]
    bits: tuple[float, ...]
    flow_ids: tuple[FlowId, ...]
    inputs: tuple[tuple[int, ...], ...]
    problems: tuple[str, ...] = ()

    @cached_property
    def seconds(self) -> Floats:
        """Seconds per item, shape (tasks, devices): large, so only jobs that look for a place ask for it."""
        return self.class_seconds[:, self.class_of]

    @cached_property
    def transfer_seconds(self) -> Floats:
        """Seconds per item of either end of a flow that crosses, shape (flows, devices)."""
        return self.class_transfer_seconds[:, self.class_of]

    def seconds_on(self, task: int, device: int) -> float:
        return float(self.class_seconds[task, self.class_of[device]])

    def transfer_seconds_on(self, flow: int, device: int) -> float:
        return float(self.class_transfer_seconds[flow, self.class_of[device]])

    @property
    def free_tasks(self) -> tuple[int, ...]:
        """Tasks that may run anywhere."""
        return tuple(task for task, device in enumerate(self.pinned) if device == ANYWHERE)

    @property
    def items_per_s(self) -> float:
        """The source's own rate, inf when unlimited."""
        rate = self.workload.job.items_per_s
        return float("inf") if rate is None else rate

    def name(self, task: int) -> str:
        return self.workload.job.tasks[task].id


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The devices of a graph by class: devices of one type and speed take the same time for everything.

    types, speeds (FLOP/s): of each class. class_of: index of each device's class, shape (devices,).
    """

    graph: Graph
    types: tuple[str, ...]
    speeds: Floats
    class_of: Ints

    @classmethod
    def of(cls, network: Network, graph: Graph) -> Hardware:
        devices = [network.devices[device] for device in graph.devices]
        classes = sorted({(device.type, device.speed_flop_per_s) for device in devices})
        index = {kind: position for position, kind in enumerate(classes)}
        return cls(
            graph=graph,
            types=tuple(kind for kind, _ in classes),
            speeds=np.array([speed for _, speed in classes], dtype=np.float64),
            class_of=np.array(
                [index[device.type, device.speed_flop_per_s] for device in devices], dtype=np.int64
            ),
        )


def demand(workload: Workload, hardware: Hardware) -> Demand:
    """Read a workload's numbers. A source whose seconds nobody knows takes none: it only produces.

    Of a one-shot job, only where nobody knows them for any device: there a source is a task like others.
    """
    job, graph = workload.job, hardware.graph
    position = {task.id: index for index, task in enumerate(job.tasks)}
    problems: list[str] = []
    pinned = []
    for task in job.tasks:
        if task.device is not None and task.device not in graph.index:
            problems.append(
                f"task {task.id} is pinned to device {task.device}, which the network does not have"
            )
        pinned.append(ANYWHERE if task.device is None else graph.index.get(task.device, ANYWHERE))
    bits = []
    for flow in job.flows:
        try:
            bits.append(8 * workload.size_bytes(flow))
        except KeyError:
            problems.append(f"flow {flow.id}: its bytes per item are neither declared nor profiled")
            bits.append(0.0)
    consumers = tuple(position[flow.consumer] for flow in job.flows)
    inputs: list[list[int]] = [[] for _ in job.tasks]
    for flow_index, consumer in enumerate(consumers):
        inputs[consumer].append(flow_index)
    rows = [_task_seconds(task, workload.profile, hardware) for task in job.tasks]
    seconds = np.array(rows, dtype=np.float64).reshape(len(rows), len(hardware.types))
    for index, flows in enumerate(inputs):
        unknown = np.isinf(seconds[index])
        declared = job.tasks[index].seconds is not None
        if not flows and (job.mode == "stream" or (unknown.all() and not declared)):
            seconds[index, unknown] = 0.0
    return Demand(
        workload=workload,
        class_seconds=seconds,
        class_transfer_seconds=_transfer_seconds(workload, hardware),
        class_of=hardware.class_of,
        memory_bytes=np.array([workload.memory_bytes(task) for task in job.tasks]),
        pinned=tuple(pinned),
        producers=tuple(position[flow.producer] for flow in job.flows),
        consumers=consumers,
        bits=tuple(bits),
        flow_ids=tuple(flow.id for flow in job.flows),
        inputs=tuple(tuple(flows) for flows in inputs),
        problems=tuple(problems),
    )


def _task_seconds(task: Task, profile: Profile | None, hardware: Hardware) -> Floats:
    """Workload.seconds on every class of devices, by columns of numpy instead of by calls."""
    return task.share * _seconds_an_item(task, profile, hardware)


def _seconds_an_item(task: Task, profile: Profile | None, hardware: Hardware) -> Floats:
    if task.work_flop == 0 and task.seconds is None:
        return np.zeros(len(hardware.types))
    if task.seconds is not None:
        return np.array([task.seconds.get(kind, np.inf) for kind in hardware.types])
    measured = profile.seconds if profile is not None else {}
    seconds = np.array([measured.get((task.id, kind), np.inf) for kind in hardware.types])
    if task.work_flop is not None:
        np.divide(task.work_flop, hardware.speeds, out=seconds, where=hardware.speeds > 0)
    return seconds


def _transfer_seconds(workload: Workload, hardware: Hardware) -> Floats:
    """Workload.transfer_seconds of every flow on every class of devices."""
    measured = workload.profile.transfer_seconds if workload.profile is not None else {}
    flows = workload.job.flows
    if not measured:
        return np.zeros((len(flows), len(hardware.types)))
    rows = [
        [flow.share * measured.get((flow.producer, kind), 0.0) for kind in hardware.types] for flow in flows
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(hardware.types))
