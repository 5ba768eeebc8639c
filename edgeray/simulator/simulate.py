"""The scheduler under a virtual clock: its effects change a virtual cluster, whose events go back to it."""

from __future__ import annotations

import math
from collections.abc import Callable

from edgeray.errors import BadInputError
from edgeray.policy_names import policy_named as _policy_named
from edgeray.scheduler import effects as ef
from edgeray.scheduler import events as ev
from edgeray.scheduler.jobs import JobRecord, Phase
from edgeray.scheduler.state import SchedulerState
from edgeray.scheduler.timed import TimedPolicy
from edgeray.simulator.clock import CONTROL, WORLD, Clock
from edgeray.simulator.items import ItemsWorld
from edgeray.simulator.outcome import Detail, Outcome, Sharing, SimulatedJob
from edgeray.simulator.rates import RatesWorld
from edgeray.simulator.scenario import Arrival, DeviceFails, DeviceReturns, Disturbance, Scenario, check
from edgeray.simulator.world import Order, World
from policies.model import Decision, FlowId, JobId, Policy

_WORLDS: dict[Detail, type[ItemsWorld] | type[RatesWorld]] = {"items": ItemsWorld, "rates": RatesWorld}


def simulate(
    scenario: Scenario,
    *,
    policy_named: Callable[[str], Policy] = _policy_named,
    detail: Detail = "items",
    sharing: Sharing = "granted",
    warm_s: float = 0.0,
    control_delay_s: float = 0.0,
    progress: Callable[[float], None] | None = None,
) -> Outcome:
    """Run a scenario to its end, by the live system's scheduler state and policies.

    detail: "items" takes every item through every task and flow, with the queues and the back-pressure of a stage;
    "rates" lets each stream go at its predicted rate between the scheduler's events. sharing: flows have the rates
    granted to them, as tc enforces them, or share links max-min, as TCP about does. warm_s: how long a job must have
    run before its throughput counts. control_delay_s: what each order of the scheduler takes to be in force.
    progress: is told the virtual time as it goes on. Deterministic but for planning_s.
    Raises BadInputError for a scenario that cannot be simulated.
    """
    check(scenario)
    if detail not in _WORLDS or sharing not in ("granted", "max-min"):
        raise BadInputError(
            f"detail {detail!r}, sharing {sharing!r}: expected items or rates, granted or max-min"
        )
    if not (warm_s >= 0 and control_delay_s >= 0):
        raise BadInputError(f"warm_s {warm_s}, control_delay_s {control_delay_s}: expected 0 or more")
    simulation = _Simulation(
        scenario, policy_named, detail, sharing, warm_s=warm_s, delay_s=control_delay_s, progress=progress
    )
    return simulation.run()


