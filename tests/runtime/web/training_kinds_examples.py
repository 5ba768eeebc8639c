"""Test data: comparisons of batch training and of fog training that nobody measured, to see how they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_examples import TYPES, a_round, client_round, view

from edgeray.telemetry.training_records import TrainingRun
from edgeray.telemetry.training_runs import training_run

LEARNERS = ("c1", "c3")


def learned(device: str, samples: int, ended_s: float) -> dict[str, Any]:
    """A learner in a cycle of 12 s."""
    return client_round(
        f"learner-{device}", 12.0, samples=samples, ended_s=ended_s, served_s=0.0, server_s=0.0
    )


def a_cycle(
    number: int,
    accuracy: float | None,
    *learners: dict[str, Any],
    iterations: int = 4,
    predicted_s: Mapping[str, float],
    seconds_s: float = 11.0,
    **changes: Any,
) -> dict[str, Any]:
    """predicted_s: by device."""
    return a_round(
        number,
        seconds_s,
        accuracy,
        clients=list(learners),
        iterations=iterations,
        predicted_s={f"learner-{device}": value for device, value in predicted_s.items()},
        samples=sum(one["samples"] for one in learners),
        **changes,
    )


def cycles_of(policy: str, *cycles: dict[str, Any], **changes: Any) -> TrainingRun:
    values: dict[str, Any] = {
        "plan": cycle_plan(),
        "mode": "batches",
        "job": f"mel-{policy}",
        "app": "mel",
        **changes,
    }
    return training_run(view(policy, **values), cycles, rounds_asked=4, types=TYPES)


def cycle_plan() -> dict[str, Any]:
    return {
        "mode": "batches",
        "placement": {"server": "server", **{f"learner-{device}": device for device in LEARNERS}},
        "rounds": {
            "cuts": dict.fromkeys(LEARNERS, 0),
            "cut_names": {},
            "rates_bps": dict.fromkeys(LEARNERS, 7.5e6),
            "ceilings_bps": {},
            "micro_batches": 1,
            "round_s": 12.0,
            "predicted_s": 5.0,  # of the first cycle only
            "bound_s": None,
            "server": "server",
            "total": 4,
        },
    }


def eta() -> TrainingRun:
    """Equal shares; its last accuracy, 60 %, is there after its third cycle first."""
    predicted_s = {"c1": 10.0, "c3": 5.0}
    return cycles_of(
        "eta",
        *(
            a_cycle(n, right, learned("c1", 100, 10.5), learned("c3", 100, 5.0), predicted_s=predicted_s)
            for n, right in enumerate((0.3, 0.5, 0.62, 0.6), start=1)
        ),
    )


def mel() -> TrainingRun:
    """More iterations; c1 is late in the second cycle, and 20 % off in the third."""
    predicted_s = {"c1": 10.0, "c3": 10.0}
    late = {"learner-c1": "it had not finished after 12 s"}
    return cycles_of(
        "mel-exact",
        a_cycle(1, 0.5, learned("c1", 40, 19.0), learned("c3", 160, 10.0), iterations=9, predicted_s=predicted_s),
        a_cycle(2, 0.61, learned("c3", 160, 10.2), iterations=12, predicted_s=predicted_s, dropped=late, seconds_s=12.0),
        a_cycle(3, 0.7, learned("c1", 30, 12.0), learned("c3", 170, 9.9), iterations=12, predicted_s=predicted_s),
        a_cycle(4, 0.8, learned("c1", 30, 10.0), learned("c3", 170, 10.1), iterations=14, predicted_s=predicted_s),
    )  # fmt: skip


def movement(**changes: float) -> dict[str, float]:
    """Of a device that keeps its 50 points."""
    values: dict[str, float] = {
        "collected": 50,
        "kept": 50,
        "sent": 0,
        "discarded": 0,
        "arrived": 0,
        "processed": 50,
        "process_cost": 2.5,
        "transfer_cost": 0.0,
        "discard_cost": 0.0,
    }
    return {**values, **changes}


def fog_of(policy: str, *rounds: dict[str, Any], **changes: Any) -> TrainingRun:
    """As the view of such a job has it, whose plan says nothing of rounds."""
    placement = {"server": "server", "device-c1": "c1", "device-c3": "c3"}
    plan = {"mode": "fog", "placement": placement, "flows": []}
    values: dict[str, Any] = {"plan": plan, "mode": "fog", "job": f"fog-{policy}", "app": "fog", **changes}
    return training_run(view(policy, **values), rounds, rounds_asked=2, types=TYPES)


def a_fog_round(number: int, accuracy: float | None, **of: dict[str, float]) -> dict[str, Any]:
    """of: by device, what became of its points."""
    clients = [client_round(f"device-{device}", 10.0) for device in of]
    moved = {f"device-{device}": one for device, one in of.items()}
    return a_round(number, 10.0, accuracy, clients=clients, movement=moved)


def local() -> TrainingRun:
    """200 points at a cost of 10."""
    return fog_of("local", *(a_fog_round(n, 0.7 + 0.05 * n, c1=movement(), c3=movement()) for n in (1, 2)))


def aware() -> TrainingRun:
    """200 points at a cost of 5: c1 sends in the second round 40 of its 50, and discards 4."""
    c1 = movement(
        kept=6, sent=40, discarded=4, processed=6, process_cost=0.3, transfer_cost=0.5, discard_cost=0.2
    )
    c3 = movement(arrived=40, processed=90, process_cost=1.0)
    cheap = movement(process_cost=0.5)
    return fog_of(
        "network-aware", a_fog_round(1, 0.7, c1=movement(), c3=cheap), a_fog_round(2, 0.79, c1=c1, c3=c3)
    )
