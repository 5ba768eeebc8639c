"""Jobs that watch cameras: mapped when they come, and again when what they watch has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np

from policies.flows.graph import Floats
from policies.model import (
    Decision,
    DeviceId,
    Flow,
    FlowId,
    Infeasible,
    JobId,
    Mapped,
    Mode,
    Network,
    Plan,
    RunningJob,
    Snapshot,
    StreamPlacement,
    Streams,
    Workload,
)
from policies.placement.reasons import Refusal
from policies.streams.instance import Ints, NoMapping
from policies.streams.rates import busiest
from policies.streams.reading import Watched, mapping_of, watched
from policies.streams.registry import StreamPolicy, load_stream_policy

STATIC = ("nmno", "wmno", "nmwo")
"""Policies that map a stream once; they move it only when its device is gone."""
BY_LATENCY = ("jstsh", "exact-latency")
"""Policies whose gain is the latency of all streams together; that of the others is what the slowest stream gets."""
MOVE_S = 2.0
"""What a stream stands still for when it moves, at most: its frames on the way, its tracks, a model that is loaded."""
HORIZON_S = 60.0
"""A move must pay within so long."""
FLOOR_BPS, TALK_BPS = 8e3, 64e3
"""What each flow is guaranteed, and each that carries anything beside its frames and crops."""
GRANTED = 0.9
"""Of a link's capacity, what is guaranteed at most: headers and control take some."""
_SPARE = 1.15


class StreamMapping:
    """Maps jobs of mode "cameras", in turn; and anew those that run, where it pays (hysteresis).

    name: of a policy of `STREAM_POLICIES`, or "module:function" of one's own. decide_streams: that function, else by
    name. A running job keeps its mapping until its policy's next one gains `Streams.least_gain`, its streams' frames
    within HORIZON_S outweigh those that wait while streams move, and the last move is `Streams.settle_s` ago. A mapping
    that cannot be kept, since a device is gone or its memory is, is given up at once.
    """

    mode: Mode = "cameras"

    def __init__(self, name: str, decide_streams: StreamPolicy | None = None) -> None:
        self.name = name
        self._decide_streams = load_stream_policy(name) if decide_streams is None else decide_streams

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        plans: dict[JobId, Plan] = {}
        infeasible: dict[JobId, Infeasible] = {}
        for running in snapshot.running:
            again = self._again(running, snapshot)
            if again is not None:
                plans[running.workload.job.id] = again
        for workload in arrivals:
            job = workload.job.id
            found = self._map(workload, snapshot.network, snapshot.now_s)
            if isinstance(found, Refusal):
                infeasible[job] = Infeasible(job=job, reasons=found.reasons)
            else:
                plans[job] = found
        return Decision(plans=plans, infeasible=infeasible)

    def _map(self, workload: Workload, network: Network, now_s: float) -> Plan | Refusal:
        seen = watched(workload, network)
        if isinstance(seen, Refusal):
            return seen
        if problems := _absent(workload, network) or _apart(workload, seen):
            return Refusal(problems)
        mapping = self._mapping(seen)
        if isinstance(mapping, Refusal):
            return mapping
        return plan_of(self.name, workload, seen, *mapping, now_s=now_s)

    def _mapping(self, seen: Watched) -> tuple[Ints, Ints] | Refusal:
        decided = self._decide_streams(seen.instance)
        if isinstance(decided, NoMapping):
            return Refusal(decided.reasons)
        x, y = np.array(decided.x), np.array(decided.y)
        count, devices = len(seen.cameras), len(seen.graph.devices)
        if (
            x.shape != (count,)
            or y.shape != (count,)
            or not ((x >= 0) & (x < devices) & (y >= 0) & (y < devices)).all()
        ):
            return Refusal((f"policy {self.name} planned what cannot be: x {decided.x}, y {decided.y}",))
        if not seen.instance.fits(x, y):
            return Refusal(
                (f"policy {self.name} planned what cannot be: devices that lack memory or are not reached",)
            )
        return x, y

    def _again(self, running: RunningJob, snapshot: Snapshot) -> Plan | None:
        """Another plan for a job that runs; None: it stays as it is."""
        job, mapped = running.workload.job, running.plan.mapped
        if job.streams is None or mapped is None:
            return None
        seen = watched(running.workload, snapshot.network)
        if isinstance(seen, Refusal):
            return None
        now = _kept(seen, mapped)
        settled = self.name not in STATIC and snapshot.now_s - mapped.decided_s >= job.streams.settle_s
        found = self._mapping(seen) if now is None or settled else Refusal(("it has just moved",))
        if isinstance(found, Refusal) or (now is not None and not self._pays(seen, now, found, job.streams)):
            return None if now is None else _other_ways(running, seen, now)
        return _beside(plan_of(self.name, running.workload, seen, *found, now_s=snapshot.now_s), running.plan)

    def _pays(self, seen: Watched, now: tuple[Ints, Ints], then: tuple[Ints, Ints], streams: Streams) -> bool:
        moved = (now[0] != then[0]) | (now[1] != then[1])
        if not moved.any():
            return False
        before, after = seen.rates(*now), seen.rates(*then)
        if self.name in BY_LATENCY:
            gain = seen.instance.sum_latency_s(*now) / max(seen.instance.sum_latency_s(*then), 1e-12)
            return gain - 1 >= streams.least_gain
        # The slowest stream is what the policy maps for. Where all have their cameras' own rate, nothing pays.
        gain = float(after.min()) / max(float(before.min()), 1e-12)
        waits = MOVE_S * float(np.where(moved, before, 0.0).sum())
        return gain - 1 >= streams.least_gain and HORIZON_S * float((after - before).sum()) > waits


