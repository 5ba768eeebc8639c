"""What a comparison shows, in sentences that claim no more than one run can show."""

from __future__ import annotations

from collections.abc import Iterator

from edgeray.telemetry.records import Comparison, FlowRun, JobRun, PolicyRun
from edgeray.web.numbers import figures, percent, policy_label, quotient, times

# The simple policies that the others must beat.
BASELINES = ("lr", "br")
# Two policies closer than this are called equal: one run of a busy machine does not tell them apart.
TELLABLE = 0.03
# What the project promises of plans and of shaped flows.
PLAN_TOLERANCE = 0.10
FLOW_TOLERANCE = 0.03


def best_baseline(comparison: Comparison) -> PolicyRun | None:
    """The run of LR or BR with the higher mean; None when neither was run."""
    runs = [run for run in comparison.runs if run.policy in BASELINES]
    return max(runs, key=lambda run: run.mean_per_s, default=None)


def gain_over_baseline(comparison: Comparison, run: PolicyRun) -> float | None:
    """Mean throughput of run over that of the best of LR and BR."""
    baseline = best_baseline(comparison)
    return quotient(run.mean_per_s, baseline.mean_per_s) if baseline else None


def ratio_to_bound(run: PolicyRun) -> float | None:
    """Mean throughput of run over the upper bound of any policy's."""
    return quotient(run.mean_per_s, run.bound_per_s)


def plan_error(planned_per_s: float, measured_per_s: float) -> float | None:
    """Measured over planned, less 1: -0.1 is a tenth below plan."""
    ratio = quotient(measured_per_s, planned_per_s)
    return None if ratio is None else ratio - 1


def flow_ratio(flow: FlowRun) -> float | None:
    """Measured over granted rate of a flow; None where it was not measured or not granted."""
    return quotient(flow.measured_bps, flow.granted_bps)


def failed_jobs(comparison: Comparison) -> Iterator[tuple[PolicyRun, JobRun]]:
    """Every job that did not run or broke, with its policy's run."""
    for run in comparison.runs:
        for job in run.jobs:
            if job.failure is not None:
                yield run, job


def sentences(comparison: Comparison) -> list[str]:
    """The summary, most important first. Says so when OTFA does not beat TP, and when a job was starved."""
    if not comparison.runs:
        return ["No policy was run."]
    ranked = sorted(comparison.runs, key=lambda run: -run.mean_per_s)
    if ranked[0].mean_per_s <= 0:
        return ["No policy got an item through.", *_failures(comparison)]
    return [
        _leader(comparison, ranked),
        *_otfa_against_tp(comparison),
        *_other_means(comparison, ranked[0]),
        *_against_bound(ranked[0]),
        *_against_plan(comparison),
        *_against_grants(comparison),
        *_failures(comparison),
    ]


def _leader(comparison: Comparison, ranked: list[PolicyRun]) -> str:
    top = ranked[0]
    of_what = "a job" if len(top.jobs) > 1 else ""
    unit = f"items/s {of_what}".strip()
    peers = [run for run in ranked[1:] if run.mean_per_s >= top.mean_per_s * (1 - TELLABLE)]
    if len(ranked) == 1:
        text = f"{policy_label(top.policy)} reached {figures(top.mean_per_s)} {unit}"
    elif peers:
        names = listed([policy_label(run.policy) for run in (top, *peers)])
        text = (
            f"{names} lead together at {figures(top.mean_per_s)} {unit}: they lie within "
            f"{percent(TELLABLE)}, which one run does not tell apart"
        )
    else:
        text = f"{policy_label(top.policy)} has the highest mean throughput, {figures(top.mean_per_s)} {unit}"
    baseline = best_baseline(comparison)
    gain = gain_over_baseline(comparison, top)
    if baseline is None or gain is None or top.policy in BASELINES:
        return f"{text}."
    verb = "that is" if gain > 1 + TELLABLE else "no gain:"
    best = "the best of LR and BR" if _baselines(comparison) > 1 else "the only baseline run"
    against = f"{best} ({policy_label(baseline.policy)}, {figures(baseline.mean_per_s)})"
    return f"{text}; {verb} {times(gain)} {against}."


