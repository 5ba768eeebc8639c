"""The scheduler as a pure state machine: handle(event) -> [effects].

A job goes  profiling -> waiting -> deploying -> running -> done,  and from anywhere to stopping -> stopped or
failed. The same state drives the live cluster and a virtual clock: it never looks at a clock, a socket or Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from edgeray.scheduler import events as ev
from edgeray.scheduler.cluster import Cluster
from edgeray.scheduler.effects import (
    DeployStage,
    Effect,
    ProfileJob,
    StartStage,
    StartTransfer,
    StopStage,
)
from edgeray.scheduler.footprint import crossing_flows
from edgeray.scheduler.governors import ADJUSTED, MODES, Governors
from edgeray.scheduler.jobs import (
    Attendance,
    JobRecord,
    Phase,
    changed,
    flow_rules,
    pace_stages,
    stage_plans,
)
from edgeray.scheduler.lanes import Lanes
from edgeray.scheduler.loops import Ending, Loops, Outcome, map_streams
from edgeray.scheduler.ports import PortPool
from edgeray.scheduler.roster import Roster
from edgeray.scheduler.rulebook import RuleBook
from policies.model import Decision, DeviceId, FlowId, JobId, Mode, Network, Plan, Policy
from policies.online.shares import shared

Handler = Callable[..., list[Effect]]


class SchedulerState:
    """Jobs, devices, and what is wanted of them.

    network: all that the cluster file declares; policies see the part whose devices have joined.
    policy_named: looks a policy up by name; raises ValueError for an unknown one.
    A policy a mode governs the cluster: that of the stream submitted last places waiting streams and re-adjusts
    running ones; those of the one-shot job and of the loop submitted last place what waits of these.
    """

    def __init__(self, network: Network, policy_named: Callable[[str], Policy]) -> None:
        self._cluster = Cluster(network)
        self._policy_named = policy_named
        self._governors = Governors()
        self._roster = Roster()
        self._ports = PortPool()
        self._rules = RuleBook()
        self._lanes = Lanes()
        self._loops = Loops(self._cluster, self._rules)
        self._owed: list[Effect] = []
        self._arrived = False
        self._reconsider = False
        self._handlers: Mapping[type[ev.Event], Handler] = {
            ev.JobSubmitted: self._job_submitted,
            ev.JobProfiled: self._job_profiled,
            ev.ProfileFailed: self._profile_failed,
            ev.DeviceJoined: self._device_joined,
            ev.DeviceLost: self._device_lost,
            ev.LinkChanged: self._link_changed,
            ev.StreamsMeasured: self._streams_measured,
            ev.SharesAsked: self._shares_asked,
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
        return self._roster.all

    @property
    def devices(self) -> Mapping[DeviceId, str]:
        """Addresses of the devices that have joined."""
        return self._cluster.addresses

    def wake_s(self) -> float | None:
        """When a Ticked would start a transfer that waits for another one's planned start; None: there is none."""
        return self._lanes.wake_s()

    def handle(self, event: ev.Event) -> list[Effect]:
        """Take one event in; the effects are to be carried out in order. Late or repeated events do nothing.

        What a policy raises comes through. That policy then governs no longer, and the effects that it cut short
        come with the next event.
        """
        self._owed += self._handlers[type(event)](event)
        if self._arrived or self._reconsider:
            self._schedule(event.at_s)
        self._owed += self._rules.changes(self.devices)
        self._owed += [self._start_transfer(*transfer) for transfer in self._lanes.grants(event.at_s)]
        effects, self._owed = self._owed, []
        return effects

    # Jobs

    def _job_submitted(self, event: ev.JobSubmitted) -> list[Effect]:
        if event.job in self.jobs:
            return []
        policy = self._policy_named(event.policy)
        record = JobRecord(
            id=event.job,
            workload=event.workload,
            policy=event.policy,
            submitted_s=event.at_s,
            phase=Phase.PROFILING if event.needs_profile else Phase.WAITING,
            lease_s=event.lease_s,
            heard_s=event.at_s,
        )
        self._reconsider = self._governors.appoint(record.mode, policy) or self._reconsider
        self._roster.add(record)
        submitted = changed(record, f"submitted with policy {event.policy}")
        if event.needs_profile:
            return [submitted, ProfileJob(job=event.job)]
        self._arrived = True
        return [submitted]

    def _job_profiled(self, event: ev.JobProfiled) -> list[Effect]:
        record = self.jobs.get(event.job)
        if record is None or record.phase is not Phase.PROFILING:
            return []
        record.workload = replace(record.workload, profile=event.profile)
        self._roster.enter(record, Phase.WAITING)
        self._arrived = True
        return [changed(record, "profiled")]

    def _profile_failed(self, event: ev.ProfileFailed) -> list[Effect]:
        record = self.jobs.get(event.job)
        if record is None or record.phase is not Phase.PROFILING:
            return []
        return self._end(record, Phase.FAILED, f"profiling failed: {event.reason}", event.at_s)

    def _stop_requested(self, event: ev.StopRequested) -> list[Effect]:
        record = self.jobs.get(event.job)
        return [] if record is None else self._end(record, Phase.STOPPED, event.reason, event.at_s)

    def _lease_renewed(self, event: ev.LeaseRenewed) -> list[Effect]:
        record = self.jobs.get(event.job)
        if record is not None:
            record.heard_s = event.at_s
        return []

    def _ticked(self, event: ev.Ticked) -> list[Effect]:
        effects: list[Effect] = []
        for record in self._roster.alive:
            silent_s = event.at_s - record.heard_s
            if record.lease_s is not None and silent_s > record.lease_s:
                reason = f"its submitter has not been heard of for {silent_s:.0f} s"
                effects += self._end(record, Phase.STOPPED, reason, event.at_s)
        return effects

    # Stages

    def _stage_deployed(self, event: ev.StageDeployed) -> list[Effect]:
        record = self.jobs.get(event.job)
        if record is None or event.device not in record.stages:
            return []
        record.stages[event.device] = True
        return self._start_if_ready(record, event.at_s)

    def _stage_ended(self, event: ev.StageEnded) -> list[Effect]:
        record = self.jobs.get(event.job)
        if record is None or event.device not in record.stages:
            return []
        if record.side_by_side and record.phase is Phase.RUNNING:
            return self._ended_or(record, self._loops.stage_ended(record, event), event.at_s)
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
        """Start a job that stands, or of one that runs the stages that came back."""
        if record.phase is Phase.RUNNING:
            return self._loops.starts(record)
        if record.phase is not Phase.DEPLOYING or not all(record.stages.values()):
            return []
        if not self._rules.in_force(record.network):
            return []
        self._roster.enter(record, Phase.RUNNING)
        record.started_s = at_s
        if record.mode == "once" and record.plan is not None:
            self._lanes.admit(record.id, record.plan, at_s)
        starts: list[Effect] = [StartStage(device=device, job=record.id) for device in sorted(record.stages)]
        # A stage that was deployed before the cameras were mapped anew does not know of it.
        return [changed(record, "running"), *starts, *map_streams(record, sorted(record.stages))]

    def _ended_or(self, record: JobRecord, outcome: Outcome, at_s: float) -> list[Effect]:
        """The job's end, or what it takes to go on."""
        if isinstance(outcome, Ending):
            return self._end(record, outcome.phase, outcome.reason, at_s)
        return [*outcome, *self._start_if_ready(record, at_s)]

    # Transfers of one-shot jobs

    def _transfer_ready(self, event: ev.TransferReady) -> list[Effect]:
        started = self._lanes.ready(event.job, event.flow)
        return [self._start_transfer(event.job, event.flow)] if started else []

    def _transfer_done(self, event: ev.TransferDone) -> list[Effect]:
        self._lanes.done(event.job, event.flow)
        return []

    def _start_transfer(self, job: JobId, flow: FlowId) -> StartTransfer:
        plan = self.jobs[job].plan
        assert plan is not None, f"job {job} sends, so it was placed"
        return StartTransfer(device=plan.routes[flow][0], job=job, flow=flow)

    # Devices and their networks

    def _device_joined(self, event: ev.DeviceJoined) -> list[Effect]:
        if not self._cluster.join(event.device, event.address):
            return []
        self._rules.join(event.device)
        self._reconsider = True
        loops = [record for record in self._roster.placed if self._loops.minds(record)]
        return [effect for record in loops for effect in self._loops.device_joined(record)]

    def _device_lost(self, event: ev.DeviceLost) -> list[Effect]:
        if not self._cluster.lose(event.device):
            return []
        self._reconsider = True
        effects: list[Effect] = []
        for record in self._roster.placed:
            outcome: Outcome = []
            if self._loops.minds(record):
                outcome = self._loops.device_lost(record, event.device, event.reason)
            elif event.device in record.stages or self._sends_over(record, event.device):
                reason = f"device {event.device} was lost: {event.reason}"
                outcome = Ending(phase=Phase.FAILED, reason=reason)
            if isinstance(outcome, Ending):
                self._rules.remove(record.id)
                record.stages.pop(event.device, None)
            effects += self._ended_or(record, outcome, event.at_s)
        return effects

    def _sends_over(self, record: JobRecord, device: DeviceId) -> bool:
        """Whether a flow of the job needs this device. What a one-shot job has sent needs none any more."""
        if record.plan is None or record.footprint is None:
            return False
        if record.mode == "once" and record.phase is Phase.RUNNING:
            return any(device in record.plan.routes[flow] for flow in self._lanes.open_flows(record.id))
        return device in record.footprint.carriers

    def _link_changed(self, event: ev.LinkChanged) -> list[Effect]:
        if self._cluster.change_link(event.link, event.capacity_bps):
            self._reconsider = True
        return []

    def _streams_measured(self, event: ev.StreamsMeasured) -> list[Effect]:
        """Look whether the cameras are better watched elsewhere, now that they see more people, or fewer."""
        record = self.jobs.get(event.job)
        if record is None or record.phase is not Phase.RUNNING or record.plan is None:
            return []
        record.workload = replace(record.workload, calls_per_frame=dict(event.calls_per_frame))
        record.adopt(record.plan, self._cluster.live)
        return self._decide("cameras", event.at_s)

    def _shares_asked(self, event: ev.SharesAsked) -> list[Effect]:
        record = self.jobs.get(event.job)
        if record is None or record.phase is not Phase.RUNNING or record.plan is None:
            return []
        old = record.plan
        record.adopt(shared(old, self._cluster.live, event.rates_bps), self._cluster.live)
        self._rules.put(record.id, flow_rules(record, record.attendance.addresses))
        return list(pace_stages(record, record.plan, old))

    def _network_applied(self, event: ev.NetworkApplied) -> list[Effect]:
        self._rules.applied(event.device, event.version)
        effects: list[Effect] = []
        for record in self._roster.within(Phase.DEPLOYING):
            if event.device in record.network:
                effects += self._start_if_ready(record, event.at_s)
        for record in self._roster.within(Phase.RUNNING):
            effects += self._start_if_ready(record, event.at_s)
        return effects

    def _network_refused(self, event: ev.NetworkRefused) -> list[Effect]:
        """The jobs that wait for this version, or for an earlier one, cannot be enforced: they end, by name."""
        self._rules.refused(event.device)
        effects: list[Effect] = []
        for record in self._roster.within(Phase.DEPLOYING):
            needed = record.network.get(event.device, event.version + 1)
            if needed <= event.version and not self._rules.in_force({event.device: needed}):
                reason = f"device {event.device} cannot enforce its flows: {event.reason}"
                effects += self._end(record, Phase.FAILED, reason, event.at_s)
        for record in self._roster.within(Phase.RUNNING):
            effects += self._ended_or(record, self._loops.network_refused(record, event), event.at_s)
        return effects

    # Decisions

    def _schedule(self, at_s: float) -> None:
        """Ask the governing policies about what waits and what runs, and act on their answers.

        Where nothing but an arrival has happened, what was refused before is not asked about again: it would be refused
        again, and a long queue would be planned anew with each arrival.
        """
        for mode in MODES:
            self._owed += self._decide(mode, at_s)
        self._arrived = self._reconsider = False

    def _decide(self, mode: Mode, at_s: float) -> list[Effect]:
        waiting, placed = self._roster.waiting(mode), self._roster.placed
        if not self._reconsider:
            waiting = [record for record in waiting if not record.reasons]
        decision = self._governors.ask(mode, self._cluster.live, placed, waiting, at_s)
        return [] if decision is None else self._carry_out(mode, decision, waiting, at_s)

    def _carry_out(
        self, mode: Mode, decision: Decision, waiting: list[JobRecord], at_s: float
    ) -> list[Effect]:
        paced = self._readjust(decision) if mode in ADJUSTED else []
        refused = {job: infeasible.reasons for job, infeasible in decision.infeasible.items()}
        arrivals = []
        for record in waiting:
            plan = decision.plans.get(record.id)
            if plan is None:
                continue
            needed = len(crossing_flows(plan))
            if needed <= self._ports.free:
                self._place(record, plan, at_s)
                arrivals.append(record)
            else:
                refused[record.id] = (f"its plan needs {needed} flow ports; {self._ports.free} are free",)
        effects: list[Effect] = [*self._rules.changes(self.devices)]
        for record in arrivals:
            effects += self._deploy(record)
        hopeless = not self._roster.placed and self._cluster.complete
        for record in waiting:
            if record.id in refused:
                effects += self._refuse(record, refused[record.id], hopeless, at_s)
        return [*effects, *paced]

    def _readjust(self, decision: Decision) -> list[Effect]:
        effects: list[Effect] = []
        for record in self._roster.placed:
            plan, old = decision.plans.get(record.id), record.plan
            if plan is None or old is None or plan == old or record.phase is Phase.STOPPING:
                continue
            record.adopt(plan, self._cluster.live)
            self._rules.put(record.id, flow_rules(record, record.attendance.addresses or self.devices))
            effects += pace_stages(record, plan, old)
            if plan.mapped != old.mapped:
                standing = [device for device, stands in sorted(record.stages.items()) if stands]
                effects += [changed(record, f"mapped anew by {plan.policy}"), *map_streams(record, standing)]
        return effects

    def _place(self, record: JobRecord, plan: Plan, at_s: float) -> None:
        record.adopt(plan, self._cluster.live)
        record.reasons = ()
        record.placed_s = at_s
        record.ports = {flow: self._ports.take() for flow in crossing_flows(plan)}
        record.stages = dict.fromkeys(sorted(set(plan.placement.values())), False)
        if record.side_by_side:
            self._loops.placed(record)
        self._roster.enter(record, Phase.DEPLOYING)
        self._rules.put(record.id, flow_rules(record, self.devices))

    def _deploy(self, record: JobRecord) -> list[Effect]:
        """The job starts once its stages stand and its devices' networks are as they must be."""
        carriers = record.footprint.carriers if record.footprint else ()
        record.network = self._rules.versions(carriers)
        stages = stage_plans(record, self.devices)
        placed = changed(record, f"placed by {record.plan.policy if record.plan else record.policy}")
        return [placed, *(DeployStage(device=stage.device, stage=stage) for stage in stages)]

    def _refuse(
        self, record: JobRecord, reasons: tuple[str, ...], hopeless: bool, at_s: float
    ) -> list[Effect]:
        """The job waits; one that an empty, complete cluster cannot hold would wait for ever, and fails."""
        told, record.reasons = record.reasons == reasons, reasons
        text = "; ".join(reasons)
        if hopeless:
            return self._end(record, Phase.FAILED, f"cannot be placed: {text}", at_s)
        return [] if told else [changed(record, f"waits: {text}")]

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
        record.ending = ending
        record.detail, record.blamed_on_peer = detail, peer_lost
        if not record.stages:
            return self._release(record, at_s)
        self._lanes.drop(record.id)
        self._roster.enter(record, Phase.STOPPING)
        stops: list[Effect] = [StopStage(device=device, job=record.id) for device in sorted(record.stages)]
        return [changed(record, detail or "its stages are stopped"), *stops]

    def _release(self, record: JobRecord, at_s: float) -> list[Effect]:
        """Give back all that the job held, and let the others have it."""
        self._reconsider = self._reconsider or record.phase.placed
        self._lanes.drop(record.id)
        self._rules.remove(record.id)
        for port in record.ports.values():
            self._ports.release(port)
        record.ports = {}
        record.network = {}
        record.attendance = Attendance()
        self._roster.enter(record, record.ending)
        record.ended_s = at_s
        return [changed(record, record.detail or record.ending.value)]
