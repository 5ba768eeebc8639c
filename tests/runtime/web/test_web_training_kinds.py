"""Comparisons of batch training and of fog training: what is derived, and what table, sentences and page say."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console
from training_examples import a_round, comparison_of
from training_kinds_examples import (
    a_cycle,
    a_fog_round,
    aware,
    cycles_of,
    eta,
    fog_of,
    learned,
    local,
    mel,
    movement,
)
from training_page import Page

from edgeray.telemetry.rounds import server_device
from edgeray.telemetry.training_cycles import (
    cycles_to,
    late_count,
    learner_cycles,
    learners,
    median_iterations,
)
from edgeray.telemetry.training_movement import Moved, moved, moved_by_device
from edgeray.telemetry.training_records import TrainingComparison
from edgeray.training.fog.costs import Movement
from edgeray.training.records import ClientRound, RoundRecord
from edgeray.web.training import write_training_report
from edgeray.web.training_rows import shown, signed
from edgeray.web.training_summary import best, render_training_table, training_sentences

LATE = "it had not finished after 12 s"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[TrainingComparison], Page]:
    return lambda comparison: Page(write_training_report(comparison, tmp_path / "new"))


def table_of(comparison: TrainingComparison, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(render_training_table(comparison))
    lines: list[str] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return lines


def table_row(lines: list[str], policy: str) -> list[str]:
    return next(line.split() for line in lines if line.split()[:1] == [policy])


def as_record(made: dict[str, Any]) -> RoundRecord:
    names = {field.name for field in dataclasses.fields(ClientRound)}
    clients = tuple(
        ClientRound(**{name: value for name, value in one.items() if name in names})
        for one in made["clients"]
    )
    return RoundRecord(**{**made, "clients": clients})


def test_made_up_rounds_are_of_the_form_of_true_ones() -> None:
    for made in (eta().rounds[0], local().rounds[0]):
        true = as_record(dict(made)).as_json()
        assert set(true) == set(made) and set(true["clients"][0]) == set(made["clients"][0])
    assert set(movement()) == {field.name for field in dataclasses.fields(Movement)} == set(Moved.__slots__)


# Batch training: what is derived


def test_a_cycle_is_held_against_what_was_predicted_when_it_began() -> None:
    run = mel()
    assert run.mode == "batches" and run.predicted_s == 10.0, (
        "not the 5 s that the plan says of the first cycle"
    )
    # The last three cycles took 12, 11 and 11 s.
    assert run.median_round_s == 11.0 and run.off_prediction == pytest.approx(0.1)
    unpredicted = cycles_of("eta", a_cycle(1, None, learned("c1", 10, 5.5), predicted_s={}, seconds_s=5.5))
    assert unpredicted.predicted_s == 5.0 and unpredicted.off_prediction == pytest.approx(0.1)


def test_iterations_late_learners_and_cycles_to_an_accuracy() -> None:
    assert (median_iterations(mel().rounds), late_count(mel().rounds)) == (12, 1)
    assert median_iterations([a_round(1, 1.0, None)]) is None
    assert cycles_to(eta().rounds, 0.6) == 3 and cycles_to(eta().rounds, 0.63) is None


def test_each_learner_is_held_against_its_own_prediction_but_in_the_first_cycle() -> None:
    off = {(one.device, one.number): round(one.off, 3) for one in learner_cycles(mel())}
    assert off == {
        ("c3", 2): 0.02,
        ("c1", 3): 0.2,
        ("c3", 3): -0.01,
        ("c1", 4): 0.0,
        ("c3", 4): 0.01,
    }
    c1, c3 = learners(mel())
    assert (c1.device, c1.samples, c1.predicted_s, c1.measured_s, c1.late) == ("c1", 30, 10.0, 11.0, 1)
    assert c1.off == pytest.approx(0.1) and c1.worst == pytest.approx(0.2)
    assert (c3.samples, c3.late) == (170, 0) and c3.worst == pytest.approx(0.02)


def test_a_learner_that_never_finished_is_listed_without_numbers() -> None:
    cycle = a_cycle(
        1, 0.5, learned("c3", 10, 5.0), predicted_s={"c1": 5.0, "c3": 5.0}, dropped={"learner-c1": LATE}
    )
    c1, _ = learners(cycles_of("mel", cycle))
    assert (c1.device, c1.samples, c1.off, c1.worst, c1.late) == ("c1", None, None, None, 1)


# Batch training: what is shown


def test_sentences_tell_cycles_to_etas_accuracy_iterations_and_predictions() -> None:
    told = training_sentences(comparison_of(eta(), mel()))
    assert told[:3] == [
        "mel-exact reaches eta's accuracy (60.0 %) after 2 of its 4 cycles; eta first after 3.",
        "mel-exact makes most iterations in a cycle, 12 (median); eta 4.",
        "A learner's seconds against those predicted for it in the same cycle, the first cycle and late learners left "
        "out: eta 2.5 % off (median), +5 % at worst (c1 in cycle 2); "
        "mel-exact 1 % off (median), +20 % at worst (c1 in cycle 3).",
    ]
    assert told[-1].startswith("mel-exact: a device was dropped from its cycle once")
    assert not any("round" in sentence for sentence in told)


def test_an_accuracy_that_is_not_reached_is_said() -> None:
    poor = cycles_of(
        "mel", *(a_cycle(n, 0.1 * n, learned("c1", 10, 5.0), predicted_s={"c1": 5.0}) for n in (1, 2, 3, 4))
    )
    told = training_sentences(comparison_of(eta(), poor))
    assert told[0] == "mel does not reach eta's accuracy (60.0 %) in 4 cycles; it ends at 40.0 %."
    assert told[1] == "All make 4 iterations in a cycle (median)."
    assert [row.name for row in best(shown(comparison_of(poor, eta())), "batches")] == ["eta", "mel"]


def test_without_eta_the_first_policy_is_the_baseline() -> None:
    told = training_sentences(comparison_of(cycles_of("mel", *eta().rounds), mel()))
    assert told[0].startswith("mel-exact reaches mel's accuracy (60.0 %) after 2")


def test_table_of_cycles_leaves_out_what_nobody_has() -> None:
    lines = table_of(comparison_of(eta(), mel()))
    assert max(map(len, lines)) <= 80
    assert any(
        " ".join(line.split()) == "policy cycle off tau late accuracy to eta's of its cycles"
        for line in lines
    )
    assert " ".join(table_row(lines, "eta")[1:]) == "11.0 s +10 % 4 0 60.0 % 3 75 % 4/4"
    assert " ".join(table_row(lines, "mel-exact")[1:]) == "11.0 s +10 % 12 1 80.0 % 2 50 % 4/4"
    blind = [cycles_of("eta", a_cycle(1, None, learned("c1", 10, 5.0), predicted_s={"c1": 5.0}))]
    bare = "\n".join(table_of(comparison_of(*blind)))
    assert "accuracy" not in bare and "to" not in bare.split()


def test_page_of_cycles(write: Callable[[TrainingComparison], Page], tmp_path: Path) -> None:
    page = write(comparison_of(eta(), mel()))
    assert not page.open and "batch training" in page.words and "split training" not in page.words
    assert page.row("policy", cells=11)[1:] == [
        *("measured", "predicted", "off prediction", "iterations (τ)", "late", "accuracy"),
        *("cycles to eta's accuracy", "of eta's cycles", "loss", "cycles"),
    ]
    assert page.row("mel-exact", cells=11)[1:] == [
        *("11.0 s", "10.0 s", "+10 %", "12", "1", "80.0 %", "2", "50 %", "0.500", "4/4")
    ]
    mine = page.rows[[row[0] for row in page.rows].index("learner", 15) :]  # the second policy's
    learner = next(row for row in mine if row[0] == "c1")
    assert learner == ["c1", "pi", "30", "10.0 s", "11.0 s", "+10 %", "+20 %", "1"]
    cycle = next(row for row in mine if row[0] == "2")
    assert cycle == [
        *("2", "12.0 s", "10.0 s", "23.0 s", "12", "1.00", "61.0 %", "160", "1.50 MB", "1.25 MB", "1")
    ]
    assert [row for row in mine if len(row) == 3][:3] == [
        ["cycle", "c1", "c3"],
        ["1", "40", "160"],
        ["2", "dropped", "160"],
    ]
    assert page.row("mel-exact", cells=4) == ["mel-exact", "2", "c1", LATE]
    assert "T_LB" not in page.words and "activations" not in page.words and "Every cycle" in page.words
    names = sorted(path.name for path in (tmp_path / "new").glob("*.png"))
    assert names == ["accuracy.png", "loads.png", "loss.png", "rounds.png"]
    told = json.loads((tmp_path / "new" / "comparison.json").read_text())
    job = told["runs"][1]["jobs"][0]
    assert job["mode"] == "batches" and job["rounds"][1]["iterations"] == 12


def test_refused_batch_training_is_a_row(write: Callable[[TrainingComparison], Page]) -> None:
    refused = cycles_of("mel", plan=None, phase="failed", detail="cannot be placed: the cycle is too short")
    page = write(comparison_of(eta(), refused))
    assert page.row("mel failed", cells=11)[1:10] == ["–"] * 9
    told = training_sentences(comparison_of(refused))
    assert told == [
        "No policy's training came to its end.",
        "mel: mel-mel failed: cannot be placed: the cycle is too short",
    ]
    assert "0/4" in "\n".join(table_of(comparison_of(refused)))


# Fog training


def test_points_and_costs_are_summed_over_rounds_and_devices() -> None:
    all_points = moved(aware().rounds)
    assert all_points is not None
    assert (all_points.collected, all_points.sent, all_points.processed, all_points.discarded) == (
        200,
        40,
        196,
        4,
    )
    assert all_points.cost == pytest.approx(5.0) and all_points.transfer_cost == 0.5
    by_device = moved_by_device(aware())
    assert list(by_device) == ["c1", "c3"]
    assert (by_device["c3"].arrived, by_device["c1"].kept) == (40, 56)
    assert moved([a_round(1, 1.0, None)]) is None
    nothing = moved([a_fog_round(1, None, c1=movement(collected=0))])
    assert nothing is not None and nothing.of_collected(nothing.cost) is None


def test_the_rounds_of_a_plan_without_rounds_are_where_its_server_is() -> None:
    assert server_device(local().plan) == "server" and server_device({"placement": {"server": "e1"}}) == "e1"
    assert server_device(None) is None and server_device({"placement": {}}) is None


def test_sentences_tell_what_is_saved_and_at_which_accuracy() -> None:
    told = training_sentences(comparison_of(local(), aware()))
    assert told[:2] == [
        "network-aware costs 50 % less than local (5.00 against 10.0) at an accuracy of 79.0 against 80.0 %.",
        "Of the 200 points collected, network-aware sends 20 % to other devices, processes 98 % and discards 2 %.",
    ]
    assert [row.name for row in best(shown(comparison_of(local(), aware())), "fog")] == [
        "network-aware",
        "local",
    ]


def test_costs_that_one_run_does_not_tell_apart_and_unequal_points_are_said() -> None:
    same = fog_of("federated", *local().rounds)
    told = training_sentences(comparison_of(local(), same))
    assert told[0].startswith("federated costs as much as local, as far as one run tells (10.0 against 10.0)")
    half = fog_of("theorem-3", local().rounds[0])
    told = training_sentences(comparison_of(local(), half))
    assert (
        "Policies collected between 100 and 200 points: the cost a point tells more than the total." in told
    )
    alone = training_sentences(comparison_of(aware()))
    assert alone[0] == "network-aware costs 5.00."
    dear = fog_of("dear", a_fog_round(1, 0.8, c1=movement(collected=200, process_cost=12.0)))
    assert training_sentences(comparison_of(local(), dear))[0].startswith("dear costs 20 % more than local")


def test_tables_of_costs_fit_a_terminal() -> None:
    long = fog_of("network-aware-sqrt", *aware().rounds)
    lines = table_of(comparison_of(local(), long))
    assert max(map(len, lines)) <= 80
    costs, points = [" ".join(line.split()[1:]) for line in lines if line.split()[:1] == ["local"]]
    assert costs == "10.0 10.0 0 0 0.0500 80.0 % 2/2"
    assert points == "200 100 % 0 % 0 %"
    assert not any("…" in line for line in lines)


def test_page_of_costs(write: Callable[[TrainingComparison], Page], tmp_path: Path) -> None:
    page = write(comparison_of(local(), aware()))
    assert not page.open and "fog training" in page.words
    assert page.row("network-aware", cells=12)[1:] == [
        *("5.00", "4.30", "0.500", "0.200", "0.0250", "79.0 %", "200", "98 %", "20 %", "2 %", "2/2")
    ]
    rows = [row for row in page.rows if row[0] == "c1" and len(row) == 12]
    assert rows[1] == [*("c1", "pi", "100", "56", "40", "0", "56", "4", "2.80", "0.500", "0.200", "3.50")]
    second = [row for row in page.rows if row[0] == "2" and len(row) == 11]
    assert second[1] == ["2", "10.0 s", "20.0 s", "1.00", "79.0 %", "100", "96", "40", "4", "2.00", "0"]
    with Image.open(tmp_path / "new" / "costs.png") as picture:
        assert picture.width > 400 and len(picture.convert("RGB").getcolors(1 << 24) or ()) > 20
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 5 and "T_LB" not in page.words


def test_free_points_have_no_picture_of_costs(
    write: Callable[[TrainingComparison], Page], tmp_path: Path
) -> None:
    write(comparison_of(fog_of("local", a_fog_round(1, None, c1=movement(process_cost=0.0)))))
    assert not (tmp_path / "new" / "costs.png").exists()


def test_a_sign_is_told_unless_there_is_none() -> None:
    assert [signed(value) for value in (0.042, -0.2, 0.0001, -0.0001, None)] == [
        "+4.2 %",
        "-20 %",
        "0 %",
        "0 %",
        "–",
    ]
