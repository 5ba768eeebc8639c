"""The scheduler as a pure state machine: handle(event) -> [effects].

A job goes  profiling -> waiting -> deploying -> running -> done,  and from anywhere to stopping -> stopped or
failed. The same state drives the live cluster and a virtual clock: it never looks at a clock, a socket or Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import (
    ApplyNetwork,
    DeployStage,
    Effect,
    JobChanged,
    PaceStage,
    ProfileJob,
    StartStage,
    StartTransfer,
    StopStage,
)
from edgeray.scheduler.jobs import JobRecord, Phase, crossing_flows, flow_rules, stage_plans
from edgeray.scheduler.lanes import Lanes
from edgeray.scheduler.ports import PortPool
from policies.model import Decision, DeviceId, FlowId, JobId, Network, Plan, Policy, RunningJob, Snapshot

Handler = Callable[..., list[Effect]]


class SchedulerState:
    """Jobs, devices, and what is wanted of them.

    network: all that the cluster file declares; policies see the part whose devices have joined.
    policy_named: looks a policy up by name; raises ValueError for an unknown one.
    The policy of the job submitted last governs the cluster: it places what waits and re-adjusts what runs.
    """

    def __init__(self, network: Network, policy_named: Callable[[str], Policy]) -> None:
        self._network = network
        self._policy_named = policy_named
        self._policy: Policy | None = None
        self._jobs: dict[JobId, JobRecord] = {}
        self._addresses: dict[DeviceId, str] = {}
        self._ports = PortPool()
        self._lanes = Lanes()
        self._versions: dict[DeviceId, int] = {}
        self._applied: dict[DeviceId, int] = {}
        self._handlers: Mapping[type[ev.Event], Handler] = {
            ev.JobSubmitted: self._job_submitted,
            ev.JobProfiled: self._job_profiled,
            ev.ProfileFailed: self._profile_failed,
            ev.DeviceJoined: self._device_joined,
            ev.DeviceLost: self._device_lost,
            ev.StageDeployed: self._stage_deployed,
            ev.StageEnded: self._stage_ended,
            ev.TransferReady: self._transfer_ready,
            ev.TransferDone: self._transfer_done,
            ev.NetworkApplied: self._network_applied,
            ev.NetworkRefused: self._network_refused,
            ev.StopRequested: self._stop_requested,
            ev.LeaseRenewed: self._lease_renewed,
            ev.Ticked: self._ticked,
        }

    # What can be asked

    @property
    def jobs(self) -> Mapping[JobId, JobRecord]:
        return self._jobs

    @property
    def devices(self) -> Mapping[DeviceId, str]:
        """Addresses of the devices that have joined."""
        return self._addresses

    def handle(self, event: ev.Event) -> list[Effect]:
        """Take one event in; the effects are to be carried out in order. Late or repeated events do nothing."""
        effects = self._handlers[type(event)](event)
        return [*effects, *(self._start_transfer(*key) for key in self._lanes.grants(event.at_s))]

    def wake_s(self) -> float | None:
        """When a Ticked would start a transfer that waits for another one's planned start; None: there is none."""
        return self._lanes.wake_s()

    def snapshot(self, now_s: float) -> Snapshot:
        """What a policy sees now."""
        running = sorted(
            (r for r in self._jobs.values() if r.phase.placed and r.plan is not None),
            key=lambda r: (r.placed_s or 0.0, r.id),
        )
        return Snapshot(
            network=self._live_network(),
            running=tuple(RunningJob(workload=r.workload, plan=r.plan) for r in running if r.plan),
            now_s=now_s,
        )

    # Jobs

    def _job_submitted(self, event: ev.JobSubmitted) -> list[Effect]:
        if event.job in self._jobs:
            return []
        self._policy = self._policy_named(event.policy)
        record = JobRecord(
            id=event.job,
            workload=event.workload,
            policy=event.policy,
            submitted_s=event.at_s,
            phase=Phase.PROFILING if event.needs_profile else Phase.WAITING,
            lease_s=event.lease_s,
            heard_s=event.at_s,
        )
        self._jobs[event.job] = record
        changed = self._changed(record, f"submitted with policy {event.policy}")
        if event.needs_profile:
            return [changed, ProfileJob(job=event.job)]
        return [changed, *self._schedule(event.at_s)]

    def _job_profiled(self, event: ev.JobProfiled) -> list[Effect]:
        record = self._jobs.get(event.job)
        if record is None or record.phase is not Phase.PROFILING:
            return []
        record.workload = replace(record.workload, profile=event.profile)
        record.phase = Phase.WAITING
        return [self._changed(record, "profiled"), *self._schedule(event.at_s)]

    def _profile_failed(self, event: ev.ProfileFailed) -> list[Effect]:
        record = self._jobs.get(event.job)
        if record is None or record.phase is not Phase.PROFILING:
            return []
        return self._end(record, Phase.FAILED, f"profiling failed: {event.reason}", event.at_s)

    def _stop_requested(self, event: ev.StopRequested) -> list[Effect]:
        record = self._jobs.get(event.job)
        return [] if record is None else self._end(record, Phase.STOPPED, event.reason, event.at_s)

    def _lease_renewed(self, event: ev.LeaseRenewed) -> list[Effect]:
        record = self._jobs.get(event.job)
        if record is not None:
            record.heard_s = event.at_s
        return []

    def _ticked(self, event: ev.Ticked) -> list[Effect]:
        effects: list[Effect] = []
        for record in tuple(self._jobs.values()):
            silent_s = event.at_s - record.heard_s
            if record.lease_s is None or record.phase.ended or silent_s <= record.lease_s:
                continue
            reason = f"its submitter has not been heard of for {silent_s:.0f} s"
            effects += self._end(record, Phase.STOPPED, reason, event.at_s)
        return effects

    # Stages

    def _stage_deployed(self, event: ev.StageDeployed) -> list[Effect]:
        record = self._jobs.get(event.job)
        if record is None or event.device not in record.stages:
            return []
        record.stages[event.device] = True
        return self._start_if_ready(record, event.at_s)

    def _stage_ended(self, event: ev.StageEnded) -> list[Effect]:
        record = self._jobs.get(event.job)
        if record is None or event.device not in record.stages:
            return []
        del record.stages[event.device]
        effects: list[Effect] = []
        if event.error is not None:
            reason = f"device {event.device}: {event.error}"
            effects += self._end(record, Phase.FAILED, reason, event.at_s, peer_lost=event.peer_lost)
        elif record.phase is Phase.DEPLOYING:
            effects += self._end(record, Phase.FAILED, f"device {event.device}: stage left early", event.at_s)
        if not record.stages and not record.phase.ended:
            effects += self._release(record, event.at_s)
        return effects

    def _start_if_ready(self, record: JobRecord, at_s: float) -> list[Effect]:
        if record.phase is not Phase.DEPLOYING or not all(record.stages.values()):
            return []
        if any(self._applied.get(device, 0) < version for device, version in record.network.items()):
            return []
        record.phase = Phase.RUNNING
        record.started_s = at_s
        if record.workload.job.mode == "once" and record.plan is not None:
            self._lanes.admit(record.id, record.plan, at_s)
        starts: list[Effect] = [StartStage(device=device, job=record.id) for device in sorted(record.stages)]
        return [self._changed(record, "running"), *starts]

    # Transfers of one-shot jobs

    def _transfer_ready(self, event: ev.TransferReady) -> list[Effect]:
        started = self._lanes.ready(event.job, event.flow)
        return [self._start_transfer(event.job, event.flow)] if started else []

    def _transfer_done(self, event: ev.TransferDone) -> list[Effect]:
        self._lanes.done(event.job, event.flow)
        return []

    def _start_transfer(self, job: JobId, flow: FlowId) -> StartTransfer:
        plan = self._jobs[job].plan
        assert plan is not None, f"job {job} sends, so it was placed"
        return StartTransfer(device=plan.routes[flow][0], job=job, flow=flow)

    # Devices and their networks

    def _device_joined(self, event: ev.DeviceJoined) -> list[Effect]:
        if event.device not in self._network.devices or event.device in self._addresses:
            return []
        self._addresses[event.device] = event.address
        return [*self._apply_network([event.device]), *self._schedule(event.at_s)]

    def _device_lost(self, event: ev.DeviceLost) -> list[Effect]:
        if self._addresses.pop(event.device, None) is None:
            return []
        effects: list[Effect] = []
        for record in tuple(self._jobs.values()):
            if record.phase.ended or record.plan is None:
                continue
            used = {event.device} & {d for route in record.plan.routes.values() for d in route}
            if event.device in record.stages or used:
                record.stages.pop(event.device, None)
                reason = f"device {event.device} was lost: {event.reason}"
                effects += self._end(record, Phase.FAILED, reason, event.at_s)
        return effects

    def _network_applied(self, event: ev.NetworkApplied) -> list[Effect]:
        self._applied[event.device] = max(event.version, self._applied.get(event.device, 0))
        effects: list[Effect] = []
        for record in tuple(self._jobs.values()):
            effects += self._start_if_ready(record, event.at_s)
        return effects

    def _network_refused(self, event: ev.NetworkRefused) -> list[Effect]:
        """The jobs that wait for this version cannot be enforced: they end, by name."""
        effects: list[Effect] = []
        for record in tuple(self._jobs.values()):
            if record.phase is Phase.DEPLOYING and event.version <= record.network.get(event.device, 0):
                reason = f"device {event.device} cannot enforce its flows: {event.reason}"
                effects += self._end(record, Phase.FAILED, reason, event.at_s)
        return effects

    def _apply_network(self, devices: list[DeviceId]) -> list[Effect]:
        rules = [
            rule
            for record in sorted(self._jobs.values(), key=lambda r: r.id)
            if record.phase.placed and self._all_joined(record.plan)
            for rule in flow_rules(record, self._addresses)
        ]
        effects: list[Effect] = []
        for device in devices:
            if device not in self._addresses:
                continue
            version = self._versions[device] = self._versions.get(device, 0) + 1
            mine = tuple(rule for rule in rules if device in rule.route)
            effects.append(ApplyNetwork(device=device, version=version, rules=mine))
        return effects

    def _all_joined(self, plan: Plan | None) -> bool:
        return plan is not None and all(
            device in self._addresses for route in plan.routes.values() for device in route
        )

    def _live_network(self) -> Network:
        joined = self._addresses
        return Network(
            devices={d: dev for d, dev in self._network.devices.items() if d in joined},
            links={
                name: link
                for name, link in self._network.links.items()
                if link.ends[0] in joined and link.ends[1] in joined
            },
        )

    # Decisions

    def _schedule(self, at_s: float) -> list[Effect]:
        """Ask the governing policy about what waits and what runs, and act on its answer."""
        if self._policy is None:
            return []
        waiting = [r for r in self._jobs.values() if r.phase is Phase.WAITING]
        snapshot = self.snapshot(at_s)
        if not waiting and not snapshot.running:
            return []
        waiting.sort(key=lambda r: (r.submitted_s, r.id))
        decision = self._policy.decide(snapshot, tuple(r.workload for r in waiting))
        return self._carry_out(decision, waiting, at_s)

    def _carry_out(self, decision: Decision, waiting: list[JobRecord], at_s: float) -> list[Effect]:
        touched: set[DeviceId] = set()
        arrivals = [r for r in waiting if r.id in decision.plans]
        readjusted = [
            r
            for r in self._jobs.values()
            if r.phase in (Phase.DEPLOYING, Phase.RUNNING)
            and r.id in decision.plans
            and decision.plans[r.id] != r.plan
        ]
        for record in readjusted:
            touched |= _route_devices(record.plan)
            record.plan = decision.plans[record.id]
            touched |= _route_devices(record.plan)
        for record in arrivals:
            self._place(record, decision.plans[record.id], at_s)
            touched |= _route_devices(record.plan)
        effects = self._apply_network(sorted(touched))
        for record in arrivals:
            record.network = {
                d: self._versions[d] for d in sorted(_route_devices(record.plan) & set(self._versions))
            }
            effects.append(self._changed(record, f"placed by {decision.plans[record.id].policy}"))
            effects += [
                DeployStage(device=stage.device, stage=stage)
                for stage in stage_plans(record, self._addresses)
            ]
        for record in readjusted:
            effects += _pace_effects(record)
        for record in waiting:
            if record.id in decision.infeasible:
                record.reasons = decision.infeasible[record.id].reasons
                effects += self._refuse_if_hopeless(record, at_s)
        return effects

    def _place(self, record: JobRecord, plan: Plan, at_s: float) -> None:
        record.plan = plan
        record.reasons = ()
        record.placed_s = at_s
        record.phase = Phase.DEPLOYING
        record.ports = {flow: self._ports.take() for flow in crossing_flows(plan)}
        record.stages = dict.fromkeys(sorted(set(plan.placement.values())), False)

    def _refuse_if_hopeless(self, record: JobRecord, at_s: float) -> list[Effect]:
        """A job that an empty, complete cluster cannot hold would wait for ever."""
        busy = any(r.phase.placed for r in self._jobs.values())
        complete = len(self._addresses) == len(self._network.devices)
        if busy or not complete:
            return [self._changed(record, "waits: " + "; ".join(record.reasons))]
        return self._end(record, Phase.FAILED, "cannot be placed: " + "; ".join(record.reasons), at_s)

    # Endings

    def _end(
        self, record: JobRecord, ending: Phase, detail: str, at_s: float, *, peer_lost: bool = False
    ) -> list[Effect]:
        """Bring a job down. The first reason stands, unless it only told of a peer that was gone."""
        if (
            record.phase is Phase.STOPPING
            and record.blamed_on_peer
            and not peer_lost
            and ending is Phase.FAILED
        ):
            record.detail, record.blamed_on_peer = detail, False
        if record.phase.ended or record.phase is Phase.STOPPING:
            return [] if record.stages or record.phase.ended else self._release(record, at_s)
        self._lanes.drop(record.id)
        record.ending = ending
        record.detail, record.blamed_on_peer = detail, peer_lost
        if not record.stages:
            return self._release(record, at_s)
        record.phase = Phase.STOPPING
        stops: list[Effect] = [StopStage(device=device, job=record.id) for device in sorted(record.stages)]
        return [self._changed(record, detail), *stops]

    def _release(self, record: JobRecord, at_s: float) -> list[Effect]:
        """Give back all that the job held, and let the others have it."""
        self._lanes.drop(record.id)
        held = _route_devices(record.plan)
        for port in record.ports.values():
            self._ports.release(port)
        record.ports = {}
        record.network = {}
        record.phase = record.ending
        record.ended_s = at_s
        effects: list[Effect] = [self._changed(record, record.detail or record.ending.value)]
        effects += self._apply_network(sorted(held))
        return effects + self._schedule(at_s)

    def _changed(self, record: JobRecord, detail: str) -> JobChanged:
        return JobChanged(job=record.id, phase=record.phase.value, detail=detail)


def _route_devices(plan: Plan | None) -> set[DeviceId]:
    if plan is None:
        return set()
    return {device for route in plan.routes.values() if len(route) > 1 for device in route}


def _pace_effects(record: JobRecord) -> list[Effect]:
    plan = record.plan
    if plan is None:
        return []
    effects: list[Effect] = []
    for device in sorted(record.stages):
        mine = {
            flow: rate
            for flow, rate in sorted(plan.rates_bps.items())
            if plan.routes[flow] and plan.routes[flow][0] == device
        }
        effects.append(
            PaceStage(device=device, job=record.id, granted_per_s=plan.granted_per_s, rates_bps=mine)
        )
    return effects
