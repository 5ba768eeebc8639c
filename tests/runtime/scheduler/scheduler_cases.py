"""A small cluster with jobs of all modes, and policies that place by rote: for tests of the state."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import ApplyNetwork, DeployStage, Effect, StopStage
from edgeray.scheduler.state import SchedulerState
from policies.model import (
    Decision,
    Device,
    DeviceId,
    Flow,
    FlowId,
    Infeasible,
    Job,
    JobId,
    Link,
    LinkId,
    Mode,
    Network,
    Plan,
    Rounds,
    Snapshot,
    Task,
    TaskId,
    Timetable,
    Training,
    Workload,
)

E1, E2, E3 = DeviceId("e1"), DeviceId("e2"), DeviceId("e3")
DEVICES = (E1, E2, E3)
A, B, C = TaskId("a"), TaskId("b"), TaskId("c")
AB, AC = FlowId("a->b"), FlowId("a->c")
BA, CA = FlowId("b->a"), FlowId("c->a")
L12, L23 = LinkId("e1-e2"), LinkId("e2-e3")
NETWORK = Network(
    devices={d: Device(id=d, type="pi", memory_bytes=100, speed_flop_per_s=1) for d in DEVICES},
    links={
        link.id: link for link in (Link(ends=(E1, E2), capacity_bps=10), Link(ends=(E2, E3), capacity_bps=8))
    },
)
PLACEMENT = {A: E1, B: E2, C: E3}
ROUTES = {AB: (E1, E2), AC: (E1, E2, E3)}
ROUTES_BACK = {BA: (E2, E1), CA: (E3, E2, E1)}
POLICIES: dict[Mode, str] = {"stream": "rote", "once": "rote-once", "loop": "rote-loop"}
TRAINING = Training(server=A, batches={B: 4, C: 4}, rounds=3)


def workload(name: str, mode: Mode) -> Workload:
    """a feeds b and c; in a loop it trains a model with them, and they feed it too."""
    where = PLACEMENT if mode == "loop" else {}
    pairs = [(A, B), (A, C), *([(B, A), (C, A)] if mode == "loop" else [])]
    job = Job(
        id=JobId(name),
        tasks=tuple(
            Task(id=task, device=where.get(task), work_flop=1, memory_bytes=30) for task in (A, B, C)
        ),
        flows=tuple(Flow(producer=one, consumer=other, size_bytes=1) for one, other in pairs),
        mode=mode,
        training=TRAINING if mode == "loop" else None,
    )
    return Workload(job=job)


@dataclass
class Rote:
    """a on e1, b on e2, c on e3. Streams share the links equally; flows of other jobs get 2 bits/s.

    seen: every snapshot, with what had arrived. Refuses when a device is away or the memory does not suffice.
    """

    name: str
    seen: list[tuple[Snapshot, tuple[JobId, ...]]] = field(default_factory=list)

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        self.seen.append((snapshot, tuple(w.job.id for w in arrivals)))
        running = [
            r.workload for r in snapshot.running if self.name == "rote" and r.workload.job.mode == "stream"
        ]
        if len(snapshot.network.devices) < len(DEVICES):
            reasons = ("a device is away",)
            return Decision(
                infeasible={w.job.id: Infeasible(job=w.job.id, reasons=reasons) for w in arrivals}
            )
        free = snapshot.network.devices[E1].memory_bytes
        free -= sum(r.workload.held_bytes(r.plan.placement).get(E1, 0) for r in snapshot.running)
        fitting = list(arrivals)[: max(0, int(free // 30))]
        refused = {
            w.job.id: Infeasible(job=w.job.id, reasons=("e1 is full",)) for w in arrivals if w not in fitting
        }
        here = [*running, *fitting]
        capacity_bps = min(link.capacity_bps for link in snapshot.network.links.values())
        rate = capacity_bps / 2 / max(1, len(here)) if self.name == "rote" else 2.0
        return Decision(plans={w.job.id: plan(w.job, self.name, rate) for w in here}, infeasible=refused)


def plan(job: Job, policy: str, rate: float) -> Plan:
    """The transfer to c goes first, then that to b. In a loop, what comes from c may take more than its rate."""
    table = Timetable(
        tasks={A: (0, 1), B: (9, 10), C: (5, 6)},
        transfers={AB: (5, 9), AC: (1, 5)},
        makespan_s=10,
        bound_s=3,
        contention_free_s=6,
    )
    loop = job.mode == "loop"
    routes = {**ROUTES, **ROUTES_BACK} if loop else ROUTES
    rounds = Rounds(cuts={B: 0, C: 1}, micro_batches=2, round_s=8, predicted_s=9, bound_s=7)
    return Plan(
        job=job.id,
        policy=policy,
        placement=PLACEMENT,
        routes=routes,
        rates_bps=dict.fromkeys(routes, rate),
        throughput_per_s=1.0,
        bottleneck="link e1-e2",
        timetable=table if job.mode == "once" else None,
        rounds=rounds if loop else None,
        ceilings_bps={CA: 6.0} if loop else {},
    )


class Cluster:
    """The state, and nodes that at once do what they are told; effects: all that came out, in order."""

    def __init__(self, network: Network = NETWORK, *, joined: Sequence[DeviceId] = DEVICES) -> None:
        self.policies = {name: Rote(name) for name in POLICIES.values()}
        self.state = SchedulerState(network, self.policies.__getitem__)
        self.effects: list[Effect] = []
        for device in joined:
            self.handle(ev.DeviceJoined(at_s=0, device=device, address=f"ip-{device}"))

    def handle(self, event: ev.Event) -> list[Effect]:
        """The effects of this event, and of all that the nodes answered to them."""
        effects = self.state.handle(event)
        self.effects += effects
        answers: list[Effect] = []
        for effect in effects:
            if isinstance(effect, ApplyNetwork):
                answers += self.handle(
                    ev.NetworkApplied(at_s=event.at_s, device=effect.device, version=effect.version)
                )
            elif isinstance(effect, DeployStage):
                answers += self.handle(
                    ev.StageDeployed(at_s=event.at_s, job=effect.stage.job, device=effect.device)
                )
            elif isinstance(effect, StopStage):
                answers += self.end(effect.job, effect.device, at_s=event.at_s)
        return [*effects, *answers]

    def submit(self, name: str, mode: Mode = "once", at_s: float = 1) -> list[Effect]:
        return self.handle(
            ev.JobSubmitted(
                at_s=at_s,
                job=JobId(name),
                workload=workload(name, mode),
                policy=POLICIES[mode],
                needs_profile=False,
                lease_s=None,
            )
        )

    def end(self, name: str, *devices: DeviceId, at_s: float = 20) -> list[Effect]:
        """Its stages end without an error: all of them, or those on these devices."""
        effects: list[Effect] = []
        for device in devices or tuple(self.state.jobs[JobId(name)].stages):
            effects += self.handle(ev.StageEnded(at_s=at_s, job=JobId(name), device=device, error=None))
        return effects

    def ready(self, name: str, flow: FlowId, at_s: float) -> list[Effect]:
        return self.handle(ev.TransferReady(at_s=at_s, job=JobId(name), flow=flow))

    def done(self, name: str, flow: FlowId, at_s: float) -> list[Effect]:
        return self.handle(ev.TransferDone(at_s=at_s, job=JobId(name), flow=flow))

    def phase(self, name: str) -> str:
        return self.state.jobs[JobId(name)].phase.value


def until(condition: Callable[[], Any]) -> None:
    """Orders are carried out on threads of their own: look again and again for what comes of the last."""
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s, "waited in vain"
        threading.Event().wait(0.01)
