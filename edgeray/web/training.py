"""A comparison of split training as a folder: report.html, which needs nothing else, pictures, and comparison.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeray.telemetry.records import as_json
from edgeray.telemetry.training_records import TrainingComparison, TrainingRun
from edgeray.telemetry.training_runs import (
    clock_s,
    faults,
    last_known,
    mean_sent_bytes,
    mean_spent,
    peak_server_bytes,
    seconds_to,
    sent_bytes,
    steady,
)
from edgeray.web.numbers import finite, quotient
from edgeray.web.page import environment, picture
from edgeray.web.report import REPORT_NAME
from edgeray.web.training_plots import draw_course, draw_loads, draw_rounds
from edgeray.web.training_summary import (
    PREDICTION_TOLERANCE,
    Shown,
    common_accuracy,
    gain,
    ranked,
    shown,
    training_sentences,
)


def write_training_report(comparison: TrainingComparison, folder: Path) -> Path:
    """Write the report into folder, made if need be, and return the path of its HTML file."""
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(finite(as_json(comparison)), indent=1, allow_nan=False)
    (folder / "comparison.json").write_text(document + "\n", encoding="utf-8")
    page = environment().get_template("training.html.j2").render(_view(comparison, folder))
    path = folder / REPORT_NAME
    path.write_text(page, encoding="utf-8")
    return path


def _view(comparison: TrainingComparison, folder: Path) -> dict[str, Any]:
    """All that the template shows."""
    rows = shown(comparison)
    reached = common_accuracy(rows)
    return {
        "comparison": comparison,
        "sentences": training_sentences(comparison),
        "reached": reached,
        "tolerance": PREDICTION_TOLERANCE,
        "accuracy_chart": picture(
            lambda theme: draw_course(rows, "accuracy", theme),
            folder / "accuracy.png",
            "Accuracy of each policy's model against the seconds of training and against rounds; "
            "the tables of rounds below have the numbers.",
        ),
        "loss_chart": picture(
            lambda theme: draw_course(rows, "loss", theme),
            folder / "loss.png",
            "Training loss of each policy against the seconds of training and against rounds; "
            "the tables of rounds below have the numbers.",
        ),
        "rounds_chart": picture(
            lambda theme: draw_rounds(rows, theme),
            folder / "rounds.png",
            "Where the seconds of a mean round went on each device under each policy; "
            "the tables of devices below have the numbers.",
        ),
        "loads_chart": picture(
            lambda theme: draw_loads(rows, theme),
            folder / "loads.png",
            "Bytes sent in a round, and the server's memory, under each policy; the table below has the numbers.",
        ),
        "rows": [_row(rows, row, number, reached) for number, row in enumerate(rows, start=1)],
        "best": {row.name for row in ranked(rows)[:1]},
        "faults": [(row.name, *fault) for row in rows for fault in faults(row.run)],
        "planning": [(policy.policy, policy.planning_s) for policy in comparison.runs],
        "devices": sorted(comparison.network["devices"].items()),
        "links": sorted(comparison.network["links"], key=lambda link: str(link["id"])),
    }


def _row(rows: list[Shown], row: Shown, number: int, reached: float | None) -> dict[str, Any]:
    run = row.run
    sent, peaks = mean_sent_bytes(run.rounds), peak_server_bytes(run.rounds)
    longest_s = max((other.run.median_round_s or 0.0 for other in rows), default=0.0)
    return {
        "name": row.name,
        "anchor": f"run-{number}",
        "run": run,
        "gain": gain(rows, row),
        "of_bound": None if run.above_bound is None else 1 + run.above_bound,
        "fill": f"{100 * (quotient(run.median_round_s, longest_s) or 0.0):.0f}",
        "accuracy": last_known(run.rounds, "accuracy"),
        "loss": last_known(run.rounds, "loss"),
        "to_accuracy_s": None if reached is None else seconds_to(run.rounds, reached),
        "up_bytes": sent[0] if sent else None,
        "down_bytes": sent[1] if sent else None,
        "activation_bytes": peaks[0] if peaks else None,
        "half_bytes": peaks[1] if peaks else None,
        "server_busy": _server_busy(run),
        "devices": _devices(run),
        "rounds": [
            {"record": each, "passed_s": passed_s, "sent": sent_bytes(each)}
            for each, passed_s in zip(run.rounds, clock_s(run.rounds), strict=True)
        ],
    }


def _server_busy(run: TrainingRun) -> float | None:
    """The part of the rounds in which the server computed for clients."""
    rounds = steady(run.rounds)
    return quotient(sum(each["busy_s"] for each in rounds), sum(each["seconds_s"] for each in rounds))


def _devices(run: TrainingRun) -> list[dict[str, Any]]:
    """What each device was planned to do, beside what it did; either may be missing."""
    spent, planned = mean_spent(run), {each.device: each for each in run.clients}
    return [
        {"device": device, "plan": planned.get(device), "spent": spent.get(device)}
        for device in dict.fromkeys((*planned, *spent))
    ]
