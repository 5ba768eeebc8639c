"""Priorities of tasks: how long the way through them is."""

from __future__ import annotations

from policies.makespan.instance import Instance


def mean_seconds(instance: Instance) -> list[float]:
    """Of each task, over the devices that it may run on."""
    return [
        sum(row[device] for device in options) / len(options)
        for row, options in zip(instance.seconds, instance.options, strict=True)
    ]


def upward(instance: Instance, seconds: list[float]) -> list[float]:
    """Longest way from each task's start to the end of the job, flows at the mean pace.

    Source: Topcuoglu et al. 2002, rank_u, with a flow's bits at the mean capacity between two devices.
    """
    ranks = [0.0] * len(seconds)
    pace, bits = instance.mean_pace, instance.bits
    for task in range(len(seconds) - 1, -1, -1):
        longest = 0.0
        for flow, consumer in instance.outputs[task]:
            way = bits[flow] * pace + ranks[consumer]
            if way > longest:
                longest = way
        ranks[task] = seconds[task] + longest
    return ranks


def downward(instance: Instance, seconds: list[float]) -> list[float]:
    """Longest way from the start of the job to each task's start, flows at the mean pace.

    Source: Topcuoglu et al. 2002, rank_d.
    """
    ranks = [0.0] * len(seconds)
    pace, bits = instance.mean_pace, instance.bits
    for task, pairs in enumerate(instance.inputs):
        for flow, producer in pairs:
            way = ranks[producer] + seconds[producer] + bits[flow] * pace
            if way > ranks[task]:
                ranks[task] = way
    return ranks
