"""PEFT: predict earliest finish time."""

from __future__ import annotations

from policies.makespan.insertion import Insertion, ready_first
from policies.makespan.instance import Instance
from policies.makespan.timetable import Schedule


def peft(instance: Instance) -> Schedule:
    """Tasks by mean optimistic cost, each where its end plus the optimistic cost of what follows is least.

    Source: Arabnejad, Barbosa 2014, "List scheduling algorithm for heterogeneous systems by an optimistic cost
    table", PEFT.
    Departures: none in its choices, which know no contention; means are over the devices a task may run on.
    """
    table = optimistic_costs(instance)
    ranks = [
        sum(row[device] for device in options) / len(options)
        for row, options in zip(table, instance.options, strict=True)
    ]
    chosen = Insertion(instance)
    ready_first(instance, ranks, lambda task: chosen.put_soonest(task, table[task]))
    return chosen.schedule()


def optimistic_costs(instance: Instance) -> list[list[float]]:
    """Seconds from a task's end on a device to the job's, if every later task had its best device to itself.

    The paper's OCT. The least over devices of a consumer's cost is either on the same device, or the least of all
    plus the mean communication: so O(flows x devices).
    """
    devices = len(instance.graph.devices)
    table = [[0.0] * devices for _ in instance.seconds]
    pace, bits = instance.mean_pace, instance.bits
    best = [0.0] * len(table)
    onward: list[list[float]] = [[] for _ in table]
    for task in range(len(table) - 1, -1, -1):
        row = table[task]
        for flow, consumer in instance.outputs[task]:
            there, elsewhere = onward[consumer], best[consumer] + bits[flow] * pace
            for device in instance.options[task]:
                cost = there[device]
                if elsewhere < cost:
                    cost = elsewhere
                if cost > row[device]:
                    row[device] = cost
        onward[task] = [cost + took for cost, took in zip(row, instance.seconds[task], strict=True)]
        best[task] = min(onward[task])
    return table
