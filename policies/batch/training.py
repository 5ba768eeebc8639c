"""Places jobs that train in cycles of a fixed length, and shares out the samples of the first (MEL)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from policies.batch.instance import BatchInstance, BatchPlan, batch_instance
from policies.batch.registry import BatchPolicy, load_batch_policy
from policies.model import (
    Cycle,
    Cycles,
    Decision,
    Flow,
    Infeasible,
    JobId,
    Mode,
    Network,
    Plan,
    Rounds,
    Snapshot,
    TaskId,
    Workload,
)
from policies.online.shares import placed

MODEL_WAYS = 2
"""The model goes to a learner, and comes back."""


class BatchTraining:
    """Each task where its job pins it; flows on the widest routes, at rates that are both floor and ceiling.

    So a learner's rate does not depend on what others send, as eq. 6 has it. name: of a policy of BATCH_POLICIES, or
    "module:function" of one's own. decide_batches: that function, else by name.
    """

    mode: Mode = "batches"

    def __init__(self, name: str, decide_batches: BatchPolicy | None = None) -> None:
        self.name = name
        self._decide_batches = load_batch_policy(name) if decide_batches is None else decide_batches

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        plans: dict[JobId, Plan] = {}
        infeasible: dict[JobId, Infeasible] = {}
        for workload in arrivals:
            found = self._place(snapshot.network, workload)
            if isinstance(found, Plan):
                plans[workload.job.id] = found
            else:
                infeasible[workload.job.id] = Infeasible(job=workload.job.id, reasons=found)
        return Decision(plans=plans, infeasible=infeasible)

    def _place(self, network: Network, workload: Workload) -> Plan | tuple[str, ...]:
        training = workload.job.training
        if workload.job.mode != self.mode or training is None or training.cycles is None:
            return (f"it does not train in cycles, and {self.name} is for jobs that do",)
        plan = placed(self.name, workload, network)
        if not isinstance(plan, Plan):
            return plan
        instance = instance_of(workload, network, plan)
        if not isinstance(instance, BatchInstance):
            return instance
        decided = self._decide_batches(instance)
        if not runnable(instance, decided):
            return refusal(decided, training.cycles)
        cycle = cycle_of(instance, decided)
        predicted_s = max(cycle.predicted_s.values())
        assert workload.profile is not None and workload.profile.cuts is not None, "instance_of needs them"
        last = len(workload.profile.cuts.names) - 1
        return replace(
            plan,
            ceilings_bps={},
            throughput_per_s=1 / predicted_s,
            bottleneck="the cycle",
            rounds=Rounds(
                cuts=dict.fromkeys(training.clients, last),
                micro_batches=1,
                round_s=training.cycles.cycle_s,
                predicted_s=predicted_s,
                bound_s=None,
                cycle=cycle,
            ),
        )


def instance_of(workload: Workload, network: Network, plan: Plan) -> BatchInstance | tuple[str, ...]:
    """Eqs. 5 to 8 from what was measured: seconds of a sample's iteration by device type, bytes, and the plan's rates.

    With each byte comes what either end computes for it. Or, in words, what is not measured.
    """
    job, profile = workload.job, workload.profile
    training = job.training
    assert training is not None and training.cycles is not None, "it trains in cycles"
    if profile is None or profile.cuts is None:
        return ("nothing is measured yet of how long its model takes; profile it",)
    cycles, cuts = training.cycles, profile.cuts
    types = {
        task: network.devices[plan.placement[task]].type for task in (training.server, *training.clients)
    }
    unmeasured = sorted({kind for kind in types.values() if kind not in cuts.send_s_per_byte})
    if unmeasured:
        return (f"devices of type {', '.join(unmeasured)} are not measured yet; profile the job",)
    C2, C1, C0 = [], [], []
    for client in training.clients:
        kind = types[client]
        batch_s = cuts.forward_s[kind][-1] + cuts.backward_s[kind][-1]
        if batch_s == float("inf"):
            return (f"the model does not fit into the memory of device {plan.placement[client]}",)
        ends_s = cuts.send_s_per_byte[kind] + cuts.send_s_per_byte[types[training.server]]
        down = Flow(producer=training.server, consumer=client).id
        byte_s = ends_s + (8 / plan.rates_bps[down] if down in plan.rates_bps else 0.0)
        C2.append(batch_s / cycles.batch_size)
        C1.append(cycles.sample_bytes * byte_s)
        C0.append(MODEL_WAYS * cuts.weights_bytes[-1] * byte_s)
    return batch_instance(
        C2, C1, C0, cycles.samples, planned_s(cycles.cycle_s, cycles.margin), learners=training.clients
    )


def planned_s(cycle_s: float, margin: float) -> float:
    """What is planned with of a cycle."""
    return cycle_s * (1 - margin)


def runnable(instance: BatchInstance, plan: BatchPlan) -> bool:
    """Whether it can be carried out: also one whose rounded batches are late by less than what a sample takes, as happens
    to `mel`; the margin has room for that."""
    if plan.tau < 1 or sum(plan.batches) != instance.samples:
        return False
    late_s = instance.seconds(plan.tau, plan.batches) - instance.cycle_s
    sample_s = plan.tau * instance.C2 + instance.C1
    return bool((late_s <= sample_s).all())


def refusal(plan: BatchPlan, cycles: Cycles) -> tuple[str, ...]:
    """Why the first cycle cannot be had, and how long one would have to be."""
    shortest_s = plan.shortest_cycle_s / (1 - cycles.margin)
    reasons = plan.reasons or (f"{plan.policy} gave out {sum(plan.batches)} of {cycles.samples} samples",)
    return (
        *reasons,
        f"the shortest cycle that holds one iteration on {cycles.samples} samples is {shortest_s:.3g} s, "
        f"{cycles.margin:.0%} margin included: raise cycle, or lower samples",
    )


def cycle_of(instance: BatchInstance, plan: BatchPlan) -> Cycle:
    def by_learner(values: Sequence[float]) -> Mapping[TaskId, float]:
        return {TaskId(name): float(value) for name, value in zip(instance.learners, values, strict=True)}

    return Cycle(
        iterations=plan.tau,
        samples={TaskId(name): count for name, count in zip(instance.learners, plan.batches, strict=True)},
        predicted_s=by_learner(instance.seconds(plan.tau, plan.batches).tolist()),
        C2=by_learner(instance.C2.tolist()),
        C1=by_learner(instance.C1.tolist()),
        C0=by_learner(instance.C0.tolist()),
    )
