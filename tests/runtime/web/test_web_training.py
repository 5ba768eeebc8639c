"""A comparison of split training: what is derived from its rounds, and what the table, the sentences and the page say."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console
from training_examples import (
    CUTS,
    DEVICES,
    TYPES,
    a_round,
    client_round,
    comparison_of,
    plan,
    refused,
    run_of,
    trained,
    view,
)
from training_page import Page

from edgeray.scheduler.views import plan_json
from edgeray.telemetry.training_records import TrainingComparison
from edgeray.telemetry.training_runs import (
    faults,
    mean_spent,
    median_round_s,
    peak_server_bytes,
    planned_clients,
    seconds_to,
)
from edgeray.training.records import ClientRound, RoundRecord
from edgeray.web.training import write_training_report
from edgeray.web.training_rows import shown
from edgeray.web.training_summary import (
    failure_lines,
    gain,
    ranked,
    render_training_table,
    training_sentences,
)
from policies.model import (
    DeviceId,
    Flow,
    Job,
    JobId,
    Plan,
    Profile,
    Rounds,
    Task,
    TaskId,
    Training,
    Workload,
)

WHY = "client-c1: the whole model takes 1.20 GB on a pi, which has 1.00 GB"
FIVE = (
    refused("vanilla-fl", WHY),
    trained("adaptive-fl", 30.0),
    trained("edgesplit-fix", 20.0),
    trained("edgesplit", 15.0),
    trained("edgesplit-overlap", 10.0),
)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[TrainingComparison], Page]:
    return lambda comparison: Page(write_training_report(comparison, tmp_path / "new"))


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report on FIVE."""
    return write_training_report(comparison_of(*FIVE), tmp_path_factory.mktemp("five") / "new").parent


def test_made_up_rounds_and_plans_are_of_the_form_of_true_ones() -> None:
    made = a_round(1, 10.0, 0.5)
    names = {field.name for field in dataclasses.fields(ClientRound)}
    one = ClientRound(**{name: value for name, value in made["clients"][0].items() if name in names})
    true = RoundRecord(**{**made, "clients": (one,)}).as_json()
    assert set(true) == set(made) and set(true["clients"][0]) == set(made["clients"][0])
    parts = ("compute_s", "server_s", "transfer_s", "idle_s")
    assert [true["clients"][0][part] for part in parts] == [made["clients"][0][part] for part in parts]

    server, client = TaskId("server"), TaskId("client-c1")
    flows = (Flow(producer=client, consumer=server), Flow(producer=server, consumer=client))
    rounds = Rounds(cuts={client: 1}, micro_batches=2, round_s=9.0, predicted_s=10.0, bound_s=8.0)
    planned = Plan(
        job=JobId("training"),
        policy="edgesplit",
        placement={server: DeviceId("server"), client: DeviceId("c1")},
        routes={flow.id: (DeviceId("c1"), DeviceId("server")) for flow in flows},
        rates_bps={flow.id: 7.5e6 for flow in flows},
        ceilings_bps={flow.id: 30e6 for flow in flows},
        throughput_per_s=0.1,
        bottleneck="device c1",
        rounds=rounds,
    )
    job = Job(
        id=JobId("training"),
        tasks=(Task(id=server), Task(id=client)),
        flows=flows,
        mode="loop",
        training=Training(server=server, batches={client: 3}, rounds=3),
    )
    profile = Profile(seconds={}, output_bytes={}, peak_memory_bytes={}, cuts=CUTS)
    told = plan_json(planned, Workload(job=job, profile=profile))
    assert told["rounds"] == plan({"c1": 1}, predicted_s=10.0, bound_s=8.0)["rounds"]


def test_the_first_round_counts_only_where_there_is_no_other() -> None:
    rounds = [a_round(n, s, None) for n, s in enumerate((20.0, 9.0, 11.0, 10.0), start=1)]
    assert median_round_s(rounds) == 10.0
    assert median_round_s(rounds[:1]) == 20.0
    assert median_round_s([]) is None
    run = run_of("edgesplit", *rounds)
    assert run.median_round_s == 10.0
    assert run.above_bound == pytest.approx(10 / 8 - 1) and run.off_prediction == pytest.approx(0)
    unknown = run_of("edgesplit", *rounds, plan=plan({"c1": 1}, predicted_s=None, bound_s=None))
    assert unknown.above_bound is None and unknown.off_prediction is None


def test_a_plan_is_told_client_by_client_with_the_names_of_its_cuts() -> None:
    planned = planned_clients(plan({"c3": 2, "c1": 0}, predicted_s=1, bound_s=1), TYPES, CUTS)
    assert [(each.device, each.type, each.layer, each.layers) for each in planned] == [
        ("c3", "jetson-nano", "fc3", 7),
        ("c1", "pi", "conv1", 1),
    ]
    assert (planned[0].rate_bps, planned[0].most_bps) == (7.5e6, 30e6)
    assert planned_clients(None, TYPES, CUTS) == ()


