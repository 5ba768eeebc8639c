"""Where the tasks of a job are that decides while it runs, and what its flows get."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.model import (
    Device,
    DeviceId,
    Flow,
    FlowId,
    Job,
    JobId,
    Link,
    LinkId,
    Network,
    Online,
    Plan,
    Snapshot,
    Task,
    TaskId,
    Workload,
    link_id,
)
from policies.online.shares import GRANTED, LEAST_BPS, OnlinePlacement, shared

HUB, S, A, B = (DeviceId(name) for name in ("hub", "s", "a", "b"))


def network(**bps: float) -> Network:
    """Links by their ends: hub_s is that between hub and s."""
    ends = {name: tuple(sorted(DeviceId(end) for end in name.split("_"))) for name in bps}
    names = sorted({end for pair in ends.values() for end in pair})
    links = [Link(ends=(pair[0], pair[1]), capacity_bps=bps[name]) for name, pair in ends.items()]
    return Network(
        devices={name: Device(id=name, type="pi", memory_bytes=1e9) for name in names},
        links={link.id: link for link in sorted(links, key=lambda each: each.id)},
    )


def workload(server: DeviceId, *clients: DeviceId) -> Workload:
    tasks = {TaskId("dispatch"): server, **{TaskId(f"help-{device}"): device for device in clients}}
    first, *others = tasks
    return Workload(
        job=Job(
            id=JobId("j"),
            tasks=tuple(Task(id=task, device=device) for task, device in tasks.items()),
            flows=tuple(
                Flow(producer=a, consumer=b) for other in others for a, b in ((other, first), (first, other))
            ),
            items_per_s=5.0,
            kind="offload",
            mode="offload",
            online=Online(server=first, clients=tuple(others)),
        )
    )


def placed(work: Workload, on: Network) -> Plan:
    return OnlinePlacement("toof", "offload").decide(Snapshot(network=on), [work]).plans[JobId("j")]


STAR = network(hub_s=9e6, a_s=4e6, b_s=8e6)


def test_tasks_are_where_they_are_pinned_and_links_are_shared_equally() -> None:
    """By hand: both helpers' flows cross hub-s, 9 Mbps, of which 90 % are shared by two; a's own link has less."""
    plan = placed(workload(HUB, A, B), STAR)
    assert plan.policy == "toof"
    assert plan.placement == {"dispatch": HUB, "help-a": A, "help-b": B}
    assert plan.routes[FlowId("help-a->dispatch")] == (A, S, HUB)
    assert plan.routes[FlowId("dispatch->help-a")] == (HUB, S, A)
    assert plan.rates_bps == pytest.approx(
        {
            "help-a->dispatch": 3.6e6,
            "dispatch->help-a": 3.6e6,
            "help-b->dispatch": 4.05e6,
            "dispatch->help-b": 4.05e6,
        }
    )
    assert plan.ceilings_bps == {
        "help-a->dispatch": 4e6,
        "dispatch->help-a": 4e6,
        "help-b->dispatch": 8e6,
        "dispatch->help-b": 8e6,
    }
    assert plan.throughput_per_s == 5.0


def test_it_waits_for_devices_and_for_ways_by_name() -> None:
    policy = OnlinePlacement("toof", "offload")
    [away] = policy.decide(
        Snapshot(network=network(hub_s=1e6, a_s=1e6)), [workload(HUB, A, B)]
    ).infeasible.values()
    assert away.reasons == ("waits for b to join",)
    apart = network(hub_a=1e6, b_s=1e6)
    [cut] = policy.decide(Snapshot(network=apart), [workload(HUB, A, B)]).infeasible.values()
    assert cut.reasons == ("waits for a way between b and hub",)


def test_the_widest_way_is_taken() -> None:
    """Over s there are 5 Mbps, straight on 1."""
    plan = placed(workload(HUB, A), network(hub_s=5e6, a_s=6e6, a_hub=1e6))
    assert plan.routes[FlowId("help-a->dispatch")] == (A, S, HUB)


def test_shares_are_guarantees_and_ceilings() -> None:
    plan = placed(workload(HUB, A, B), STAR)
    again = shared(plan, STAR, {FlowId("help-a->dispatch"): 3e6, FlowId("help-b->dispatch"): 1e6})
    assert (
        again.rates_bps[FlowId("help-a->dispatch")] == again.ceilings_bps[FlowId("help-a->dispatch")] == 3e6
    )
    assert (
        again.rates_bps[FlowId("help-b->dispatch")] == again.ceilings_bps[FlowId("help-b->dispatch")] == 1e6
    )
    assert again.ceilings_bps[FlowId("dispatch->help-a")] == 4e6, "nobody asked about the way back"
    assert (again.placement, again.routes) == (plan.placement, plan.routes)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_rate_counts_for_nothing(rate: float) -> None:
    plan = placed(workload(HUB, A, B), STAR)
    assert shared(plan, STAR, {FlowId("help-a->dispatch"): rate, FlowId("nobody->x"): 5.0}) == plan


@given(
    st.lists(st.floats(1.0, 1e9), min_size=4, max_size=4),
    st.lists(st.floats(1e5, 1e8), min_size=3, max_size=3),
)
def test_whatever_is_asked_for_fits_on_every_link(asked: list[float], widths: list[float]) -> None:
    on = network(hub_s=widths[0], a_s=widths[1], b_s=widths[2])
    plan = placed(workload(HUB, A, B), on)
    flows = sorted(plan.rates_bps)
    again = shared(plan, on, dict(zip(flows, asked, strict=True)))
    carried: dict[tuple[str, str], float] = {}
    for flow, rate in again.rates_bps.items():
        assert rate > 0
        assert again.ceilings_bps[flow] >= rate
        for hop in pairwise(again.routes[flow]):
            carried[hop] = carried.get(hop, 0.0) + rate
    for hop, load in carried.items():
        assert load <= GRANTED * on.links[LinkId(link_id(*hop))].capacity_bps * (1 + 1e-9)


def test_least_is_kept_for_talk() -> None:
    plan = placed(workload(HUB, A, B), STAR)
    again = shared(plan, STAR, {FlowId("help-a->dispatch"): 1.0})
    assert again.rates_bps[FlowId("help-a->dispatch")] == LEAST_BPS


def test_what_goes_in_is_left_as_it_was() -> None:
    plan = placed(workload(HUB, A, B), STAR)
    before = dict(plan.rates_bps), dict(plan.ceilings_bps or {})
    shared(plan, STAR, {FlowId("help-a->dispatch"): 2e6})
    assert (dict(plan.rates_bps), dict(plan.ceilings_bps)) == before
    assert np.isfinite(list(plan.rates_bps.values())).all()
