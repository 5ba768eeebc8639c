"""Equal parts of the items burden the slowest replica most: parts that fit the devices and the ways to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from policies.model import (
    Decision,
    DeviceId,
    Flow,
    JobId,
    Network,
    Plan,
    Policy,
    Replicas,
    Snapshot,
    TaskId,
    Workload,
    link_id,
)

LEAST = 0.2
"""Of an equal part, what each replica is planned to take at least: whoever deals the items out tries all of them."""
_HALVINGS = 60


class WithReplicas:
    """A policy that plans tasks with replicas twice: in equal parts, and where it put them, in parts that fit.

    Ours. The second plan is taken where it places all that the first does, and no job with replicas is slower by it.
    Jobs without replicas are decided as the policy itself would.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = policy.name
        self.mode = getattr(policy, "mode", None)

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        """See `Policy.decide`."""
        decided = _kept(self._policy.decide(snapshot, arrivals), snapshot)
        shares = {
            job.job.id: balanced(job, plan, snapshot.network)
            for job in arrivals
            if job.job.replicas and (plan := decided.plans.get(job.job.id)) is not None
        }
        if not shares:
            return decided
        pinned = [
            _pinned(with_shares(job, shares[job.job.id]), decided.plans[job.job.id])
            if job.job.id in shares
            else job
            for job in arrivals
        ]
        again = _kept(self._policy.decide(snapshot, pinned), snapshot)
        better = decided.plans.keys() <= again.plans.keys() and all(
            again.plans[job].throughput_per_s >= decided.plans[job].throughput_per_s for job in shares
        )
        if not better:
            return decided
        plans = {
            job: replace(plan, shares=shares[job]) if job in shares else plan
            for job, plan in again.plans.items()
        }
        return replace(again, plans=plans)


def with_shares(workload: Workload, shares: Mapping[TaskId, float]) -> Workload:
    """The workload whose replicas take these parts of the items."""
    if not shares:
        return workload
    job = workload.job
    tasks = tuple(replace(task, share=shares.get(task.id, task.share)) for task in job.tasks)
    flows = tuple(
        replace(flow, share=shares.get(flow.producer, shares.get(flow.consumer, flow.share)))
        for flow in job.flows
    )
    return replace(workload, job=replace(job, tasks=tasks, flows=flows))


def balanced(workload: Workload, plan: Plan, network: Network) -> dict[TaskId, float]:
    """By replica, the parts with which the busiest of their devices and ways has least to do for an item.

    Complexity: O(replicas x (tasks + flows)).
    """
    shares: dict[TaskId, float] = {}
    for replicas in workload.job.replicas:
        shares |= _Group(with_shares(workload, shares), replicas, plan, network).shares()
    return shares


class _Group:
    """The replicas of one task, where a plan has put them. whole_s: what a copy's device computes for an item that it
    gets. other_s: what that device computes besides, per item of the job. way_s: what the narrowest link of the ways to
    and from the copy takes for an item that it gets."""

    def __init__(self, workload: Workload, replicas: Replicas, plan: Plan, network: Network) -> None:
        self._copies = replicas.copies
        where = {copy: plan.placement[copy] for copy in self._copies}
        self._together = {copy: list(where.values()).count(device) for copy, device in where.items()}
        own = with_shares(workload, dict.fromkeys(self._copies, 1.0))
        none = with_shares(workload, dict.fromkeys(self._copies, 0.0))
        self._whole_s = {copy: _seconds(own, plan, network, where[copy], copy) for copy in self._copies}
        self._other_s = {copy: _seconds(none, plan, network, where[copy]) for copy in self._copies}
        self._way_s = {copy: _way_s(own, plan, network, copy) for copy in self._copies}

    def shares(self) -> dict[TaskId, float]:
        low_s = 0.0
        high_s = max(
            self._other_s[copy] + len(self._copies) * self._whole_s[copy] + self._way_s[copy]
            for copy in self._copies
        )
        for _ in range(_HALVINGS):
            middle_s = (low_s + high_s) / 2
            if sum(self._part(copy, middle_s) for copy in self._copies) >= 1:
                high_s = middle_s
            else:
                low_s = middle_s
        least = LEAST / len(self._copies)
        parts = {copy: max(least, self._part(copy, high_s)) for copy in self._copies}
        total = sum(parts.values())
        return {copy: part / total for copy, part in parts.items()}

    def _part(self, copy: TaskId, most_s: float) -> float:
        """What a copy can take where nobody has more than so much to do for an item of the job."""
        free_s = max(0.0, most_s - self._other_s[copy]) / self._together[copy]
        by_device = free_s / self._whole_s[copy] if self._whole_s[copy] > 0 else math.inf
        by_way = most_s / self._way_s[copy] if self._way_s[copy] > 0 else math.inf
        return min(1.0, by_device, by_way)


def _seconds(
    workload: Workload, plan: Plan, network: Network, device: DeviceId, only: TaskId | None = None
) -> float:
    """What a device computes for an item of the job. only: for this task alone, and its flows."""
    found, hardware = 0.0, network.devices[device]
    for task in workload.job.tasks:
        if plan.placement[task.id] == device and only in (None, task.id) and task.share > 0:
            seconds = workload.seconds(task, hardware)
            found += seconds if math.isfinite(seconds) else 0.0  # a source whose seconds nobody knows
    for flow in workload.job.flows:
        ends = {plan.placement[flow.producer], plan.placement[flow.consumer]}
        if device in ends and len(ends) == 2 and only in (None, flow.producer, flow.consumer):
            found += workload.transfer_seconds(flow, hardware)
    return found


def _way_s(workload: Workload, plan: Plan, network: Network, copy: TaskId) -> float:
    return max(
        (
            _narrowest_s(workload, flow, plan.routes[flow.id], network)
            for flow in workload.job.flows
            if copy in (flow.producer, flow.consumer)
        ),
        default=0.0,
    )


def _narrowest_s(workload: Workload, flow: Flow, route: Sequence[DeviceId], network: Network) -> float:
    bits = 8 * workload.size_bytes(flow)
    links = (link_id(a, b) for a, b in pairwise(route))
    return max((bits / network.links[link].capacity_bps for link in links), default=0.0)


def _pinned(workload: Workload, plan: Plan) -> Workload:
    """The replicas stay where the plan has them."""
    copies = {copy for replicas in workload.job.replicas for copy in replicas.copies}
    tasks = tuple(
        replace(task, device=plan.placement[task.id]) if task.id in copies else task
        for task in workload.job.tasks
    )
    return replace(workload, job=replace(workload.job, tasks=tasks))


def _kept(decision: Decision, snapshot: Snapshot) -> Decision:
    """Running jobs keep their shares when their rates change."""
    shares: dict[JobId, Mapping[TaskId, float]] = {
        job.plan.job: job.plan.shares for job in snapshot.running if job.plan.shares
    }
    if not shares.keys() & decision.plans.keys():
        return decision
    plans = {
        job: replace(plan, shares=shares[job]) if job in shares else plan
        for job, plan in decision.plans.items()
    }
    return replace(decision, plans=plans)