def test_the_parts_of_a_round_are_means_over_the_rounds_in_which_a_device_was_there() -> None:
    late = [client_round("client-c2", 10.0), client_round("client-c1", 10.0, compute_s=6.0, idle_s=0.0)]
    run = run_of(
        "edgesplit", a_round(1, 99.0, None), a_round(2, 20.0, None), a_round(3, 10.0, None, clients=late)
    )
    spent = mean_spent(run)
    assert list(spent) == list(DEVICES), "in the plan's order; c3 and c4 were there in round 2 alone"
    assert (spent["c1"].compute_s, spent["c1"].idle_s) == (7.0, 2.0)
    assert (spent["c3"].compute_s, spent["c3"].transfer_s, spent["c3"].server_s) == (8.0, 5.0, 3.0)


def test_peaks_faults_and_the_time_to_an_accuracy_come_from_all_rounds() -> None:
    first = a_round(
        1,
        20.0,
        0.5,
        peak_activation_bytes=9,
        peak_half_bytes=1,
        dropped={"client-c2": "gone", "client-c1": "late"},
    )
    second = a_round(2, 10.0, 0.7, peak_activation_bytes=8, peak_half_bytes=2)
    assert peak_server_bytes([first, second]) == (9, 2)
    assert list(faults(run_of("edgesplit", first, second))) == [(1, "c1", "late"), (1, "c2", "gone")]
    assert seconds_to([first, second], 0.6) == 30.0 and seconds_to([first, second], 0.71) is None


def test_a_refusal_is_a_row_and_the_shortest_round_leads() -> None:
    comparison = comparison_of(*FIVE)
    first, second, third, fourth, last = training_sentences(comparison)
    assert first == (
        "edgesplit-overlap has the shortest round, 10.0 s, 3.00× as fast as adaptive-fl (30.0 s); "
        "that is 1.25× the bound on any round."
    )
    assert second == (
        "The measured round is more than 15 % off its prediction for edgesplit (+50 %), edgesplit-fix (+100 %) and "
        "adaptive-fl (+200 %)."
    )
    assert third == "After 3 rounds each, accuracies lie between 72.1 % and 72.1 %."
    assert fourth.startswith("All reach 72.1 %: edgesplit-overlap soonest, after 40.0 s")
    assert last == f"vanilla-fl: lenet-vanilla-fl failed: cannot be placed: {WHY}"
    assert failure_lines(comparison) == [last]


def test_what_one_run_cannot_tell_apart_is_said_to_be_together() -> None:
    told = training_sentences(comparison_of(trained("vanilla-fl", 10.1), trained("edgesplit", 10.0)))
    assert told[0].startswith(
        "edgesplit and vanilla-fl have the shortest round, 10.0 s: one run does not tell"
    )
    assert told[1] == "The measured round meets its prediction within 1 % for every policy that ran."


def test_nobody_done_and_a_round_under_the_bound_are_said() -> None:
    assert training_sentences(comparison_of(FIVE[0]))[0] == "No policy's training came to its end."
    told = training_sentences(comparison_of(trained("edgesplit", 6.0)))
    assert any("edgesplit is 25 % under the bound" in sentence for sentence in told)


def test_stopped_training_is_not_ranked() -> None:
    rounds = [a_round(1, 1.0, 0.9)]
    stopped = run_of("vanilla-fl", *rounds, phase="stopped", detail="interrupted by its user")
    rows = shown(comparison_of(stopped, trained("edgesplit", 5.0)))
    assert [row.name for row in ranked(rows)] == ["edgesplit"]
    assert stopped.failure == "interrupted by its user" and len(stopped.rounds) == 1


def test_several_jobs_under_one_policy_are_told_apart_and_held_against_their_own_baseline() -> None:
    def both(policy: str, seconds_s: float) -> list[Any]:
        plain = trained(policy, seconds_s)
        rounds = [a_round(n, seconds_s / 2, 0.7) for n in (1, 2, 3)]
        return [plain, run_of(policy, *rounds, app="lenet-int8")]

    rows = shown(comparison_of(*both("vanilla-fl", 20.0), *both("edgesplit", 5.0)))
    assert [row.name for row in rows] == [
        "vanilla-fl, lenet",
        "vanilla-fl, lenet-int8",
        "edgesplit, lenet",
        "edgesplit, lenet-int8",
    ]
    assert gain(rows, rows[3]) == pytest.approx(4.0), "against its own 10 s, not the other job's 20 s"


def test_jobs_of_one_name_go_by_their_ids() -> None:
    jobs = [run_of("edgesplit", a_round(1, 5.0, 0.7), job=f"lenet-{number}") for number in (1, 2)]
    assert [row.name for row in shown(comparison_of(*jobs))] == ["edgesplit, lenet-1", "edgesplit, lenet-2"]


def test_table_has_a_row_a_policy() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(render_training_table(comparison_of(*FIVE)))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 100
    rows = {line.split()[0]: line for line in lines if line.strip()}
    assert all(
        cell in rows["edgesplit-overlap"]
        for cell in ("10.0 s", "0 %", "8.00 s", "1.25×", "3.00×", "72.1 %", "0.667", "3/3")
    )
    assert "0/3" in rows["vanilla-fl"] and "–" in rows["vanilla-fl"]


