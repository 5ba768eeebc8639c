"""From a job's plan and the lines of its rounds.jsonl to records of training. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeray.telemetry.training_records import PlannedClient, Round, TrainingRun

if TYPE_CHECKING:
    from edgeray.scheduler.views import JobView
    from policies.model import CutProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Where the seconds of a device's mean round went: compute_s, transfer_s, server_s and idle_s add up to the round
    (`training.records.ClientRound`). served_s, queued_s: the server's work for it and its queue there; where these
    exceed server_s, the rest was hidden behind the device's own computing. up_bytes, down_bytes: sent and received.
    """

    compute_s: float
    transfer_s: float
    server_s: float
    idle_s: float
    served_s: float
    queued_s: float
    up_bytes: float
    down_bytes: float


def training_run(
    view: JobView,
    rounds: Sequence[Round],
    *,
    rounds_asked: int,
    types: Mapping[str, str],
    cuts: CutProfile | None = None,
) -> TrainingRun:
    """A job that trains a model, and has ended. types: of the cluster's devices. cuts: those of its model."""
    planned: Mapping[str, Any] = (view.plan or {}).get("rounds") or {}
    measured_s = median_round_s(rounds)
    predicted_s = planned.get("predicted_s")
    off = _less_one(measured_s, predicted_s)
    if own := own_predictions(rounds):
        predicted_s = statistics.median(predicted for predicted, _ in own)
        off = statistics.median(seconds / predicted - 1 for predicted, seconds in own)
    return TrainingRun(
        job=view.job,
        app=view.app,
        policy=view.policy,
        mode=view.mode,
        plan=view.plan,
        clients=planned_clients(view.plan, types, cuts),
        micro_batches=planned.get("micro_batches", 1),
        planned_s=planned.get("round_s"),
        predicted_s=predicted_s,
        bound_s=planned.get("bound_s"),
        rounds_asked=rounds_asked,
        rounds=tuple(rounds),
        median_round_s=measured_s,
        above_bound=_less_one(measured_s, planned.get("bound_s")),
        off_prediction=off,
        failure=None if view.phase == "done" else why_not(view),
    )


def why_not(view: JobView) -> str:
    return view.detail or "; ".join(view.reasons) or f"it was {view.phase}"


def planned_clients(
    plan: Mapping[str, Any] | None, types: Mapping[str, str], cuts: CutProfile | None
) -> tuple[PlannedClient, ...]:
    """The devices that train by a plan (as plan_json tells it), by their ids; () when nothing was planned."""
    rounds: Mapping[str, Any] = (plan or {}).get("rounds") or {}
    return tuple(
        PlannedClient(
            device=device,
            type=types.get(device),
            cut=cut,
            layer=rounds["cut_names"].get(device),
            layers=None if cuts is None else cuts.layers[cut],
            model_layers=None if cuts is None else cuts.layers[-1],
            rate_bps=rounds["rates_bps"].get(device),
            most_bps=rounds["ceilings_bps"].get(device),
        )
        for device, cut in rounds.get("cuts", {}).items()
    )


def steady(rounds: Sequence[Round]) -> Sequence[Round]:
    """All rounds but the first, in which much is done once; the first where there is no other."""
    return rounds[1:] or rounds


def median_round_s(rounds: Sequence[Round]) -> float | None:
    return statistics.median(each["seconds_s"] for each in steady(rounds)) if rounds else None


def own_prediction_s(each: Round) -> float | None:
    """What was predicted for a round when it began: that of the slowest client; None: nothing was."""
    return max(each.get("predicted_s", {}).values(), default=0.0) or None


def own_predictions(rounds: Sequence[Round]) -> list[tuple[float, float]]:
    """Predicted and measured seconds of the steady rounds that were predicted when they began."""
    return [
        (predicted_s, each["seconds_s"])
        for each in steady(rounds)
        if (predicted_s := own_prediction_s(each)) is not None
    ]


def mean_spent(run: TrainingRun) -> dict[str, Spent]:
    """By device, the mean over the steady rounds in which it took part; those planned first, in their order."""
    rows: dict[str, list[Mapping[str, Any]]] = {each.device: [] for each in run.clients}
    for each in steady(run.rounds):
        for client in each["clients"]:
            rows.setdefault(device_of(client["client"], run.plan), []).append(client)
    return {device: _mean(found) for device, found in rows.items() if found}


def _mean(rows: Sequence[Mapping[str, Any]]) -> Spent:
    return Spent(**{name: statistics.fmean(row[name] for row in rows) for name in Spent.__slots__})


def sent_bytes(each: Round) -> tuple[int, int]:
    """To and from the server in a round, of all clients that counted."""
    return sum(c["up_bytes"] for c in each["clients"]), sum(c["down_bytes"] for c in each["clients"])


def mean_sent_bytes(rounds: Sequence[Round]) -> tuple[float, float] | None:
    """The mean over the steady rounds."""
    if not rounds:
        return None
    ups, downs = zip(*map(sent_bytes, steady(rounds)), strict=True)
    return statistics.fmean(ups), statistics.fmean(downs)


def peak_server_bytes(rounds: Sequence[Round]) -> tuple[int, int] | None:
    """The most that was saved for backward, and held of clients' halves, on the server at once."""
    if not rounds:
        return None
    return max(r["peak_activation_bytes"] for r in rounds), max(r["peak_half_bytes"] for r in rounds)


def clock_s(rounds: Sequence[Round]) -> Iterator[float]:
    """Seconds of training until the end of each round: the rounds' own, without what lies between them."""
    passed_s = 0.0
    for each in rounds:
        passed_s += each["seconds_s"]
        yield passed_s


def last_known(rounds: Sequence[Round], key: str) -> float | None:
    """loss or accuracy after the last round that has it."""
    return next((each[key] for each in reversed(rounds) if each[key] is not None), None)


def seconds_to(rounds: Sequence[Round], accuracy: float) -> float | None:
    """Seconds of training until the accuracy was reached for the first time; None: it was not."""
    for each, passed_s in zip(rounds, clock_s(rounds), strict=True):
        if each["accuracy"] is not None and each["accuracy"] >= accuracy:
            return passed_s
    return None


def faults(run: TrainingRun) -> Iterator[tuple[int, str, str]]:
    """Round, device and why, of each that was dropped from a round."""
    for each in run.rounds:
        for device, why in dropped(each, run.plan):
            yield each["number"], device, why


def dropped(each: Round, plan: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Device and why, of each that was dropped from the round."""
    return sorted((device_of(client, plan), why) for client, why in each["dropped"].items())


def device_of(client: str, plan: Mapping[str, Any] | None) -> str:
    """Where a client's task runs; rounds name the task."""
    device: str = (plan or {}).get("placement", {}).get(client, client)
    return device


def _less_one(measured_s: float | None, reckoned_s: float | None) -> float | None:
    return None if measured_s is None or not reckoned_s else measured_s / reckoned_s - 1