def _baselines(comparison: Comparison) -> int:
    return sum(run.policy in BASELINES for run in comparison.runs)


def _otfa_against_tp(comparison: Comparison) -> Iterator[str]:
    by_name = {run.policy: run for run in comparison.runs}
    otfa, tp = by_name.get("otfa"), by_name.get("tp")
    if otfa is None or tp is None:
        return
    measured = f"{figures(otfa.mean_per_s)} against {figures(tp.mean_per_s)}"
    gain = quotient(otfa.mean_per_s, tp.mean_per_s)
    planned_gain = quotient(otfa.planned_mean_per_s, tp.planned_mean_per_s)
    if gain is None:
        yield f"TP got nothing through, so OTFA cannot be held against it ({measured} items/s)."
    elif abs(gain - 1) <= TELLABLE:
        yield f"OTFA does not beat TP here: they lie within {percent(TELLABLE)} ({measured} items/s)."
    elif planned_gain is not None and abs(planned_gain - 1) <= TELLABLE:
        planned = f"{figures(otfa.planned_mean_per_s)} against {figures(tp.planned_mean_per_s)}"
        yield (
            f"OTFA does not beat TP here: their plans promise the same ({planned} items/s), so what was measured "
            f"({measured}) differs by the run and not by the policy."
        )
    elif gain > 1:
        yield f"OTFA is {times(gain)} TP by mean ({measured} items/s)."
    else:
        yield f"OTFA does not beat TP here, it is slower ({measured} items/s)."


def _other_means(comparison: Comparison, top: PolicyRun) -> Iterator[str]:
    if len(top.jobs) < 2:
        return
    best = max(comparison.runs, key=lambda run: run.geometric_mean_per_s)
    if best.geometric_mean_per_s > top.geometric_mean_per_s * (1 + TELLABLE):
        yield (
            f"By geometric mean, which a starved job pulls down, {policy_label(best.policy)} leads with "
            f"{figures(best.geometric_mean_per_s)}; {policy_label(top.policy)} has "
            f"{figures(top.geometric_mean_per_s)}."
        )
    if top.minimum_per_s <= 0:
        yield f"{policy_label(top.policy)} left at least one job with nothing."


def _against_bound(top: PolicyRun) -> Iterator[str]:
    ratio = ratio_to_bound(top)
    if ratio is not None:
        yield f"{policy_label(top.policy)} reaches {percent(ratio)} of the upper bound on any policy's mean."


def _against_plan(comparison: Comparison) -> Iterator[str]:
    errors = [
        (run.policy, error)
        for run in comparison.runs
        if (error := plan_error(run.planned_mean_per_s, run.mean_per_s)) is not None
    ]
    off = [(policy, error) for policy, error in errors if abs(error) > PLAN_TOLERANCE]
    if off:
        named = listed([f"{policy_label(policy)} ({error * 100:+.0f} %)" for policy, error in off])
        yield f"Measured throughput is more than {percent(PLAN_TOLERANCE)} off its plan for {named}."
    elif errors:
        worst = max(0.001, *(abs(error) for _, error in errors))
        yield f"Measured throughput meets its plan within {percent(worst)} for every policy that ran."


def _against_grants(comparison: Comparison) -> Iterator[str]:
    ratios = [
        ratio
        for run in comparison.runs
        for job in run.jobs
        for flow in job.flows
        if flow.saturated and (ratio := flow_ratio(flow)) is not None
    ]
    if not ratios:
        return
    met = sum(1 for ratio in ratios if abs(ratio - 1) <= FLOW_TOLERANCE)
    noun = "flow" if len(ratios) == 1 else "flows"
    yield f"{met} of {len(ratios)} saturated {noun} ran within {percent(FLOW_TOLERANCE)} of the granted rate."


def _failures(comparison: Comparison) -> Iterator[str]:
    failed = sum(1 for _ in failed_jobs(comparison))
    if failed:
        jobs = sum(len(run.jobs) for run in comparison.runs)
        yield f"{failed} of {jobs} job runs failed; they are named below."


def listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