class _Simulation:
    def __init__(
        self,
        scenario: Scenario,
        policy_named: Callable[[str], Policy],
        detail: Detail,
        sharing: Sharing,
        *,
        warm_s: float,
        delay_s: float,
        progress: Callable[[float], None] | None,
    ) -> None:
        self._scenario = scenario
        self._policy_named = policy_named
        self._policies: dict[str, Policy] = {}
        self._warm_s = warm_s
        self._delay_s = delay_s
        self._progress = progress
        self._clock = Clock()
        self._state = SchedulerState(scenario.network, self._timed)
        self._world: World = _WORLDS[detail](scenario.network, self._clock, self, sharing)
        self._arrivals = {arrival.workload.job.id: arrival for arrival in scenario.arrivals}
        self._started: set[JobId] = set()
        self._planning_s: list[float] = []
        self._last_s = 0.0
        self._alarm_s: float | None = None

    def run(self) -> Outcome:
        for device in sorted(self._scenario.network.devices):
            self._handle(ev.DeviceJoined(at_s=0.0, device=device, address=device))
        for arrival in sorted(self._scenario.arrivals, key=lambda a: a.at_s):
            self._clock.at(arrival.at_s, CONTROL, self._arrive, arrival)
        for disturbance in self._scenario.disturbances:
            self._clock.at(disturbance.at_s, WORLD, self._disturb, disturbance)
        until_s = self._scenario.until_s
        self._clock.run(math.inf if until_s is None else until_s)
        return self._outcome(self._last_s if until_s is None else until_s)

    def _planned(self, seconds: float, _decision: Decision) -> None:
        self._planning_s.append(seconds)

    def _timed(self, name: str) -> Policy:
        if name not in self._policies:
            try:
                self._policies[name] = TimedPolicy(self._policy_named(name), self._planned)
            except ValueError as error:
                raise BadInputError(str(error)) from error
        return self._policies[name]

    # The scheduler's events

    def _handle(self, event: ev.Event) -> None:
        self._last_s = event.at_s
        for effect in self._state.handle(event):
            self._carry_out(effect)
        alarm_s = self._state.wake_s()
        if alarm_s is not None and alarm_s != self._alarm_s:
            self._clock.at(max(alarm_s, event.at_s), CONTROL, self._tick, alarm_s)
        self._alarm_s = alarm_s
        if self._progress is not None:
            self._progress(event.at_s)

    def _tell(self, event: Callable[[float], ev.Event]) -> None:
        """Let the scheduler know, once all that the world does at this moment is done."""
        self._clock.at(self._clock.now_s, CONTROL, self._told, event)

    def _told(self, event: Callable[[float], ev.Event]) -> None:
        self._handle(event(self._clock.now_s))

    def _arrive(self, arrival: Arrival) -> None:
        self._handle(
            ev.JobSubmitted(
                at_s=self._clock.now_s,
                job=arrival.workload.job.id,
                workload=arrival.workload,
                policy=arrival.policy,
                needs_profile=False,
                lease_s=None,
            )
        )

    def _disturb(self, what: Disturbance) -> None:
        now_s = self._clock.now_s
        if isinstance(what, DeviceFails):
            self._world.device_fails(what.device)
            self._handle(ev.DeviceLost(at_s=now_s, device=what.device, reason="it failed"))
        elif isinstance(what, DeviceReturns):
            self._world.device_returns(what.device)
            self._handle(ev.DeviceJoined(at_s=now_s, device=what.device, address=what.device))
        else:
            self._world.link_changes(what.link, what.capacity_bps)
            self._handle(ev.LinkChanged(at_s=now_s, link=what.link, capacity_bps=what.capacity_bps))

    # What the world reports

    def finished(self, job: JobId) -> None:
        self._clock.at(self._clock.now_s, CONTROL, self._finish, job)

    def _finish(self, job: JobId) -> None:
        """The job has come to its end by itself: its stages leave."""
        record = self._state.jobs[job]
        if record.phase is Phase.RUNNING:
            for device in sorted(record.stages):
                self._world.stop(device, job)
                self._handle(ev.StageEnded(at_s=self._clock.now_s, job=job, device=device, error=None))

    def transfer_ready(self, job: JobId, flow: FlowId) -> None:
        self._tell(lambda at_s: ev.TransferReady(at_s=at_s, job=job, flow=flow))

    def transfer_done(self, job: JobId, flow: FlowId) -> None:
        self._tell(lambda at_s: ev.TransferDone(at_s=at_s, job=job, flow=flow))

    # The scheduler's effects

    def _carry_out(self, effect: ef.Effect) -> None:
        if not isinstance(effect, ef.JobChanged):
            self._clock.at(self._clock.now_s + self._delay_s, CONTROL, self._in_force, effect)

    def _in_force(self, effect: ef.Effect) -> None:
        now_s = self._clock.now_s
        match effect:
            case ef.ApplyNetwork(device=device, version=version, rules=rules):
                self._world.rules(device, rules)
                self._handle(ev.NetworkApplied(at_s=now_s, device=device, version=version))
            case ef.DeployStage(device=device, stage=stage):
                self._deploy(self._state.jobs[stage.job], stage)
            case ef.StartStage(device=device, job=job):
                self._world.start(device, job)
                self._job_starts(self._state.jobs[job])
            case ef.PaceStage(device=device, job=job, granted_per_s=granted_per_s):
                plan = self._state.jobs[job].plan
                assert plan is not None
                self._world.pace(device, job, granted_per_s, plan)
            case ef.StartTransfer(job=job, flow=flow):
                self._world.transfer(job, flow)
            case ef.StopStage(device=device, job=job):
                self._world.stop(device, job)
                self._handle(ev.StageEnded(at_s=now_s, job=job, device=device, error=None))
            case _:
                raise AssertionError(f"no virtual world carries out {effect}")

    def _deploy(self, record: JobRecord, stage: ef.StagePlan) -> None:
        if stage.device not in record.stages or record.plan is None:
            return
        if record.plan.throughput_per_s == math.inf:
            raise BadInputError(
                f"job {record.id}: nothing bounds how fast it goes: no source rate, no work, no bytes over a link\n"
                "  remedy:   give a source items_per_s"
            )
        items = 1 if record.workload.job.mode == "once" else self._arrivals[record.id].items
        order = Order(workload=record.workload, plan=record.plan, items=items, warm_s=self._warm_s)
        self._world.deploy(stage, order)
        self._handle(ev.StageDeployed(at_s=self._clock.now_s, job=record.id, device=stage.device))

    def _job_starts(self, record: JobRecord) -> None:
        if record.id in self._started or record.started_s is None:
            return
        self._started.add(record.id)
        seconds = self._arrivals[record.id].seconds
        if seconds is not None and record.workload.job.mode == "stream":
            self._clock.at(record.started_s + seconds, CONTROL, self._finish, record.id)

    def _tick(self, due_s: float) -> None:
        if due_s == self._alarm_s:
            self._alarm_s = None
            self._handle(ev.Ticked(at_s=self._clock.now_s))

    # The end

    def _outcome(self, end_s: float) -> Outcome:
        self._clock.now_s = end_s
        jobs = tuple(self._job(record) for record in self._state.jobs.values())
        busy_s = self._world.busy_seconds()
        loads = self._world.link_loads()
        return Outcome(
            jobs=jobs,
            end_s=end_s,
            events=self._clock.events,
            device_busy={d: busy_s[d] / end_s if end_s > 0 else 0.0 for d in sorted(busy_s)},
            link_load={link: loads[link] for link in sorted(loads)},
            planning_s=tuple(self._planning_s),
        )

    def _job(self, record: JobRecord) -> SimulatedJob:
        plan = record.plan
        measured = self._world.measured(record.id)
        makespan_s = None
        if record.workload.job.mode == "once" and record.phase is Phase.DONE:
            makespan_s = (record.ended_s or 0.0) - (record.started_s or 0.0)
        return SimulatedJob(
            job=record.id,
            policy=record.policy,
            mode=record.workload.job.mode,
            phase=record.phase.value,
            detail=record.detail or "; ".join(record.reasons),
            submitted_s=record.submitted_s,
            placed_s=record.placed_s,
            started_s=record.started_s,
            ended_s=record.ended_s,
            waited_s=None if record.placed_s is None else record.placed_s - record.submitted_s,
            items=measured.items,
            throughput_per_s=measured.throughput_per_s if makespan_s is None else 1 / makespan_s,
            planned_per_s=None if plan is None else plan.throughput_per_s,
            latency_p50_s=measured.latency_p50_s,
            latency_p95_s=measured.latency_p95_s,
            makespan_s=makespan_s,
            planned_makespan_s=plan.timetable.makespan_s if plan and plan.timetable else None,
            plan=plan,
        )
