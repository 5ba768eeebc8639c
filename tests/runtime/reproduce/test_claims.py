"""Each rule gives each verdict on a table made for it."""

from __future__ import annotations

import math

import pytest
from reproduce_examples import ERRATIC, STEADY, Values, table

from edgeray.reproduce import throughput, waiting
from edgeray.reproduce.claims import RULES, Rule, judge_all
from edgeray.reproduce.ours import SPECIFIED, beside_specification, judge_aims
from edgeray.reproduce.rules import Verdict
from edgeray.reproduce.table import Table, estimate, estimate_ratio

SPLIT = ("tp", "otfs", "otfa")
WHOLE = ("lr", "br")


def all_of(names: tuple[str, ...], *numbers: float) -> dict[str, tuple[float, ...]]:
    return dict.fromkeys(names, numbers)


def even(x: tuple[float, ...], number: float, *names: str) -> dict[str, tuple[float, ...]]:
    return all_of(names, *(number for _ in x))


DEVICES = (10.0, 20.0, 30.0, 40.0)
JOBS = (10.0, 30.0, 50.0, 100.0)
MBPS = (1.0, 5.0, 20.0, 50.0)

# Rule: (figure, x, numbers that reproduce the claim, numbers that refute it)
CASES: dict[Rule, tuple[str, tuple[float, ...], Values, Values]] = {
    throughput.gain_over_lr: (
        "a", DEVICES, even(DEVICES, 2, "otfa") | even(DEVICES, 1, "lr"),
        even(DEVICES, 1.2, "otfa") | even(DEVICES, 1, "lr"),
    ),
    throughput.gain_over_br: (
        "b", DEVICES, even(DEVICES, 1.5, "otfa") | even(DEVICES, 1, "br"),
        even(DEVICES, 1, "otfa") | even(DEVICES, 1, "br"),
    ),
    throughput.gain_over_tp: (
        "a", DEVICES, {"otfa": (2, 2, 2, 1), "tp": (1, 1, 1, 1)}, {"otfa": (2, 1, 1, 1), "tp": (1, 1, 1, 1)},
    ),
    throughput.tp_beats_whole_jobs: (
        "a", DEVICES, even(DEVICES, 3, "tp") | even(DEVICES, 2, *WHOLE),
        even(DEVICES, 1.8, "tp") | even(DEVICES, 2, *WHOLE),
    ),
    throughput.otfs_beats_whole_jobs: (
        "a", DEVICES, even(DEVICES, 3, "otfs") | even(DEVICES, 2, *WHOLE),
        even(DEVICES, 1.8, "otfs") | even(DEVICES, 2, *WHOLE),
    ),
    throughput.otfa_beats_whole_jobs: (
        "a", DEVICES, even(DEVICES, 3, "otfa") | even(DEVICES, 2, *WHOLE),
        even(DEVICES, 1.8, "otfa") | even(DEVICES, 2, *WHOLE),
    ),
    throughput.otfa_best_by_devices: (
        "a", DEVICES, even(DEVICES, 2, "otfa") | even(DEVICES, 1, "tp", "otfs"),
        {"otfa": (2, 1, 1, 1), "tp": (1, 2, 2, 2), "otfs": (1, 2, 2, 2)},
    ),
    throughput.whole_jobs_below_one: (
        "a", DEVICES, even(DEVICES, 0.5, *WHOLE), even(DEVICES, 1.5, *WHOLE),
    ),
    throughput.dips_on_thin_links: (
        "a", DEVICES, all_of(SPLIT, 3, 2, 5, 4), all_of(SPLIT, 2, 3, 4, 5),
    ),
    throughput.no_dips_on_wide_links: (
        "b", DEVICES, all_of(SPLIT, 2, 3, 4, 5), all_of(SPLIT, 3, 2, 5, 4),
    ),
    waiting.short_waits_on_few_devices: (
        "c", DEVICES, even(DEVICES, 1, *SPLIT) | even(DEVICES, 5, *WHOLE),
        even(DEVICES, 5, *SPLIT) | even(DEVICES, 1, *WHOLE),
    ),
    waiting.planning_dominates: (
        "c", DEVICES, even(DEVICES, 0.01, *SPLIT), even(DEVICES, 0.1, *SPLIT),
    ),
    waiting.waits_stay_low: (
        "c", DEVICES, even(DEVICES, 0.2, *SPLIT), even(DEVICES, 20, *SPLIT),
    ),
    throughput.few_jobs_similar: (
        "d", JOBS, even(JOBS, 1.1, "otfs", "otfa") | even(JOBS, 1, *WHOLE),
        even(JOBS, 3, "otfs", "otfa") | even(JOBS, 1, *WHOLE),
    ),
    throughput.whole_jobs_decline: (
        "d", JOBS, all_of(WHOLE, 9, 8, 5, 1), all_of(WHOLE, 1, 2, 3, 4),
    ),
    throughput.otfa_declines_less: (
        "d", JOBS, all_of(WHOLE, 9, 8, 5, 1) | {"otfa": (9, 8, 7, 6)},
        all_of(WHOLE, 9, 8, 7, 6) | {"otfa": (9, 8, 5, 1)},
    ),
    throughput.otfa_best_with_many_jobs: (
        "d", JOBS, even(JOBS, 2, "otfa") | even(JOBS, 1, *WHOLE, "tp", "otfs"),
        even(JOBS, 1, "otfa") | even(JOBS, 2, *WHOLE, "tp", "otfs"),
    ),
    waiting.few_jobs_wait_little: (
        "e", JOBS, even(JOBS, 0.1, *WHOLE, *SPLIT), even(JOBS, 3, *WHOLE, *SPLIT),
    ),
    waiting.whole_jobs_wait_less_when_few: (
        "e", JOBS, even(JOBS, 1, *WHOLE) | even(JOBS, 3, *SPLIT), even(JOBS, 3, *WHOLE) | even(JOBS, 1, *SPLIT),
    ),
    waiting.whole_jobs_wait_when_many: (
        "e", JOBS, all_of(WHOLE, 1, 1, 1, 5), all_of(WHOLE, 1, 1, 5, 1),
    ),
    waiting.split_jobs_wait_alike: (
        "e", JOBS, all_of(SPLIT, 1, 1, 2, 2.2), all_of(SPLIT, 1, 1, 2, 9),
    ),
    throughput.otfa_ahead_on_thin_links: (
        "f", MBPS, even(MBPS, 2, "otfa") | even(MBPS, 1, *WHOLE, "tp", "otfs"),
        even(MBPS, 1, "otfa") | even(MBPS, 2, *WHOLE, "tp", "otfs"),
    ),
    throughput.all_similar_on_wide_links: (
        "f", MBPS, even(MBPS, 1.1, "otfa") | even(MBPS, 1, *WHOLE, "tp", "otfs"),
        even(MBPS, 3, "otfa") | even(MBPS, 1, *WHOLE, "tp", "otfs"),
    ),
    throughput.br_over_lr: (
        "f", MBPS, even(MBPS, 2, "br") | even(MBPS, 1, "lr"), even(MBPS, 1, "br") | even(MBPS, 2, "lr"),
    ),
    throughput.slightly_better_on_wide_links: (
        "f", MBPS, even(MBPS, 1.2, "otfs", "otfa") | even(MBPS, 1, *WHOLE),
        even(MBPS, 0.7, "otfs", "otfa") | even(MBPS, 1, *WHOLE),
    ),
    throughput.grows_with_bandwidth: (
        "f", MBPS, all_of((*WHOLE, *SPLIT), 1, 2, 3, 4), all_of((*WHOLE, *SPLIT), 4, 3, 2, 1),
    ),
}  # fmt: skip


