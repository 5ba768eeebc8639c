"""The best of several schedulers, improved step by step."""

from __future__ import annotations

from policies.makespan.cpop import cpop
from policies.makespan.heft import heft
from policies.makespan.instance import Instance
from policies.makespan.peft import peft
from policies.makespan.timetable import Schedule, timing


def portfolio(instance: Instance) -> Schedule:
    """The best of HEFT, CPoP and PEFT with contention."""
    found = [heft(instance), cpop(instance), peft(instance)]
    return min(found, key=lambda schedule: timing(instance, schedule).makespan_s)
