"""Rounds event by event: by hand, against P1's formula, and against the bound."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.partition.bound import round_bound
from policies.partition.equalise import fastest_split
from policies.partition.instance import split_instance
from policies.partition.lines import NEVER, LinkedLine, SharedLine, StarLine
from policies.partition.policy import edgesplit_overlap
from policies.partition.reading import Routed, instance_of
from policies.partition.steps import Steps
from policies.partition.timeline import ClientTimes, simulate_round, timeline_of
from tests.policies.partition.jobs import deep_profile, star, training_job

seeds = st.integers(0, 10**9)


def steps(
    devices: int = 1,
    *,
    batches: int = 1,
    forward_s: object = 0.0,
    backward_s: object = 0.0,
    server_s: object = 0.0,
    piece_s: object = 0.0,
    server_piece_s: object = 0.0,
    up_bits: object = 0.0,
    down_bits: object = 0.0,
    weights_bits: object = 0.0,
    weights_s: object = 0.0,
    server_weights_s: object = 0.0,
    link_bps: float = 2.0,
) -> Steps:
    """Cut 0 meets the server, cut 1 is the whole model; what is given is by device. One link for all."""

    def table(values: object) -> np.ndarray:
        return np.broadcast_to(np.asarray(values, dtype=float).reshape(-1, 1), (devices, 2))

    return Steps(
        batches=np.full(devices, batches),
        forward_s=table(forward_s),
        backward_s=table(backward_s),
        server_s=table(server_s),
        piece_s=table(piece_s),
        server_piece_s=table(server_piece_s),
        up_bits=table(up_bits),
        down_bits=table(down_bits),
        weights_bits=table(weights_bits),
        weights_s=table(weights_s),
        server_weights_s=table(server_weights_s),
        links_bps=np.array([link_bps]),
        crossed=((0,),) * devices,
        link_names=("l",),
    )


def cuts(*each: int) -> np.ndarray:
    return np.array(each, dtype=np.int64)


def rates(*each: float) -> np.ndarray:
    return np.array(each, dtype=np.float64)


def test_one_client_step_by_step() -> None:
    one = steps(
        batches=2,
        forward_s=1,
        backward_s=2,
        server_s=3,
        up_bits=8,
        down_bits=4,
        weights_bits=4,
        weights_s=1,
        server_weights_s=0.5,
    )
    timeline = simulate_round(one, cuts(0), rates(2))
    # Weights 0.5 + 2 + 1, each batch 1 + 4 + 3 + 2 + 2, weights 1 + 2 + 0.5.
    assert timeline.round_s == pytest.approx(3.5 + 2 * 12 + 3.5)
    assert timeline.server_s == pytest.approx(7)
    assert timeline.clients == (
        ClientTimes(compute_s=8, served_s=7, transfer_s=16, queued_s=0, idle_s=0, end_s=31),
    )


def test_the_whole_model_meets_the_server_with_its_weights_only() -> None:
    one = steps(batches=3, forward_s=1, backward_s=2, server_s=7, up_bits=9, weights_bits=4)
    timeline = simulate_round(one, cuts(1), rates(2), micro_batches=4)
    assert timeline.clients == (
        ClientTimes(compute_s=9, served_s=0, transfer_s=4, queued_s=0, idle_s=0, end_s=13),
    )


def test_the_server_takes_who_came_first_and_the_other_waits() -> None:
    two = steps(2, forward_s=[2, 1], backward_s=1, server_s=5, up_bits=4, down_bits=4)
    assert simulate_round(two, cuts(0, 0), rates(2, 2)).clients == (
        ClientTimes(compute_s=3, served_s=5, transfer_s=4, queued_s=4, idle_s=0, end_s=16),
        ClientTimes(compute_s=2, served_s=5, transfer_s=4, queued_s=0, idle_s=5, end_s=11),
    )


def test_micro_batches_are_under_way_one_behind_the_other() -> None:
    one = steps(forward_s=4, backward_s=4, server_s=4, up_bits=8, down_bits=8)
    assert simulate_round(one, cuts(0), rates(2)).round_s == pytest.approx(20)
    assert simulate_round(one, cuts(0), rates(2), micro_batches=4).round_s == pytest.approx(8)
    # Of two pieces the device waits from 4 to 6 for the first gradients.
    halves = simulate_round(one, cuts(0), rates(2), micro_batches=2)
    assert halves.round_s == pytest.approx(12)
    assert halves.clients[0].compute_s == pytest.approx(8)


def test_who_is_alone_on_the_link_has_all_of_it() -> None:
    """4 bits from 0 on, 2 from 1 on, 2 bit/s: both end at 3; capped at 1 each, at 4 and 3."""
    two = steps(2, forward_s=[0, 1], up_bits=[4, 2])
    shared = simulate_round(two, cuts(0, 0), rates(1, 1), work_conserving=True)
    assert [client.end_s for client in shared.clients] == pytest.approx([3, 3])
    capped = simulate_round(two, cuts(0, 0), rates(1, 1))
    assert [client.end_s for client in capped.clients] == pytest.approx([4, 3])


def test_guarantees_share_the_link_in_proportion() -> None:
    two = steps(2, up_bits=[3, 3], link_bps=4.0)
    shared = simulate_round(two, cuts(0, 0), rates(3, 1), work_conserving=True)
    assert [client.end_s for client in shared.clients] == pytest.approx([1, 1.5])


def test_directions_do_not_share() -> None:
    """One sends up while the other gets its weights: 2 bit/s each way."""
    two = steps(2, up_bits=[4, 0], weights_bits=[0, 4])
    shared = simulate_round(two, cuts(0, 1), rates(1, 1), work_conserving=True)
    assert [client.end_s for client in shared.clients] == pytest.approx([2, 4])


def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(ValueError, match=r"devices \[1\] are to send at a rate of 0"):
        simulate_round(steps(2, up_bits=1), cuts(0, 0), rates(1, 0))
    with pytest.raises(ValueError, match="no steps"):
        instance = split_instance([[1, 2]], [1, 2], 1)
        timeline_of(instance, edgesplit_overlap(instance))  # type: ignore[arg-type]


def random_routed(rng: np.random.Generator, *, server_cores: float = 10.0) -> Routed:
    devices = int(rng.integers(1, 9))
    kinds = rng.choice(["pi", "nano", "nx"], devices).tolist()
    shared_bps = float(rng.choice([5e6, 30e6, 200e6]))
    own_bps = rng.choice([0.1, 0.3, 1.0, 2.0], devices) * shared_bps
    cores = {"pi": 1.0, "nano": 3.0, "nx": 5.0, "server": server_cores}
    workload = training_job(
        deep_profile(rng, int(rng.integers(2, 9)), cores=cores, send_s_per_byte=float(rng.choice([0, 1e-8]))),
        [f"c{number + 1}" for number in range(devices)],
        batches=rng.integers(1, 6, devices).tolist(),
        micro_batches=int(rng.choice([1, 4])),
    )
    found = instance_of(workload, star(kinds, shared_bps=shared_bps, own_bps=own_bps.tolist()))
    assert isinstance(found, Routed)
    return found


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_without_a_queue_the_round_is_p1s(seed: int) -> None:
    """A server that takes no time: max_i A_i + C_i/B_i, to rounding, whatever the cuts and rates."""
    rng = np.random.default_rng(seed)
    instance = random_routed(rng, server_cores=1e15).instance
    assert instance.steps is not None
    found = rng.integers(0, len(instance.layers), len(instance.devices))
    granted = rng.uniform(0.1, 1, len(found)) * 1e6
    expected_s = instance.round_s(found, granted)
    assert simulate_round(instance.steps, found, granted).round_s == pytest.approx(expected_s, rel=1e-6)


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_no_round_is_below_the_bound_and_its_times_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_routed(rng).instance
    assert instance.steps is not None
    bound_s = round_bound(instance)
    assert bound_s is not None
    first, granted = fastest_split(instance)
    others = rng.integers(0, len(instance.layers), len(first))
    for found in (first, others):
        for conserving, micro_batches in ((False, 1), (True, 1), (True, 4), (False, 4)):
            timeline = simulate_round(
                instance.steps, found, granted, work_conserving=conserving, micro_batches=micro_batches
            )
            assert timeline.round_s >= bound_s
            rows = np.arange(len(found))
            assert timeline.server_s == pytest.approx(instance.steps.server_total_s()[rows, found].sum())
            for client, device_s in zip(
                timeline.clients, instance.steps.device_total_s()[rows, found], strict=True
            ):
                assert sum(astuple(client)[:5]) == pytest.approx(timeline.round_s)
                assert client.compute_s == pytest.approx(device_s)
                assert client.end_s == pytest.approx(timeline.round_s - client.idle_s)


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_overlap_is_never_slower_than_edgesplits_plan_on_a_work_conserving_network(seed: int) -> None:
    instance = random_routed(np.random.default_rng(seed)).instance
    assert instance.steps is not None
    plan = edgesplit_overlap(instance)
    predicted_s = timeline_of(instance, plan).round_s  # type: ignore[arg-type]
    assert predicted_s == plan.round_s  # type: ignore[union-attr]
    first, granted = fastest_split(instance)
    for conserving in (True, False):
        other = simulate_round(instance.steps, first, granted, work_conserving=conserving)
        assert not conserving or predicted_s <= other.round_s * (1 + 1e-12)


def transfers(line: SharedLine | LinkedLine, began: list[tuple[float, int, float]]) -> list[float]:
    """When each transfer ends; they begin at their times, or when the device's one before has ended."""
    waiting = sorted(began, reverse=True)
    late: list[tuple[int, float]] = []
    busy, ended = set[int](), dict[int, list[float]]()
    while waiting or line.next_s < NEVER:
        if waiting and waiting[-1][0] <= line.next_s:
            at_s, device, bits = waiting.pop()
            if device in busy:
                late.append((device, bits))
                continue
        else:
            at_s, device = line.next_s, line.take()
            busy.discard(device)
            ended.setdefault(device, []).append(at_s)
            queued = [each for each in late if each[0] == device]
            if not queued:
                continue
            late.remove(queued[0])
            bits = queued[0][1]
        line.begin(at_s, device, bits)
        busy.add(device)
    return [each for device in sorted(ended) for each in ended[device]]


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_quick_ways_to_share_are_the_slow_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    devices = int(rng.integers(1, 7))
    weights = rng.uniform(0.5, 3, devices).tolist()
    widths = rng.choice([1.0, 2.0, 8.0], devices).tolist()
    everybody = tuple(range(devices))
    began = [
        (float(rng.uniform(0, 5)), int(rng.integers(devices)), float(rng.uniform(0.1, 9))) for _ in range(25)
    ]
    alone = [((device,), width) for device, width in enumerate(widths)]
    slow = transfers(LinkedLine(weights, [(everybody, 4.0), *alone]), began)
    assert transfers(StarLine(weights, everybody, 4.0, widths), began) == pytest.approx(slow, rel=1e-9)
    slow = transfers(LinkedLine(weights, [(everybody, 4.0)]), began)
    assert transfers(SharedLine(weights, 4.0), began) == pytest.approx(slow, rel=1e-9)


def test_further_pieces_cost_what_was_measured() -> None:
    """One device, one batch in two pieces, nothing to send: 2 forward, 3 served and 4 backward, and what a piece adds."""
    plain = steps(batches=1, forward_s=2, backward_s=4, server_s=3)
    dear = steps(batches=1, forward_s=2, backward_s=4, server_s=3, piece_s=0.5, server_piece_s=0.25)
    one = simulate_round(plain, cuts(0), rates(1.0), micro_batches=2).clients[0]
    other = simulate_round(dear, cuts(0), rates(1.0), micro_batches=2).clients[0]
    assert one.compute_s == pytest.approx(6.0)
    assert other.compute_s == pytest.approx(6.5)
    assert simulate_round(dear, cuts(0), rates(1.0)).round_s == pytest.approx(
        9.0
    )  # whole batches add nothing
    assert simulate_round(dear, cuts(0), rates(1.0), micro_batches=2).server_s == pytest.approx(3.25)
