"""The best that is possible, for small instances: a yardstick, not a policy for a live cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from policies.flows.graph import Ints
from policies.linear import minimise
from policies.model import DeviceId, FlowId, Network, TaskId, Workload
from policies.relaxation import Model, Relaxation, relax

Goal = Literal["sum", "log", "min"]
TANGENTS = 40
"""Tangents that stand for the logarithm, from 1/1000 of the most a job can do up to it: within 0.4 % a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """rates_per_s, placements, routes: of each job, in the order given. value, bound: of the goal."""

    rates_per_s: tuple[float, ...]
    placements: tuple[dict[TaskId, DeviceId], ...]
    routes: tuple[dict[FlowId, tuple[DeviceId, ...]], ...]
    value: float
    bound: float


def solve_exactly(
    network: Network,
    workloads: Sequence[Workload],
    goal: Goal = "sum",
    *,
    gap: float = 1e-6,
    time_limit_s: float = 600,
) -> Exact:
    """Devices, routes and rates that maximise the sum, the sum of logarithms, or the least of the jobs'
    rates.

    Source: Zhang 2024, P1 (eqs. 3.1-3.5) and P3 (3.6-3.9) together, for several jobs, with device times as
    sums. A mixed-integer program over `relax`: a binary a task and device, and a flow and arc; the products
    of rate and choice are exact, as a job's rate is bounded. log uses TANGENTS tangents (from above).
    Every job must be placed: raises SolverError when memory or routes do not allow it, ValueError as `relax`.
    """
    built = relax(network, workloads)
    chosen = _choose_devices(built, network)
    used = _choose_arcs(built)
    objective = _goal(built, goal)
    found = minimise(built.model.maximise(objective), gap=gap, time_limit_s=time_limit_s)
    names = built.graph.devices
    placements, routes = [], []
    for job, (group, devices, arcs) in enumerate(zip(built.groups, chosen, used, strict=True)):
        asked = group.asked
        where = [int(np.argmax(found.x[columns])) for columns in devices]
        tasks, flows = workloads[job].job.tasks, workloads[job].job.flows
        placements.append({task.id: names[device] for task, device in zip(tasks, where, strict=True)})
        ends = [(where[a], where[b]) for a, b in zip(asked.producers, asked.consumers, strict=True)]
        routes.append(
            {
                flow.id: tuple(names[device] for device in _walk(built, found.x[columns] > 0.5, *pair))
                for flow, columns, pair in zip(flows, arcs, ends, strict=True)
            }
        )
    return Exact(
        rates_per_s=tuple(float(rate) for rate in found.x[built.rates]),
        placements=tuple(placements),
        routes=tuple(routes),
        value=-found.objective,
        bound=-found.bound,
    )


def _choose_devices(built: Relaxation, network: Network) -> list[list[Ints]]:
    """One device a task, which then handles all; memory held whole."""
    model, devices = built.model, np.arange(len(built.graph.devices))
    chosen: list[list[Ints]] = []
    held: list[tuple[Ints, float]] = []
    for group, handled, most in zip(built.groups, built.handled, built.most, strict=True):
        chosen.append([])
        for task, columns in enumerate(handled):
            binary = model.variables(np.ones(len(devices)), integral=True)
            model.one(binary, np.ones(len(devices)), 1.0, 1.0)
            _only_if(model, columns, binary, float(most))
            chosen[-1].append(binary)
            held.append((binary, float(group.asked.memory_bytes[task])))
    memory = np.array([float(network.devices[device].memory_bytes) for device in built.graph.devices])
    model.constrain(
        np.tile(devices, len(held)),
        np.concatenate([columns for columns, _ in held]),
        np.repeat([need for _, need in held], len(devices)),
        np.full(len(devices), -np.inf),
        memory,
    )
    return chosen


def _choose_arcs(built: Relaxation) -> list[list[Ints]]:
    """One route a flow: at most one used arc leaves each device."""
    model, used = built.model, []
    for streamed, most in zip(built.streamed, built.most, strict=True):
        used.append(list[Ints]())
        for columns in streamed:
            binary = model.variables(np.ones(len(columns)), integral=True)
            _only_if(model, columns, binary, float(most))
            count = len(built.graph.devices)
            model.constrain(
                built.tails, binary, np.ones(len(binary)), np.full(count, -np.inf), np.ones(count)
            )
            used[-1].append(binary)
    return used


def _only_if(model: Model, columns: Ints, binary: Ints, most: float) -> None:
    """columns <= most x binary, one by one."""
    count = len(columns)
    model.constrain(
        np.tile(np.arange(count), 2),
        np.concatenate([columns, binary]),
        np.repeat([1.0, -most], count),
        np.full(count, -np.inf),
        np.zeros(count),
    )


def _goal(built: Relaxation, goal: Goal) -> Ints:
    """The variables whose sum is maximised."""
    model, rates = built.model, built.rates
    if goal == "sum":
        return rates
    if goal == "min":
        least = model.variables(np.array([np.inf]))
        for rate in rates:
            model.one(np.array([rate, least[0]]), np.array([1.0, -1.0]), 0.0, np.inf)
        return least
    logs = model.variables(np.full(len(rates), np.inf), lower=-np.inf)
    for rate, log, most in zip(rates, logs, built.most, strict=True):
        for at in most * np.logspace(-3, 0, TANGENTS):
            # log <= ln(at) + (rate - at) / at
            model.one(np.array([log, rate]), np.array([1.0, -1 / at]), -np.inf, float(np.log(at) - 1))
    return logs


def _walk(built: Relaxation, used: np.ndarray, source: int, target: int) -> list[int]:
    """The route along used arcs; () on one device."""
    if source == target:
        return []
    following = {int(built.tails[arc]): int(built.heads[arc]) for arc in np.flatnonzero(used)}
    devices = [source]
    while devices[-1] != target:
        devices.append(following[devices[-1]])
    return devices
