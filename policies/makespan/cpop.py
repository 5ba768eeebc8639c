"""CPoP: critical path on a processor."""

from __future__ import annotations

from policies.makespan.insertion import Insertion, ready_first
from policies.makespan.instance import Instance
from policies.makespan.ranks import downward, mean_seconds, upward
from policies.makespan.timetable import Schedule

SAME = 1e-9
"""Priorities closer than this (relatively) are the critical path's own."""


def cpop(instance: Instance) -> Schedule:
    """The critical path on the one device that runs it soonest; other tasks where they end soonest.

    Source: Topcuoglu, Hariri, Wu 2002, "Performance-effective and low-complexity task scheduling for
    heterogeneous computing", CPOP.
    Departures: where pins, memory or types let no device run the whole critical path, the one that runs most of it
    is taken, and the rest of the path goes where it ends soonest.
    """
    seconds = mean_seconds(instance)
    ranks = [
        up + down for up, down in zip(upward(instance, seconds), downward(instance, seconds), strict=True)
    ]
    path = set(_critical_path(instance, ranks))
    device = _device_of(instance, sorted(path))
    chosen = Insertion(instance)

    def put(task: int) -> None:
        if task in path and device in instance.options[task]:
            chosen.put(task, device, chosen.start(task, device))
        else:
            chosen.put_soonest(task)

    ready_first(instance, ranks, put)
    return chosen.schedule()


def _critical_path(instance: Instance, ranks: list[float]) -> list[int]:
    entries = [task for task, pairs in enumerate(instance.inputs) if not pairs]
    if not entries:
        return []
    path = [max(entries, key=lambda task: (ranks[task], -task))]
    least = ranks[path[0]] * (1 - SAME)
    while True:
        following = [task for _, task in instance.outputs[path[-1]] if ranks[task] >= least]
        if not following:
            return path
        path.append(min(following))


def _device_of(instance: Instance, path: list[int]) -> int:
    able: dict[int, tuple[int, float]] = {}
    for task in path:
        for device in instance.options[task]:
            count, total = able.get(device, (0, 0.0))
            able[device] = count - 1, total + instance.seconds[task][device]
    return min(able, key=lambda device: (able[device], device), default=-1)
