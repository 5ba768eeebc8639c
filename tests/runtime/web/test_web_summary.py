"""The summary claims what the numbers show, and no more."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console
from web_examples import PLACEMENTS, comparison_of, job_run, policy_run

from edgeray.telemetry.records import Comparison, PolicyRun
from edgeray.web.numbers import capacity, duration, figures, percent, rate, size, times
from edgeray.web.summary import gain_over_baseline, sentences
from edgeray.web.table import render_table


def run_of(policy: str, *rates: float, **changes: object) -> PolicyRun:
    jobs = tuple(job_run(f"j{n}", PLACEMENTS["spread"], per_s) for n, per_s in enumerate(rates))
    return policy_run(policy, jobs, **changes)


def summary(*runs: PolicyRun) -> str:
    return " ".join(sentences(comparison_of(*runs)))


def test_leader_and_its_gain_over_the_better_baseline() -> None:
    text = summary(run_of("lr", 2.0), run_of("br", 1.0), run_of("joint", 5.0))
    assert text.startswith("joint has the highest mean throughput, 5.00 items/s; ")
    assert "that is 2.50× the best of LR and BR (LR, 2.00)." in text


def test_policies_too_close_to_tell_apart_share_the_lead() -> None:
    text = summary(run_of("tp", 5.0), run_of("joint", 5.1))
    assert text.startswith("joint and TP lead together at 5.10 items/s")


def test_no_gain_is_said() -> None:
    assert "no gain: 1.01× the best" in summary(run_of("lr", 5.0), run_of("br", 1.0), run_of("otfa", 5.05))


@pytest.mark.parametrize(
    ("otfa", "tp", "expected"),
    [
        (5.0, 4.0, "OTFA is 1.25× TP by mean (5.00 against 4.00 items/s)."),
        (4.0, 5.0, "OTFA does not beat TP here, it is slower (4.00 against 5.00 items/s)."),
        (5.05, 5.0, "OTFA does not beat TP here: they lie within 3 % ("),
        (5.0, 0.0, "TP got nothing through"),
    ],
)
def test_otfa_against_tp(otfa: float, tp: float, expected: str) -> None:
    slow = run_of("tp", tp or 1e-9, mean_per_s=tp)
    assert expected in summary(run_of("otfa", otfa), slow)


def test_a_difference_that_no_plan_promised_is_no_gain() -> None:
    runs = (run_of("tp", 4.16, planned_mean_per_s=4.68), run_of("otfa", 4.7, planned_mean_per_s=4.68))
    text = summary(*runs)
    assert "OTFA does not beat TP here: their plans promise the same (4.68 against 4.68 items/s)" in text
    assert "(4.70 against 4.16) differs by the run and not by the policy." in text


def test_a_mean_that_hides_starvation_is_exposed() -> None:
    text = summary(
        run_of("otfa", 9.0, 0.001, minimum_per_s=0.0), run_of("joint", 3.0, 3.0), run_of("lr", 0.1, 0.1)
    )
    assert text.startswith("OTFA has the highest mean throughput")
    assert "joint leads with 3.00" in text
    assert "OTFA left at least one job with nothing." in text


def test_plans_that_miss_are_named() -> None:
    text = summary(run_of("lr", 2.0), run_of("br", 2.0, planned_mean_per_s=4.0))
    assert "more than 10 % off its plan for BR (-50 %)." in text
    assert "meets its plan within 3.8 %" in summary(run_of("lr", 2.0))


def test_nothing_ran() -> None:
    assert sentences(comparison_of()) == ["No policy was run."]
    assert "No policy got an item through." in summary(policy_run("lr", ()))


def test_gain_needs_a_baseline() -> None:
    comparison = comparison_of(run_of("tp", 1.0))
    assert gain_over_baseline(comparison, comparison.runs[0]) is None


def test_numbers() -> None:
    assert [figures(v) for v in (0.0, 0.01234, 4.5678, 78.94, 1234.4, None, float("nan"))] == [
        "0", "0.0123", "4.57", "78.9", "1234", "–", "–",
    ]  # fmt: skip
    assert [rate(v) for v in (950.0, 3.2e6, 999_700.0, None)] == ["950 bps", "3.20 Mbps", "1.00 Mbps", "–"]
    assert [capacity(v) for v in (12e6, 2.5e6, 100e6, 1e9)] == ["12 Mbps", "2.5 Mbps", "100 Mbps", "1 Gbps"]
    assert [size(v) for v in (0, 256e6)] == ["0 B", "256 MB"]
    assert [duration(v) for v in (0.0123, 2.5, None)] == ["12.3 ms", "2.50 s", "–"]
    assert [percent(v) for v in (0.03, 0.038, 0.87, -0.038, None)] == ["3 %", "3.8 %", "87 %", "-3.8 %", "–"]
    assert times(2.314) == "2.31×"


def test_table_fits_80_columns_and_shows_everything(six: Comparison) -> None:
    out = StringIO()
    Console(file=out, width=80).print(render_table(six))
    text = out.getvalue()
    assert "…" not in text
    assert "joint   7.31  7.31  7.31  7.60  -3.8 %  3.01×   87 %  192 ms" in text


def test_table_takes_markup_literally() -> None:
    out = StringIO()
    Console(file=out, width=120).print(
        render_table(comparison_of(run_of("[red]x[/red]", 1.0), app="[bold]a"))
    )
    assert "[red]x[/red]" in out.getvalue() and "[bold]a" in out.getvalue()
