"""When everything happens: the exact timing of a schedule, with and without contention, and its plan."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from policies.makespan.instance import Instance, Way
from policies.model import Plan, Timetable


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where tasks run, which way flows go, and who is first.

    devices: of each task. ways: of each flow, None on one device. order: all activities that take time, in the
    order in which each resource does them; task t is t, the transfer of flow f is tasks + f. It is topological.
    """

    devices: list[int]
    ways: list[Way | None]
    order: list[int]


@dataclass(frozen=True, slots=True)
class Times:
    """starts, ends: of activities, in seconds; those of flows that stay on a device mean nothing."""

    starts: list[float]
    ends: list[float]
    makespan_s: float


def in_order(instance: Instance, devices: list[int], ways: list[Way | None], times: Times) -> Schedule:
    """The schedule in which every resource does its activities in the order of the given times."""
    tasks = len(instance.seconds)
    producers = instance.asked.producers
    starts, ends = times.starts, times.ends
    keys = [(starts[task], ends[task], task, 0, task) for task in range(tasks)]
    keys += [
        (starts[tasks + flow], ends[tasks + flow], producers[flow], 1, tasks + flow)
        for flow, way in enumerate(ways)
        if way is not None
    ]
    return Schedule(devices, ways, [key[-1] for key in sorted(keys)])


def timing(instance: Instance, schedule: Schedule, *, contention: bool = True) -> Times:
    """The semi-active timing: each activity as soon as its inputs are there and its resources are done before.

    contention: whether transfers wait for each other on links. O(tasks + flows x hops).
    """
    tasks, resources = len(instance.seconds), instance.resources
    devices, ways = schedule.devices, schedule.ways
    starts = [0.0] * (tasks + len(instance.bits))
    ends = [0.0] * len(starts)
    free = [0.0] * resources
    producers, seconds, bits = instance.asked.producers, instance.seconds, instance.bits
    for activity in schedule.order:
        if activity < tasks:
            device = devices[activity]
            at = free[device]
            for flow, producer in instance.inputs[activity]:
                ready = ends[producer] if ways[flow] is None else ends[tasks + flow]
                if ready > at:
                    at = ready
            starts[activity] = at
            ends[activity] = free[device] = at + seconds[activity][device]
            continue
        flow = activity - tasks
        way = ways[flow]
        assert way is not None
        at = ends[producers[flow]]
        if contention:
            for link in way.resources:
                if free[link] > at:
                    at = free[link]
        starts[activity] = at
        end = ends[activity] = at + bits[flow] * way.pace
        if contention:
            for link in way.resources:
                free[link] = end
    return Times(starts, ends, max(ends[:tasks], default=0.0))


def plan(instance: Instance, schedule: Schedule, policy: str, bound_s: float) -> Plan:
    """The schedule as a plan. Its timetable lists tasks and transfers in the order in which they happen."""
    times = timing(instance, schedule)
    job, graph = instance.asked.workload.job, instance.graph
    tasks = len(job.tasks)
    happens = in_order(instance, schedule.devices, schedule.ways, times).order
    spans = [(times.starts[activity], times.ends[activity]) for activity in happens]
    routes = {
        flow.id: () if way is None else tuple(graph.devices[device] for device in way.devices)
        for flow, way in zip(job.flows, schedule.ways, strict=True)
    }
    rates = {
        flow.id: 1 / way.pace for flow, way in zip(job.flows, schedule.ways, strict=True) if way is not None
    }
    makespan = times.makespan_s
    timetable = Timetable(
        tasks={job.tasks[a].id: span for a, span in zip(happens, spans, strict=True) if a < tasks},
        transfers={
            job.flows[a - tasks].id: span for a, span in zip(happens, spans, strict=True) if a >= tasks
        },
        makespan_s=makespan,
        bound_s=min(bound_s, makespan),
        contention_free_s=timing(instance, schedule, contention=False).makespan_s,
    )
    return Plan(
        job=job.id,
        policy=policy,
        placement={
            task.id: graph.devices[device] for task, device in zip(job.tasks, schedule.devices, strict=True)
        },
        routes=routes,
        rates_bps=rates,
        throughput_per_s=1 / makespan if makespan > 0 else float("inf"),
        bottleneck=_bottleneck(instance, schedule, times),
        timetable=timetable,
    )


def critical_chain(
    instance: Instance, devices: list[int], ways: list[Way | None], times: Times
) -> list[tuple[int, int | None]]:
    """Activities that make the makespan, the last first, each with the resource for which it waited.

    Each begins when the next in the list ends: because it needs its data (then the resource is None), or because
    both use that resource. O(tasks + flows x hops).
    """
    tasks, producers = len(devices), instance.asked.producers
    starts, ends = times.starts, times.ends
    before = _by_end(devices, ways, times)
    activity = max(range(tasks), key=lambda task: (ends[task], -task))
    chain: list[tuple[int, int | None]] = []
    while True:
        start = starts[activity]
        way = ways[activity - tasks] if activity >= tasks else None
        if way is None:
            used: tuple[int, ...] = (devices[activity],)
            data = [
                producer if ways[flow] is None else tasks + flow
                for flow, producer in instance.inputs[activity]
            ]
        else:
            used, data = way.resources, [producers[activity - tasks]]
        following = next((other for other in data if ends[other] == start), None)
        resource = None
        if following is None:
            resource = next((resource for resource in used if (resource, start) in before), None)
            following = None if resource is None else before[resource, start]
        chain.append((activity, resource))
        if following is None:
            return chain
        activity = following


def _by_end(devices: list[int], ways: list[Way | None], times: Times) -> dict[tuple[int, float], int]:
    """Activities that take time, by a resource that they use and their end."""
    starts, ends, tasks = times.starts, times.ends, len(devices)
    found = {(device, ends[task]): task for task, device in enumerate(devices) if starts[task] < ends[task]}
    for transfer, way in enumerate(ways, tasks):
        if way is not None and starts[transfer] < ends[transfer]:
            for resource in way.resources:
                found[resource, ends[transfer]] = transfer
    return found


def _bottleneck(instance: Instance, schedule: Schedule, times: Times) -> str:
    """The resource for which the critical chain waits longest; "critical path" when it waits for none."""
    chain = critical_chain(instance, schedule.devices, schedule.ways, times)
    waits: dict[int, float] = {}
    for (_, resource), (blocking, _) in pairwise(chain):
        if resource is not None:
            took = times.ends[blocking] - times.starts[blocking]
            waits[resource] = waits.get(resource, 0.0) + took
    if not any(waits.values()):
        return "critical path"
    longest = min(waits, key=lambda resource: (-waits[resource], resource))
    devices = instance.graph.devices
    if longest < len(devices):
        return f"device {devices[longest]}"
    return f"link {instance.graph.links[longest - len(devices)]}"
