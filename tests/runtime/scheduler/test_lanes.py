"""Whose turn it is to send: planned order in a job, first ready first served between jobs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeray.scheduler.lanes import LATE_S, Lanes
from policies.model import DeviceId, FlowId, JobId, Plan, Timetable, link_id

J, K = JobId("j"), JobId("k")
Spans = Mapping[str, tuple[str, float, float]]
"""Of each flow: its route, one letter a device, and its planned start and end."""


def plan(job: JobId, spans: Spans, *, timetable: bool = True) -> Plan:
    transfers = {FlowId(flow): (start, end) for flow, (_, start, end) in spans.items()}
    makespan = max(end for _, _, end in spans.values())
    table = Timetable(
        tasks={}, transfers=transfers, makespan_s=makespan, bound_s=makespan, contention_free_s=makespan
    )
    return Plan(
        job=job,
        policy="test",
        placement={},
        routes={FlowId(flow): tuple(map(DeviceId, route)) for flow, (route, _, _) in spans.items()},
        rates_bps={FlowId(flow): 1.0 for flow in spans},
        throughput_per_s=1 / makespan,
        bottleneck="none",
        timetable=table if timetable else None,
    )


def lanes_of(*jobs: tuple[JobId, Spans]) -> Lanes:
    lanes = Lanes()
    for job, spans in jobs:
        lanes.admit(job, plan(job, spans), started_s=0.0)
    return lanes


def ready(lanes: Lanes, at_s: float, *flows: str, job: JobId = J) -> list[str]:
    for flow in flows:
        lanes.ready(job, FlowId(flow))
    return granted(lanes, at_s)


def done(lanes: Lanes, at_s: float, flow: str, job: JobId = J) -> list[str]:
    lanes.done(job, FlowId(flow))
    return granted(lanes, at_s)


def granted(lanes: Lanes, at_s: float) -> list[str]:
    return [flow for _, flow in lanes.grants(at_s)]


def test_a_link_carries_one_transfer_at_a_time() -> None:
    lanes = lanes_of((J, {"f": ("ab", 0, 2), "g": ("ba", 2, 3), "h": ("cd", 0, 1)}))
    assert ready(lanes, 0, "f", "g", "h") == ["f", "h"]
    assert done(lanes, 2, "f") == ["g"], "both directions are one link"


def test_a_transfer_needs_all_links_of_its_route() -> None:
    lanes = lanes_of((J, {"f": ("bc", 0, 2), "g": ("abcd", 2, 3), "h": ("ab", 3, 4)}))
    assert ready(lanes, 0, "f", "g") == ["f"]
    assert ready(lanes, 1, "h") == [], "g is planned before h on a-b"
    assert done(lanes, 2, "f") == ["g"]
    assert done(lanes, 3, "g") == ["h"]


def test_the_planned_order_holds_until_the_one_ahead_is_late() -> None:
    lanes = lanes_of((J, {"f": ("ab", 5, 6), "g": ("ab", 6, 7)}))
    assert ready(lanes, 1, "g") == []
    assert lanes.wake_s() == 5 + LATE_S
    assert granted(lanes, 5) == [], "f may still become ready at this very moment"
    assert granted(lanes, lanes.wake_s() or 0) == ["g"]
    assert lanes.wake_s() is None
    assert ready(lanes, 5.5, "f") == []
    assert done(lanes, 6.5, "g") == ["f"]


def test_of_several_that_are_late_the_earliest_planned_goes_first() -> None:
    lanes = lanes_of((J, {"f": ("ab", 1, 2), "g": ("ab", 2, 3), "h": ("ab", 3, 4)}))
    ready(lanes, 0, "h", "g")
    assert ready(lanes, 9, "f") == ["f"]
    assert done(lanes, 10, "f") == ["g"]


def test_one_that_is_late_and_waits_for_another_link_holds_nobody_of_its_job_up() -> None:
    lanes = lanes_of((J, {"e": ("bc", 0, 1), "f": ("abc", 1, 2), "g": ("ab", 2, 3)}))
    assert ready(lanes, 0, "e", "f", "g") == ["e"]
    assert granted(lanes, 1.5) == ["g"]


def test_between_jobs_who_was_ready_first_goes_first() -> None:
    lanes = lanes_of((J, {"f": ("ab", 0, 1), "g": ("ab", 1, 2)}), (K, {"x": ("ab", 0, 1)}))
    assert ready(lanes, 0, "f") == ["f"]
    assert ready(lanes, 0.5, "x", job=K) == []
    assert ready(lanes, 0.6, "g") == []
    assert done(lanes, 1, "f") == ["x"]
    assert done(lanes, 2, "x", job=K) == ["g"]


def test_a_long_route_is_not_starved_by_other_jobs() -> None:
    lanes = lanes_of(
        (J, {"f": ("ab", 0, 1), "g": ("ab", 1, 2)}), (K, {"x": ("abc", 0, 1), "y": ("bc", 1, 2)})
    )
    ready(lanes, 0, "f")
    ready(lanes, 0, "x", job=K)
    lanes.admit(JobId("l"), plan(JobId("l"), {"z": ("bc", 0, 1)}), started_s=0.0)
    assert ready(lanes, 0.5, "z", job=JobId("l")) == [], "x was there first, and waits for b-c too"
    assert done(lanes, 1, "f") == ["x"]
    assert done(lanes, 2, "x", job=K) == ["z"]


def test_a_link_that_another_job_waits_for_is_not_taken_from_aside() -> None:
    lanes = lanes_of((J, {"e": ("da", 0, 1)}), (K, {"p": ("dab", 0, 1)}), (JobId("l"), {"x": ("abc", 0, 1)}))
    assert ready(lanes, 0, "e") == ["e"]
    assert ready(lanes, 0.1, "p", job=K) == []
    assert ready(lanes, 0.2, "x", job=JobId("l")) == [], "p waits for a-b, and did so before"
    assert done(lanes, 1, "e") == ["p"]
    assert done(lanes, 2, "p", job=K) == ["x"]


def test_the_end_of_a_job_that_waited_frees_the_links_that_it_kept() -> None:
    lanes = lanes_of((J, {"e": ("ab", 0, 1)}), (K, {"p": ("abc", 0, 1)}), (JobId("l"), {"x": ("bc", 0, 1)}))
    ready(lanes, 0, "e")
    ready(lanes, 0.1, "p", job=K)
    assert ready(lanes, 0.2, "x", job=JobId("l")) == []
    lanes.drop(K)
    assert granted(lanes, 0.3) == ["x"]


def test_nobody_is_to_be_woken_for_a_job_that_is_over() -> None:
    lanes = lanes_of((J, {"f": ("ab", 5, 6), "g": ("ab", 6, 7)}), (K, {"x": ("ab", 9, 10)}))
    ready(lanes, 0, "g")
    assert lanes.wake_s() == 5 + LATE_S
    lanes.drop(J)
    assert lanes.wake_s() is None


def test_a_job_whose_turn_has_not_come_keeps_no_other_off_the_link() -> None:
    lanes = lanes_of((J, {"f": ("ab", 5, 6), "g": ("ab", 6, 7)}), (K, {"x": ("ab", 0, 1)}))
    assert ready(lanes, 0, "g") == []
    assert ready(lanes, 1, "x", job=K) == ["x"]


def test_planned_starts_count_from_the_start_of_the_job() -> None:
    lanes = Lanes()
    lanes.admit(J, plan(J, {"f": ("ab", 1, 2), "g": ("ab", 2, 3)}), started_s=100.0)
    assert ready(lanes, 100.5, "g") == []
    assert lanes.wake_s() == 101 + LATE_S
    assert granted(lanes, 102) == ["g"]


def test_a_plan_without_a_timetable_goes_as_it_becomes_ready() -> None:
    lanes = Lanes()
    lanes.admit(J, plan(J, {"f": ("ab", 0, 1), "g": ("ab", 1, 2)}, timetable=False), started_s=0.0)
    assert ready(lanes, 0, "g") == ["g"]
    assert done(lanes, 1, "g") == []


def test_repeated_late_and_unknown_messages_change_nothing() -> None:
    lanes = lanes_of((J, {"f": ("ab", 0, 1), "g": ("ab", 1, 2)}))
    assert done(lanes, 0, "f") == [], "it was never started"
    assert not lanes.ready(J, FlowId("f"))
    assert granted(lanes, 0) == ["f"]
    assert lanes.ready(J, FlowId("f")), "it was told to start before"
    assert granted(lanes, 0) == []
    assert done(lanes, 1, "f") == []
    assert not lanes.ready(J, FlowId("f"))
    assert ready(lanes, 1, "g") == ["g"]
    assert done(lanes, 1.5, "f") == [], "the second f frees nothing of g"
    assert ready(lanes, 2, "nobody") == []
    assert ready(lanes, 2, "f", job=K) == []
    lanes.drop(K)
    assert list(lanes.sending) == [(J, "g")]


def test_the_end_of_a_job_frees_its_links_and_ends_its_waiting() -> None:
    lanes = lanes_of((J, {"f": ("ab", 0, 1), "g": ("ab", 1, 2)}), (K, {"x": ("ab", 0, 1)}))
    ready(lanes, 0, "f", "g")
    ready(lanes, 0, "x", job=K)
    lanes.drop(J)
    assert granted(lanes, 0) == ["x"]
    assert done(lanes, 1, "x", job=K) == []
    assert ready(lanes, 1, "g") == []
    assert not lanes.sending
    assert lanes.open_flows(J) == ()


ROUTES = st.sampled_from(["ab", "ba", "bc", "abc", "cd", "bcd", "abcd"])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(ROUTES, min_size=1, max_size=5), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
)
def test_everybody_gets_through_and_no_link_carries_two(jobs: list[list[str]], random: object) -> None:
    """Any order of ready and done: links are exclusive, and in the end all have been sent, each once."""
    lanes, routes, waiting = Lanes(), {}, []
    for number, job_routes in enumerate(jobs):
        job = JobId(f"j{number}")
        spans = {f"f{at}": (route, float(at), float(at + 1)) for at, route in enumerate(job_routes)}
        lanes.admit(job, plan(job, spans), started_s=0.0)
        for flow, (route, _, _) in spans.items():
            routes[job, flow] = {link_id(DeviceId(a), DeviceId(b)) for a, b in itertools.pairwise(route)}
            waiting.append((job, FlowId(flow)))
    random.shuffle(waiting)  # type: ignore[attr-defined]
    sent: list[tuple[JobId, FlowId]] = []
    for step in range(200):
        at_s = step / 10
        if waiting and random.random() < 0.5:  # type: ignore[attr-defined]
            lanes.ready(*waiting.pop())
        elif lanes.sending:
            lanes.done(*random.choice(sorted(lanes.sending)))  # type: ignore[attr-defined]
        sent += lanes.grants(at_s)
        held = [link for key in lanes.sending for link in routes[key]]
        assert len(held) == len(set(held))
        if not waiting and not lanes.sending and lanes.wake_s() is None:
            break
    assert sorted(sent) == sorted(routes)


@pytest.mark.parametrize("noise_s", [0.0, 1e-9, -1e-9])
def test_a_run_on_time_keeps_the_planned_order(noise_s: float) -> None:
    """f ends when g is to begin; whether the clock's sums come out a hair early or late does not matter."""
    lanes = lanes_of((J, {"f": ("ab", 0, 0.3), "g": ("ab", 0.3, 0.6), "h": ("ab", 0.6, 0.9)}))
    assert ready(lanes, 0, "f", "h") == ["f"]
    assert done(lanes, 0.3 + noise_s, "f") == []
    assert ready(lanes, 0.3 + noise_s, "g") == ["g"]
