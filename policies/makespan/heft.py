"""HEFT: heterogeneous earliest finish time."""

from __future__ import annotations

from policies.makespan.insertion import Insertion
from policies.makespan.instance import Instance
from policies.makespan.ranks import mean_seconds, upward
from policies.makespan.timetable import Schedule


def heft(instance: Instance) -> Schedule:
    """Tasks by falling upward rank, each where it ends soonest.

    Source: Topcuoglu, Hariri, Wu 2002, "Performance-effective and low-complexity task scheduling for
    heterogeneous computing", HEFT.
    Departures: none in its choices, which know no contention; a task's mean is over the devices it may run on.
    O((tasks + flows) x devices) beside the search for gaps.
    """
    ranks = upward(instance, mean_seconds(instance))
    chosen = Insertion(instance)
    for task in sorted(range(len(ranks)), key=lambda task: (-ranks[task], task)):
        chosen.put_soonest(task)
    return chosen.schedule()