def test_page_tells_the_numbers_and_stands_alone(five: Path) -> None:
    page = Page(five / "report.html")
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed"), tag
        for name in ("src", "srcset", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/png;base64,", "#")), value
    assert not page.open
    anchors = {attributes.get("id") for _, attributes in page.tags}
    assert all((attributes["href"] or "")[1:] in anchors for tag, attributes in page.tags if tag == "a")
    assert page.row("edgesplit-overlap", cells=12) == [
        *("edgesplit-overlap", "10.0 s", "10.0 s", "0 %", "8.00 s", "1.25×", "9.00 s", "3.00×", "3 of 3"),
        *("72.1 %", "40.0 s", "0.667"),
    ]
    assert page.row("vanilla-fl failed", cells=12)[1:4] == ["–", "–", "–"]
    assert page.row("edgesplit-overlap", cells=6)[1:] == ["6.00 MB", "5.00 MB", "12.0 MB", "3.00 MB", "40 %"]
    assert page.row("c2", cells=8) == [
        *("c2", "pi", "1", "pool2", "4 of 7", "7.50 Mbpsup to 30.0 Mbps", "1.50 MB", "1.25 MB")
    ]
    # Of adaptive-fl, the first that ran: 30 s a mean round.
    assert page.row("c1", cells=7)[1:] == ["12.0 s", "7.50 s", "4.50 s", "6.00 s", "3.00 s", "1.50 s"]
    assert f"cannot be placed: {WHY}" in page.words
    assert "devices are network namespaces with CPU and memory limits" in page.words
    told = json.loads((five / "comparison.json").read_text())
    assert told["runs"][4]["jobs"][0]["above_bound"] == 0.25


def test_page_has_pictures_for_light_and_dark(five: Path) -> None:
    page = Page(five / "report.html")
    uris = [a.get("src") or a.get("srcset") or "" for tag, a in page.tags if tag in ("img", "source")]
    assert len(uris) == 2 * 4
    for uri in uris:
        with Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))) as picture:
            picture.load()
            assert picture.width > 400 and len(picture.convert("RGB").getcolors(1 << 24) or ()) > 20
    assert sorted(path.name for path in five.glob("*.png")) == [
        "accuracy.png",
        "loads.png",
        "loss.png",
        "rounds.png",
    ]


def test_faults_and_rounds_are_listed(write: Callable[[TrainingComparison], Page]) -> None:
    clients = [client_round(f"client-{device}", 10.0) for device in DEVICES if device != "c2"]
    broken = a_round(2, 10.0, 0.6, clients=clients, dropped={"client-c2": "nothing came from it for 60 s"})
    page = write(comparison_of(run_of("edgesplit", a_round(1, 20.0, 0.4), broken, a_round(3, 10.0, 0.7))))
    assert page.row("edgesplit", cells=4)[1:] == ["2", "c2", "nothing came from it for 60 s"]
    assert page.row("2", cells=10) == [
        *("2", "10.0 s", "30.0 s", "1.00", "60.0 %", "400", "4.50 MB", "3.75 MB", "4.00 s", "1")
    ]


def test_missing_numbers_are_dashes(write: Callable[[TrainingComparison], Page]) -> None:
    rounds = [a_round(1, 20.0, None, loss=math.nan), a_round(2, 10.0, None)]
    cut = plan({"c1": 1}, predicted_s=None, bound_s=None)
    page = write(comparison_of(run_of("edgesplit", *rounds, plan=cut), notes=()))
    assert page.row("edgesplit", cells=11)[2:6] == ["–"] * 4, "there is no time to an accuracy"
    assert not {"None", "nan", "inf"} & set(page.words.split())
    empty = write(comparison_of())
    assert "No policy's training came to its end." in empty.words


def test_hostile_names_stay_text(write: Callable[[TrainingComparison], Page], tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>\"'&$x^2$\n𝔘"
    run = run_of(bad, a_round(1, 1.0, 0.5, dropped={bad: bad}), a_round(2, 1.0, 0.5), job=bad, detail=bad)
    page = write(
        comparison_of(run, run_of("x", phase="failed", detail=bad), app=bad, emulation=bad, notes=(bad,))
    )
    assert not any(tag == "script" for tag, _ in page.tags)
    assert "<script>alert(1)</script>" in page.words
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_many_devices_stay_readable(write: Callable[[TrainingComparison], Page], tmp_path: Path) -> None:
    names = [f"d{number:03}" for number in range(100)]
    cuts = plan(dict.fromkeys(names, 1), predicted_s=9.0, bound_s=8.0)
    rounds = [
        a_round(n, 10.0, 0.5, clients=[client_round(f"client-{name}", 10.0) for name in names])
        for n in (1, 2)
    ]
    write(comparison_of(run_of("edgesplit", *rounds, plan=cuts)))
    with Image.open(tmp_path / "new" / "rounds.png") as picture:
        assert picture.height < 1000


def test_views_of_jobs_that_never_had_a_plan_have_no_clients() -> None:
    assert run_of("edgesplit", plan=None, phase="failed", detail="x").clients == ()
    assert view("edgesplit").mode == "loop"