def judged(rule: Rule, numbers: Values, factors: tuple[float, ...] = STEADY) -> Verdict:
    name, x = CASES[rule][:2]
    claim = rule(table({name: (x, numbers)}, factors, planning_s=0.05))
    assert claim is not None
    return claim.verdict


@pytest.mark.parametrize("rule", CASES, ids=lambda rule: rule.__name__)
def test_each_verdict(rule: Rule) -> None:
    _, _, fits, contradicts = CASES[rule]
    assert judged(rule, fits) is Verdict.REPRODUCED
    assert judged(rule, contradicts) is Verdict.REFUTED
    # The same means, but from seeds that differ so much that they show nothing; and from one seed.
    assert judged(rule, contradicts, ERRATIC) is Verdict.NOT_REPRODUCED
    assert judged(rule, contradicts, (1.0,)) is Verdict.NOT_REPRODUCED


def test_every_rule_has_a_case() -> None:
    assert set(RULES) == {*CASES, throughput.linear_on_wide_links}


def test_linear_growth_needs_a_straight_rising_line() -> None:
    def verdict(*means: float) -> Verdict:
        claim = throughput.linear_on_wide_links(table({"b": (DEVICES, all_of(SPLIT, *means))}))
        assert claim is not None
        return claim.verdict

    assert verdict(1, 2, 3, 4.1) is Verdict.REPRODUCED
    assert verdict(4, 3, 2, 1) is not Verdict.REPRODUCED
    assert verdict(1, 4, 1, 4) is not Verdict.REPRODUCED
    assert throughput.linear_on_wide_links(table({"b": ((10.0, 20.0), all_of(SPLIT, 1, 2))})) is None