def _absent(workload: Workload, network: Network) -> tuple[str, ...]:
    """Devices that a job needs before it can begin: all that take part. It goes on without some later."""
    streams = workload.job.streams
    away = [] if streams is None else [device for device in streams.edges if device not in network.devices]
    return (f"waits for {', '.join(sorted(away))} to join",) if away else ()


def _apart(workload: Workload, seen: Watched) -> tuple[str, ...]:
    """Edges between which nothing leads: a stage's flows are those that it is deployed with, so that they would never
    have any."""
    streams, index = workload.job.streams, seen.graph.index
    here = [] if streams is None else sorted(device for device in streams.edges if device in index)
    apart = [f"{a} and {b}" for a, b in combinations(here, 2) if (index[a], index[b]) not in seen.routes]
    return (f"waits for a way between {', '.join(apart)}",) if apart else ()


def _kept(seen: Watched, mapped: Mapped) -> tuple[Ints, Ints] | None:
    """The mapping as it is; None where it cannot be kept."""
    now = mapping_of(seen, {c: (p.detect_on, p.identify_on) for c, p in mapped.streams.items()})
    if now is None or len(mapped.streams) != len(seen.cameras) or not seen.instance.fits(*now):
        return None
    return now


def _other_ways(running: RunningJob, seen: Watched, now: tuple[Ints, Ints]) -> Plan | None:
    """The same mapping where flows must go other ways, or have more or less room on theirs; None: they do not."""
    old = running.plan
    assert old.mapped is not None, "it is kept"
    plan = plan_of(old.policy, running.workload, seen, *now, now_s=old.mapped.decided_s)
    same = all(
        old.routes.get(flow) == route and old.ceilings_bps.get(flow) == plan.ceilings_bps[flow]
        for flow, route in plan.routes.items()
    )
    return None if same else _beside(plan, old)


