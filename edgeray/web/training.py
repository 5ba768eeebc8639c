"""A comparison of training as a folder: report.html, which needs nothing else, pictures, and comparison.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from edgeray.web.page import Picture, environment, picture
from edgeray.web.report import REPORT_NAME
from edgeray.web.training_plots import draw_costs, draw_course, draw_loads, draw_rounds
from edgeray.web.training_rows import SPLIT_MODE, Shown, common_accuracy, mode_of, shown, words_of
from edgeray.web.training_summary import PREDICTION_TOLERANCE, best, gain, training_sentences
from edgeray.web.training_tables import policies_table, policy_tables


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
    mode = mode_of(comparison) or SPLIT_MODE
    top = best(rows, mode)[:1]
    types = {device: str(facts["type"]) for device, facts in comparison.network["devices"].items()}
    return {
        "comparison": comparison,
        "split": mode == SPLIT_MODE,
        "words": words_of(mode),
        "sentences": training_sentences(comparison),
        "reached": reached,
        "tolerance": PREDICTION_TOLERANCE,
        "policies": None if mode == SPLIT_MODE else policies_table(rows, top, mode),
        **_charts(rows, folder, mode),
        "rows": [_row(rows, row, number, reached, types) for number, row in enumerate(rows, start=1)],
        "best": {row.name for row in top},
        "faults": [(row.name, *fault) for row in rows for fault in faults(row.run)],
        "planning": [(policy.policy, policy.planning_s) for policy in comparison.runs],
        "devices": sorted(comparison.network["devices"].items()),
        "links": sorted(comparison.network["links"], key=lambda link: str(link["id"])),
    }


def _charts(rows: list[Shown], folder: Path, mode: str) -> dict[str, Picture | None]:
    words = words_of(mode)
    course = (
        f"against the seconds of training and against {words.rounds}; "
        f"the tables of {words.rounds} below have the numbers."
    )
    memory = ", and the server's memory," if mode == SPLIT_MODE else ""
    return {
        "accuracy_chart": picture(
            lambda theme: draw_course(rows, "accuracy", theme),
            folder / "accuracy.png",
            f"Accuracy of each policy's model {course}",
        ),
        "loss_chart": picture(
            lambda theme: draw_course(rows, "loss", theme),
            folder / "loss.png",
            f"Training loss of each policy {course}",
        ),
        "rounds_chart": picture(
            lambda theme: draw_rounds(rows, theme),
            folder / "rounds.png",
            f"Where the seconds of a mean {words.round} went on each device under each policy; "
            "the tables of devices below have the numbers.",
        ),
        "loads_chart": picture(
            lambda theme: draw_loads(rows, theme),
            folder / "loads.png",
            f"Bytes sent in a {words.round}{memory} under each policy; the table below has the numbers.",
        ),
        "costs_chart": picture(
            lambda theme: draw_costs(rows, theme),
            folder / "costs.png",
            "What processing, transfers and discards cost under each policy; the table above has the numbers.",
        ),
    }


def _row(
    rows: list[Shown], row: Shown, number: int, reached: float | None, types: Mapping[str, str]
) -> dict[str, Any]:
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
        "tables": policy_tables(row, types),
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
