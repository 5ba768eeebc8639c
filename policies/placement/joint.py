"""Placement, routes and rates of all jobs together: `joint` and `joint-floor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from policies.flows.graph import Floats
from policies.flows.sharing import spread
from policies.model import Decision, Snapshot, Workload
from policies.placement.allocation import allocate_tasks
from policies.placement.board import Board, FlooredThroughput, Objective, ProportionalFairness
from policies.placement.demand import ANYWHERE, Demand
from policies.placement.descent import Descent
from policies.placement.potential import Candidate, place_by_potential, route_by_potential
from policies.placement.reasons import Refusal
from policies.placement.splits import splits
from policies.placement.state import State

POWERS = (2.0, 4.0, 8.0)
BACKGROUND = 0.1
"""Load that every resource is taken to have besides, as part of the largest: an idle one is not quite free."""
RESERVE = 0.2
"""Part of the memory of devices other than the job's cameras that is left to later jobs while that works."""
SWEEPS = 8
LEAST = 1e-9
"""Items/s that stand for none, where rates are compared."""
REFINED = 16
REROUTES = 8
"""Most jobs of one decision that are refined, and most running ones that are rerouted: it must end soon."""
BETTER = 1e-6
"""Gain in worth below which two plans count as equal, and the earlier stays."""
REORDERED = 8
"""Most arrivals of one decision that are tried in other orders too, if all of them find a place."""


