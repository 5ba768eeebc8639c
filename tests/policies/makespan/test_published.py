"""The two papers' own examples, to the second."""

from __future__ import annotations

import pytest

from policies.makespan.peft import optimistic_costs
from policies.makespan.ranks import downward, mean_seconds, upward
from policies.model import Plan, Snapshot
from policies.registry import load_policy
from tests.policies.makespan.instances import ARABNEJAD, TOPCUOGLU, Edges, Rows, job_of, meshed, read_alone
from tests.policies.makespan.oracles import check_timetable


def planned(policy: str, example: tuple[Rows, Edges]) -> Plan:
    network, workload = meshed(3), job_of(*example)
    plan = load_policy(policy).decide(Snapshot(network=network), [workload]).plans[workload.job.id]
    check_timetable(network, workload, plan)
    return plan


@pytest.mark.parametrize(
    ("policy", "example", "makespan_s"),
    [
        ("heft", TOPCUOGLU, 80),
        ("cpop", TOPCUOGLU, 86),
        ("heft", ARABNEJAD, 133),
        ("peft", ARABNEJAD, 122),
    ],
)
def test_makespan_without_contention_is_the_published_one(
    policy: str, example: tuple[Rows, Edges], makespan_s: float
) -> None:
    timetable = planned(policy, example).timetable
    assert timetable is not None
    assert timetable.contention_free_s == makespan_s


def test_ranks_of_heft_and_cpop_are_the_published_ones() -> None:
    instance = read_alone(meshed(3), job_of(*TOPCUOGLU))
    seconds = mean_seconds(instance)
    up = [108, 77, 80, 80, 69, 63.333, 42.667, 35.667, 44.333, 14.667]
    down = [0, 31, 25, 22, 24, 27, 62.333, 66.667, 63.667, 93.333]
    assert upward(instance, seconds) == pytest.approx(up, abs=5e-4)
    assert downward(instance, seconds) == pytest.approx(down, abs=5e-4)


def test_optimistic_costs_of_peft_are_the_published_ones() -> None:
    """Arabnejad, Barbosa 2014, the table of its example."""
    assert optimistic_costs(read_alone(meshed(3), job_of(*ARABNEJAD))) == [
        [64, 68, 86],
        [42, 39, 42],
        [27, 41, 43],
        [42, 39, 50],
        [28, 37, 28],
        [42, 39, 44],
        [13, 16, 22],
        [13, 16, 33],
        [13, 16, 20],
        [0, 0, 0],
    ]


def test_peft_puts_tasks_where_and_when_the_paper_does() -> None:
    plan = planned("peft", ARABNEJAD)
    assert plan.timetable is not None
    spans = [plan.timetable.tasks[task] for task in sorted(plan.timetable.tasks)]
    assert [plan.placement[task] for task in sorted(plan.placement)] == [
        f"p{d}" for d in (0, 0, 0, 0, 2, 1, 0, 1, 2, 1)
    ]
    starts = [
        (0, 22),
        (29, 51),
        (51, 83),
        (22, 29),
        (35, 70),
        (29, 46),
        (83, 97),
        (54, 77),
        (81, 89),
        (106, 122),
    ]
    assert spans == starts


def test_portfolio_beats_all_three_on_both() -> None:
    for example in (TOPCUOGLU, ARABNEJAD):
        rest = [planned(policy, example).timetable for policy in ("heft", "cpop", "peft")]
        best = planned("portfolio", example).timetable
        assert best is not None
        assert all(other is not None and best.makespan_s < other.makespan_s for other in rest)
