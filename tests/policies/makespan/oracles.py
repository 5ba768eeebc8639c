"""What every plan of a one-shot job must keep, and the best one by brute force."""

from __future__ import annotations

import math
from itertools import pairwise, product

from policies.makespan.instance import Instance
from policies.model import Network, Plan, Workload, link_id

SLACK = 1e-9


def check_timetable(network: Network, workload: Workload, plan: Plan) -> None:
    """Assert precedence, one task at a time on a device and one transfer on a link, memory, pins, and the figures."""
    job, timetable = workload.job, plan.timetable
    assert timetable is not None
    assert set(timetable.tasks) == set(plan.placement) == {task.id for task in job.tasks}
    assert set(plan.routes) == {flow.id for flow in job.flows}
    held = workload.held_bytes(plan.placement)
    assert all(used <= network.devices[device].memory_bytes for device, used in held.items())
    busy: dict[str, list[tuple[float, float]]] = {}
    for task in job.tasks:
        device = plan.placement[task.id]
        assert task.device in (None, device)
        start, end = timetable.tasks[task.id]
        alone = workload.seconds(task, network.devices[device])
        assert start >= 0
        assert math.isclose(end - start, alone, rel_tol=1e-9, abs_tol=1e-9 * (1 + end))
        busy.setdefault(device, []).append((start, end))
    for flow in job.flows:
        route, made = plan.routes[flow.id], timetable.tasks[flow.producer][1]
        ends = plan.placement[flow.producer], plan.placement[flow.consumer]
        if ends[0] == ends[1]:
            assert route == ()
            assert flow.id not in timetable.transfers
            assert timetable.tasks[flow.consumer][0] >= made
            continue
        assert (route[0], route[-1]) == ends
        assert len(set(route)) == len(route)
        links = [link_id(a, b) for a, b in pairwise(route)]
        rate = min(network.links[link].capacity_bps for link in links)
        assert math.isclose(plan.rates_bps[flow.id], rate, rel_tol=1e-9)
        start, end = timetable.transfers[flow.id]
        assert made <= start <= end <= timetable.tasks[flow.consumer][0]
        took = 8 * workload.size_bytes(flow) / rate
        assert math.isclose(end - start, took, rel_tol=1e-9, abs_tol=1e-9 * (1 + end))
        for link in links:
            busy.setdefault(link, []).append((start, end))
    assert set(plan.rates_bps) == set(timetable.transfers)
    for spans in busy.values():
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(spans)))
    assert timetable.makespan_s == max(end for _, end in timetable.tasks.values())
    assert timetable.bound_s <= timetable.makespan_s
    assert timetable.contention_free_s <= timetable.makespan_s * (1 + SLACK)
    shown = plan.throughput_per_s * timetable.makespan_s
    assert timetable.makespan_s == 0 or math.isclose(shown, 1.0, rel_tol=1e-12)
    assert plan.bottleneck


def brute_force(instance: Instance, below: float = math.inf) -> float:
    """The shortest makespan over every placement, route and order; or `below`, when none is shorter.

    Orders are those in which starts never fall, which all semi-active schedules have; what cannot end below the
    best so far, even with nothing more to wait for, is not followed.
    """
    best = below
    asked = instance.asked
    for devices in product(*instance.options):
        ends = [(devices[a], devices[b]) for a, b in zip(asked.producers, asked.consumers, strict=True)]
        choices = [instance.ways(a, b) if a != b else (None,) for a, b in ends]
        for ways in product(*choices):
            best = min(best, _orders(instance, devices, ways, best))
    return best


def _orders(instance: Instance, devices: tuple[int, ...], ways: tuple, best: float) -> float:
    tasks, flows = len(devices), len(ways)
    producers, consumers = instance.asked.producers, instance.asked.consumers
    took = [instance.seconds[task][device] for task, device in enumerate(devices)]
    took += [0.0 if way is None else bits * way.pace for bits, way in zip(instance.bits, ways, strict=True)]
    used = [(device,) for device in devices] + [() if way is None else way.resources for way in ways]
    before: list[list[int]] = [[] for _ in took]
    after: list[list[int]] = [[] for _ in took]
    for flow in range(flows):
        for a, b in ((producers[flow], tasks + flow), (tasks + flow, consumers[flow])):
            before[b].append(a)
            after[a].append(b)
    rest = [0.0] * len(took)
    for task in range(tasks - 1, -1, -1):
        for flow in after[task]:
            consumer = after[flow][0]
            rest[flow] = took[consumer] + rest[consumer]
            rest[task] = max(rest[task], took[flow] + rest[flow])
    loads = [0.0] * instance.resources
    for activity, resources in enumerate(used):
        for resource in resources:
            loads[resource] += took[activity]
    if max(loads) >= best or max(took[t] + rest[t] for t in range(tasks)) >= best:
        return best
    ends: dict[int, float] = {}
    free = [0.0] * instance.resources

    def follow(last: float) -> None:
        nonlocal best
        if len(ends) == len(took):
            best = min(best, max(ends.values()))
            return
        ready = [a for a in range(len(took)) if a not in ends and all(b in ends for b in before[a])]
        starts = {
            a: max([ends[b] for b in before[a]] + [free[resource] for resource in used[a]], default=0.0)
            for a in ready
        }
        if any(starts[a] + took[a] + rest[a] >= best for a in ready):
            return  # it can only start later still
        instant = [a for a in ready if not used[a]]
        for activity in instant[:1] or ready:  # what stays on a device takes nothing: no other order matters
            start = starts[activity]
            if start < last and used[activity]:
                continue
            end = start + took[activity]
            kept = [free[resource] for resource in used[activity]]
            ends[activity] = end
            for resource in used[activity]:
                free[resource] = end
            follow(max(last, start) if used[activity] else last)
            del ends[activity]
            for resource, value in zip(used[activity], kept, strict=True):
                free[resource] = value

    follow(0.0)
    return best