def plan_of(policy: str, workload: Workload, seen: Watched, x: Ints, y: Ints, *, now_s: float = 0.0) -> Plan:
    """The plan of a mapping: what each stream gets, and what each flow is guaranteed (it may take more that is free)."""
    streams = workload.job.streams
    assert streams is not None, "it was read"
    rates = seen.rates(x, y)
    rows, names = np.arange(len(seen.cameras)), seen.graph.devices
    latency = seen.instance.pair_s[rows, x, y]
    most = busiest(seen.together_s(x, y), rates)
    capped = bool((rates >= seen.most_per_s() * (1 - 1e-9)).all())
    routes, guaranteed, ceilings = _flows(streams, seen, x, y, rates)
    return Plan(
        job=workload.job.id,
        policy=policy,
        placement={task.id: task.device for task in workload.job.tasks if task.device is not None},
        routes=routes,
        rates_bps=guaranteed,
        ceilings_bps=ceilings,
        throughput_per_s=float(rates.mean()),
        bottleneck="cameras" if capped or most is None else seen.resources[most],
        mapped=Mapped(
            streams={
                camera.id: StreamPlacement(
                    detect_on=names[x[k]],
                    identify_on=names[y[k]],
                    items_per_s=float(rates[k]),
                    latency_s=float(latency[k]),
                )
                for k, camera in enumerate(seen.cameras)
            },
            sum_latency_s=seen.instance.sum_latency_s(x, y),
            common_fps=seen.instance.common_fps(x, y),
            decided_s=now_s,
        ),
    )


def _flows(
    streams: Streams, seen: Watched, x: Ints, y: Ints, rates: Floats
) -> tuple[dict[FlowId, tuple[DeviceId, ...]], dict[FlowId, float], dict[FlowId, float]]:
    """Routes, guarantees and ceilings of the flows between any two edges that are here and reach each other."""
    graph, needs = seen.graph, _needs_bps(streams, seen, x, y, rates)
    carried: dict[tuple[int, int], float] = {}
    for pair, need in needs.items():
        for hop in pairwise(seen.routes[pair].devices):
            carried[hop] = carried.get(hop, 0.0) + need
    routes: dict[FlowId, tuple[DeviceId, ...]] = {}
    guaranteed: dict[FlowId, float] = {}
    ceilings: dict[FlowId, float] = {}
    for (a, b), need in needs.items():
        route = seen.routes[a, b]
        flow = Flow(producer=streams.edges[graph.devices[a]], consumer=streams.edges[graph.devices[b]]).id
        hops = list(zip(pairwise(route.devices), route.links, strict=True))
        scale = min(1.0, *(GRANTED * float(graph.capacity_bps[link]) / carried[hop] for hop, link in hops))
        routes[flow] = graph.names(route)
        guaranteed[flow] = need * scale
        ceilings[flow] = min(float(graph.capacity_bps[link]) for link in route.links)
    return routes, guaranteed, ceilings


def _needs_bps(
    streams: Streams, seen: Watched, x: Ints, y: Ints, rates: Floats
) -> dict[tuple[int, int], float]:
    """Of each pair of edges: the frames and crops that it carries at these rates, and something for the rest."""
    index = seen.graph.index
    edges = [index[device] for device in sorted(streams.edges) if device in index]
    needs = {(a, b): FLOOR_BPS for a in edges for b in edges if a != b and (a, b) in seen.routes}
    finite = np.where(np.isfinite(rates), rates, 0.0)
    server = index.get(next(device for device, task in streams.edges.items() if task == streams.server))

    def add(a: int, b: int, bps: float) -> None:
        if (a, b) in needs:
            needs[a, b] += bps

    for k in range(len(seen.cameras)):
        camera, detecting, identifying = int(seen.at[k]), int(x[k]), int(y[k])
        add(camera, detecting, _SPARE * finite[k] * seen.frame_bits[k] + TALK_BPS)
        add(detecting, camera, TALK_BPS)
        add(detecting, identifying, _SPARE * finite[k] * seen.crop_bits[k] + TALK_BPS)
        add(identifying, detecting, TALK_BPS)
    for device in edges:
        if server is not None and device != server:
            add(device, server, TALK_BPS)
            add(server, device, TALK_BPS)
    return needs


def _beside(plan: Plan, old: Plan) -> Plan:
    """The plan, with the old flows of devices that are away: they are as they were when these come back."""
    return replace(
        plan,
        routes={**old.routes, **plan.routes},
        rates_bps={**dict.fromkeys(old.rates_bps, FLOOR_BPS), **plan.rates_bps},
        ceilings_bps={**old.ceilings_bps, **plan.ceilings_bps},
    )