@dataclass(frozen=True, slots=True)
class _JointPolicy:
    """Choose devices and routes by potentials, candidate by candidate; grant rates to jobs, not to flows.

    Source: the shortcomings of Zhang 2024's JRBA (see `OnlineFlowAdjustment`): there a flow's rate knows
    nothing of what its job can compute, so links carry grants that nobody can use. Here a job has one rate
    over devices and links together (Kelly et al. 1998; Ghodsi et al. 2011), and its flows get rate x volume.
    An arrival's candidates are placements by potentials of several powers (Aspnes et al. 1997) and Alg. 1
    with potential routing; the one under which all jobs together are worth most is taken. Arrivals of one
    decision are then placed anew, one by one, while that helps, and the worst-off refined task by task
    (`Descent`); a few arrivals are tried in other orders too. Of jobs that run only routes and rates change.
    Sources are paced to the granted rate. What links have left is shared out too, so that queues drain.
    Complexity: per arrival one Dijkstra a flow and power, and four rate allocations, times SWEEPS + 1.
    Measured (tests/benchmarks/planning.py): the geometric mean of job rates is 0.96 of the exact program's
    for one job and 0.94 for three on small networks.
    """

    name: str
    objective: Callable[[], Objective]

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        board = self._plan(snapshot, arrivals)
        if 1 < len(arrivals) <= REORDERED and not board.state.infeasible:
            worth = board.worth()
            for order in _other_orders(board, arrivals):
                other = self._plan(snapshot, order)
                if not other.state.infeasible and other.worth() > worth + BETTER:
                    board, worth = other, other.worth()
        grant(board)
        return board.state.decision()

    def _plan(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Board:
        state = State.of(snapshot, self.name)
        state.strand_cut_off()
        state.repair_routes()
        board = Board(state, self.objective())
        for workload in arrivals:
            asked = state.demand(workload)
            found = best(board, asked)
            if isinstance(found, Refusal):
                state.refuse(asked, found)
            else:
                board.admit(asked, found)
        place_anew(board)
        refine(board)
        reroute(board)
        return board


class Joint(_JointPolicy):
    """Proportionally fair."""

    def __init__(self) -> None:
        super().__init__("joint", ProportionalFairness)


class JointFloor(_JointPolicy):
    """The largest sum of rates that leaves every job half of its dominant-resource-fair rate."""

    def __init__(self) -> None:
        super().__init__("joint-floor", FlooredThroughput)


def _other_orders(board: Board, arrivals: Sequence[Workload]) -> Iterator[Sequence[Workload]]:
    """The last first; and those first that the given order served worst."""
    yield arrivals[::-1]
    rates = board.rates()[-len(arrivals) :]
    yield [arrivals[index] for index in np.argsort(rates, kind="stable").tolist()]


def best(
    board: Board, asked: Demand, index: int | None = None, weights: Floats | None = None
) -> Candidate | Refusal:
    """The candidate worth most; index: the job that would move, None for one that arrives.

    weights: items of each job to reckon with for one of this job; one each by default.
    """
    if asked.problems:
        return Refusal(asked.problems)
    free = board.state.free_bytes
    if index is not None:
        free = board.state.free_without(board.jobs[index])
    greedy = allocate_tasks(asked, board.state.router, free)
    load = _background(board.load(index, weights), asked)
    candidates = list(_candidates(board, asked, load, free, greedy))
    if not candidates:
        return greedy if isinstance(greedy, Refusal) else Refusal((f"job {asked.workload.job.id}: no route",))
    chosen, worth = candidates[0], board.worth_with(asked, candidates[0], index)
    for candidate in candidates[1:]:
        if candidate.same_as(chosen):
            continue
        other = board.worth_with(asked, candidate, index)
        if other > worth + BETTER:
            chosen, worth = candidate, other
    return chosen


def _candidates(
    board: Board, asked: Demand, load: Floats, free: Floats, greedy: tuple[int, ...] | Refusal
) -> Iterator[Candidate]:
    kept = RESERVE * board.state.total_bytes
    kept[[device for device in asked.pinned if device != ANYWHERE]] = 0.0
    for memory in (free - kept, free):
        found = [place_by_potential(board.resources, asked, load, memory, power) for power in POWERS]
        some = [candidate for candidate in found if candidate is not None]
        yield from some
        if some:
            break
    yield from splits(board.resources, asked, load, free, POWERS[-1])
    if not isinstance(greedy, Refusal):
        routed = route_by_potential(board.resources, asked, greedy, load, POWERS[-2])
        if routed is not None:
            yield routed


def _background(load: Floats, asked: Demand) -> Floats:
    fastest = asked.seconds.min(axis=1)
    alone = float(fastest[np.isfinite(fastest)].sum())
    return load + BACKGROUND * max(float(load.max(initial=0.0)), alone)


def place_anew(board: Board) -> None:
    """Move jobs of this decision, one at a time, while all together gain; at most SWEEPS times round.

    By turns, others count with one item for each of the job's, and with as many as they get by the rates now.
    """
    movable = [index for index, job in enumerate(board.jobs) if job.plan is None]
    idle = 0
    for sweep in range(SWEEPS) if len(movable) > 1 else ():
        rates = np.clip(board.rates(), LEAST, 1 / LEAST) if sweep % 2 else None
        moved = False
        for index in movable:
            weights = None if rates is None else rates / rates[index]
            found = best(board, board.jobs[index].demand, index, weights)
            moved |= not isinstance(found, Refusal) and _take(board, index, found)
        idle = 0 if moved else idle + 1
        if idle == 2:
            return


def refine(board: Board) -> None:
    """Move single tasks and pairs of the worst-off jobs of this decision, where all together gain."""
    movable = [index for index, job in enumerate(board.jobs) if job.plan is None]
    if not movable:
        return
    rates = board.rates()
    for index in sorted(movable, key=lambda index: (rates[index], index))[:REFINED]:
        job, others = board.jobs[index], board.load(index)
        start = board.candidate(index)
        load, free = _background(others, job.demand), board.state.free_without(job)
        moved = Descent(board.resources, job.demand, start, load, free, POWERS[-1]).run()
        if moved.placement != start.placement:
            _take(board, index, moved)


def reroute(board: Board) -> None:
    """Give new routes to running jobs on the fullest links, one at a time, while all together gain."""
    devices = len(board.state.graph.devices)
    load = board.load()
    pressure = {
        index: max(load[devices + link] for route in job.routes for link in route.links)
        for index, job in enumerate(board.jobs)
        if job.plan is not None and any(route.links for route in job.routes)
    }
    searches = board.resources.searches // 2
    for index in sorted(pressure, key=lambda index: (-pressure[index], index))[:REROUTES]:
        job = board.jobs[index]
        searches -= sum(bool(route.links) for route in job.routes)
        if searches < 0:
            return
        load = _background(board.load(index), job.demand)
        found = route_by_potential(board.resources, job.demand, job.placement, load, POWERS[-1])
        if found is not None and found.routes != job.routes:
            _take(board, index, found)


def _take(board: Board, index: int, candidate: Candidate) -> bool:
    before = board.worth()
    after = board.worth_with(board.jobs[index].demand, candidate, index)
    if after <= before + BETTER:
        return False
    board.replace(index, candidate)
    return True


def grant(board: Board) -> None:
    """Each job its rate, each flow rate x bits and its share of what the links have left."""
    if not board.jobs:
        return
    rates = board.rates()
    routes = [route for job in board.jobs for route in job.routes]
    bits = [
        rate * size if route.links and rate < float("inf") else 0.0
        for job, rate in zip(board.jobs, rates.tolist(), strict=True)
        for size, route in zip(job.demand.bits, job.routes, strict=True)
    ]
    board.state.set_flows(routes, spread(routes, np.array(bits), board.state.graph.capacity_bps))
    for job, rate in zip(board.jobs, rates, strict=True):
        job.granted_per_s = float(rate) if np.isfinite(rate) else None
