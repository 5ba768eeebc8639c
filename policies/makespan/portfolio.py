"""The best of several schedulers, improved step by step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from policies.makespan.cpop import cpop
from policies.makespan.descent import BETTER, Descent
from policies.makespan.exact import Exact
from policies.makespan.heft import heft
from policies.makespan.instance import Instance
from policies.makespan.peft import optimistic_costs, peft
from policies.makespan.ranks import downward, mean_seconds, upward
from policies.makespan.serial import Serial, by_priority, scheduled
from policies.makespan.timetable import Schedule, timing

STEPS = 100_000
"""Most activities that the local search puts altogether: some tenths of a second."""
STEPS_PER_TASK = 1_000
"""And most for each task: small jobs need less."""
STARTS = 24_000
"""Most pairs of a task and a device that list schedulers under contention look at altogether; two run always."""
LARGE = 20_000
"""Jobs of more tasks get one list scheduler under contention and no local search."""
DESCENTS = 8
"""Most schedules from which the local search begins; fewer where each could not be timed WORTHWHILE times."""
WORTHWHILE = 20
KICK = 3
"""Tasks that move at random before the local search goes on from where it ended."""


def portfolio(instance: Instance, rng: np.random.Generator, bound_s: float = 0.0) -> tuple[Schedule, float]:
    """The best of HEFT, CPoP, PEFT and list schedulers under contention, after local search; and a bound.

    Source: of the list schedulers see `heft`, `cpop`, `peft` and `Serial`; iterated local search as in
    Lourenco, Martin, Stuetzle 2003, "Iterated local search", with the moves of `Descent`.
    rng: for the kicks; with the same state it gives the same schedule. bound_s: a makespan that cannot be beaten, at
    which to stop. Never longer than the best of the three.
    Very small jobs are then searched through (`Exact`); what that proves is the bound, otherwise bound_s is.
    Budget: counted in activities, not in time. Up to 1,000 tasks on 8 devices take some tenths of a second, 20,000
    some seconds; of more than LARGE only the near-linear schedulers run, 100,000 tasks in some tens of seconds.
    More than instance.MOST_TASKS are refused before they get here.
    """
    published = [heft(instance), cpop(instance), peft(instance)]
    timed = [(timing(instance, schedule).makespan_s, schedule) for schedule in published]
    starts = list(_starts(instance))
    if len(instance.seconds) > LARGE:
        timed += [_timed(instance, start) for start in starts]
    else:
        starts += [_replayed(instance, schedule) for schedule in published]
        timed.append(_search(instance, starts, rng, bound_s * (1 + BETTER)))
    makespan, best = min(timed, key=lambda pair: pair[0])
    if makespan > bound_s * (1 + BETTER):
        search = Exact(instance, makespan)
        best = search.best or best
        bound_s = search.below if search.complete else bound_s
    return best, bound_s


def _timed(instance: Instance, made: Serial | Descent) -> tuple[float, Schedule]:
    schedule = scheduled(instance, made.devices, made.choices, made.times)
    return timing(instance, schedule).makespan_s, schedule


def _starts(instance: Instance) -> Iterator[Serial]:
    """List schedulers under contention, those that served best on random jobs first."""
    seconds = mean_seconds(instance)
    up, down, costs = upward(instance, seconds), downward(instance, seconds), optimistic_costs(instance)
    ahead = [
        sum(row[device] for device in options) / len(options)
        for row, options in zip(costs, instance.options, strict=True)
    ]
    through = [a + b for a, b in zip(up, down, strict=True)]
    soonest = [-rank for rank in down]
    recipes = [
        *((up, costs, 4), (ahead, costs, 4), (up, None, 4), (ahead, costs, 1), (ahead, None, 4)),
        *((up, costs, 1), (up, None, 1), (through, None, 4), (soonest, None, 4), (soonest, costs, 4)),
        *((ahead, None, 1), (through, None, 1), (soonest, None, 1), (soonest, costs, 1)),
    ]
    tried = sum(len(options) for options in instance.options)
    count = 1 if len(instance.seconds) > LARGE else max(2, STARTS // max(tried, 1))
    for priorities, after, ways in recipes[:count]:
        yield by_priority(instance, priorities, after, ways)
    yield from _on_one_device(instance)


def _on_one_device(instance: Instance) -> Iterator[Serial]:
    """All on the device that takes least for it, if one can run all."""
    totals = np.array(instance.seconds).sum(axis=0)
    device = int(totals.argmin()) if totals.size else 0
    if totals.size and np.isfinite(totals[device]):
        made = Serial(instance)
        for task in range(len(instance.seconds)):
            made.put(task, device)
        yield made


def _replayed(instance: Instance, schedule: Schedule) -> Serial:
    """The tasks of a schedule on its devices, in its order."""
    made = Serial(instance)
    for activity in schedule.order:
        if activity < len(instance.seconds):
            made.put(activity, schedule.devices[activity])
    return made


def _search(
    instance: Instance, starts: list[Serial], rng: np.random.Generator, least: float
) -> tuple[float, Schedule]:
    """Descend from the best starts, then from the best of what that gave, kicked again and again."""
    steps = min(STEPS, STEPS_PER_TASK * len(instance.seconds))
    ranked = sorted(starts, key=lambda start: start.makespan)
    once = WORTHWHILE * (len(instance.seconds) + len(instance.bits))
    descents = min(DESCENTS, max(1, steps // (2 * once)))
    share = steps // (2 * descents)
    found: list[Descent] = []
    for start in ranked[:descents]:
        descent = Descent(instance, start)
        descent.run(share)
        found.append(descent)
        if descent.makespan <= least:
            break
    best = min(found, key=lambda descent: descent.makespan)
    left = steps - sum(descent.steps for descent in found)
    end = best.steps + left
    best.run(left)
    kept = best.state()
    while best.steps < end and kept[0] > least:
        best.kick(rng, KICK)
        best.run(end - best.steps)
        if best.makespan <= kept[0]:
            kept = best.state()
        else:
            best.restore(kept)
    best.restore(kept)
    return _timed(instance, best)