@pytest.mark.parametrize("rule", [waiting.short_waits_on_few_devices, waiting.whole_jobs_wait_when_many])
def test_nothing_is_refuted_where_nobody_has_to_wait(rule: Rule) -> None:
    """A claim about scarce resources, in a setting that has plenty: planning alone contradicts nothing."""
    name, x = CASES[rule][:2]
    split = even(x, 4, *SPLIT) if name == "c" else {}
    claim = rule(table({name: (x, split | even(x, 0, *WHOLE))}, planning_s=0.05))
    assert claim is not None
    assert claim.verdict is Verdict.NOT_REPRODUCED
    assert "memory" in claim.why


def test_a_claim_without_data_is_left_out() -> None:
    assert judge_all(table({"a": (DEVICES, {"joint": (1, 2, 3, 4)})})) == []
    keys = {claim.key for claim in judge_all(table({"f": (MBPS, even(MBPS, 1, *WHOLE))}))}
    assert keys == {"br-over-lr", "bandwidth"}


def test_what_a_claim_says_of_itself() -> None:
    numbers = {"otfa": (2, 2, 0.5, 0.5), "lr": (1, 1, 1, 1)}
    claim = throughput.gain_over_lr(table({"a": (DEVICES, numbers)}))
    assert claim is not None
    assert claim.verdict is Verdict.NOT_REPRODUCED  # no more than half contradict it
    assert claim.why.startswith("It holds at 2 of 4 points; 2 contradict it") and "Alg. 1" in claim.why
    assert claim.ours == "-50 % to +100 %, median +25 %"
    points = claim.as_json()["points"]
    assert points[0]["at"] == "10 devices, 1 Mbps"
    assert [point["holds"] for point in points] == [True, True, False, False]
    assert points[0]["low"] < points[0]["value"] < points[0]["high"]


def test_our_aims() -> None:
    x = (10.0, 30.0, 70.0)
    good = {"joint-floor": (0.1, 0.9, 0.9), "bound": (1, 1, 1), "joint": (1, 2.1, 2.1), "otfa": (1, 1, 1)}
    assert [aim.verdict for aim in judge_aims(table({"a": (x, good)}))] == [Verdict.HELD] * 3
    poor = good | {"joint-floor": (1, 0.7, 0.9), "joint": (9, 1.3, 9)}
    assert [aim.verdict for aim in judge_aims(table({"a": (x, poor)}))] == [Verdict.MISSED] * 3


def test_a_missed_aim_says_how_far_any_policy_could_come() -> None:
    near = {"joint-floor": (1.3, 3), "bound": (1.3, 4), "joint": (1.3, 3), "otfa": (1, 1)}
    floor, mean, geometric = judge_aims(table({"a": ((30.0, 70.0), near)}))
    assert "any policy" not in floor.why
    for aim in (mean, geometric):
        assert aim.verdict is Verdict.MISSED
        assert aim.why.endswith(" The upper bound of any policy is 1.30 times OTFA's at 30 devices, 1 Mbps.")


def test_numbers_beside_the_specification() -> None:
    made: Table = table({"table": ((1.0,), {"lr": (0.038,), "otfa": (0.2,)})})
    rows = {one.policy: one for one in beside_specification(made)}
    assert set(rows) == {"lr", "otfa"}
    assert rows["lr"].specified == SPECIFIED[30, 1][0] and rows["lr"].inside is True
    assert rows["otfa"].ratio == pytest.approx(2.0) and rows["otfa"].inside is False


def test_bands() -> None:
    # Student's t for 2 degrees of freedom, 97.5 %: 4.303.
    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == 2 and found.high == pytest.approx(2 + 4.302653 / math.sqrt(3))
    ratio, inverse = estimate_ratio([1, 4], [2, 1]), estimate_ratio([2, 1], [1, 4])
    assert ratio.mean == pytest.approx(math.sqrt(2)) and ratio.low == pytest.approx(1 / inverse.high)
    assert not estimate([1.0]).known
    assert estimate_ratio([1, 1], [0, 0]).mean == math.inf
    assert not estimate_ratio([1, 1], [0, 1]).known
