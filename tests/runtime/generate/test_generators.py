"""What is generated has the shape and the costs that were asked for."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeray.generate import (
    MIX,
    Costs,
    Edge,
    Kind,
    attributes_job,
    chain_edges,
    fork_join_edges,
    layered_edges,
    mean_costs,
    one_shot_job,
    random_network,
    stream_job,
    thesis_network,
)
from edgeray.spec.graph import reachable, topological_order
from policies.model import DeviceId, Job, Network, Workload

seeds = st.integers(0, 2**32 - 1)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def is_connected(network: Network) -> bool:
    first = next(iter(network.devices))
    return reachable(first, [link.ends for link in network.links.values()]) == set(network.devices)


@given(seeds, st.integers(1, 40), st.floats(0, 6))
def test_networks_are_connected_and_of_the_degree_asked_for(seed: int, count: int, degree: float) -> None:
    network = random_network(rng(seed), count, 1e7, degree=degree)
    assert len(network.devices) == count
    assert is_connected(network)
    asked = round(count * degree / 2)
    assert len(network.links) == max(count - 1, min(asked, count * (count - 1) // 2))


def test_capacities_have_the_mean_and_the_deviation_asked_for() -> None:
    capacities = [link.capacity_bps for link in thesis_network(rng(), 1000, 5e6).links.values()]
    assert np.mean(capacities) == pytest.approx(5e6, rel=0.03)
    assert np.std(capacities) == pytest.approx(1.5e6, rel=0.05)
    assert min(capacities) >= 1e6
    equal = random_network(rng(), 20, 5e6, deviation=0)
    assert {link.capacity_bps for link in equal.links.values()} == {5e6}


def test_types_may_be_drawn_with_the_shares_as_odds() -> None:
    drawn = [
        [device.type for device in thesis_network(rng(seed), 10, 1e7, drawn=True).devices.values()]
        for seed in range(200)
    ]
    assert len({types.count("pi") for types in drawn}) > 3
    parts = {kind: np.mean([types.count(kind) for types in drawn]) for kind in MIX}
    assert parts == pytest.approx({kind: share for kind, (share, _, _) in MIX.items()}, abs=0.4)


def test_devices_are_shared_out_as_the_mix_says() -> None:
    network = thesis_network(rng(), 50, 1e7)
    for kind, (share, speed, memory) in MIX.items():
        of_kind = [device for device in network.devices.values() if device.type == kind]
        assert len(of_kind) == 5 * share
        assert {(device.speed_flop_per_s, device.memory_bytes) for device in of_kind} == {(speed, memory)}
    own = random_network(rng(), 6, 1e7, mix={"a": Kind(2, 1e9, 1e6), "b": Kind(1, 2e9, 2e6)})
    assert sorted(device.type for device in own.devices.values()) == ["a", "a", "a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("shape", "count", "links", "largest_degree"),
    [
        ("line", 5, 4, 2),
        ("star", 5, 4, 4),
        ("clique", 5, 10, 4),
        ("grid", 9, 12, 4),
        ("grid", 7, 8, 3),
        ("grid", 2, 1, 1),
        ("star", 1, 0, 0),
    ],
)
def test_shapes(shape: str, count: int, links: int, largest_degree: int) -> None:
    network = random_network(rng(), count, 1e7, shape=shape)  # type: ignore[arg-type]
    assert is_connected(network)
    assert len(network.links) == links
    ends = [end for link in network.links.values() for end in link.ends]
    assert max((ends.count(end) for end in ends), default=0) == largest_degree


def test_the_thesis_job() -> None:
    network = thesis_network(rng(), 30, 1e7)
    job = attributes_job(rng(1), network, "a").job
    assert len(job.tasks) == 11
    assert sum(task.work_flop or 0 for task in job.tasks) == pytest.approx(67e9)
    assert [flow.size_bytes for flow in job.flows][:2] == [6e6, 2.7e5]
    assert job.sources[0].device in network.devices
    assert attributes_job(rng(2), network, "a").job.tasks[1:] == job.tasks[1:]
    assert attributes_job(rng(2), network, "a", spread=0.5).job.tasks[1:] != job.tasks[1:]


@given(seeds, st.integers(1, 60), st.floats(0.2, 5), st.floats(1, 6))
def test_layered_dags(seed: int, tasks: int, alpha: float, degree: float) -> None:
    edges = layered_edges(rng(seed), tasks, alpha=alpha, degree=degree)
    assert edges == sorted(set(edges))
    assert all(0 <= producer < consumer < tasks for producer, consumer in edges)


def depth(tasks: int, edges: list[Edge]) -> int:
    layer = [0] * tasks
    for producer, consumer in sorted(edges, key=lambda edge: edge[1]):
        layer[consumer] = max(layer[consumer], layer[producer] + 1)
    return max(layer) + 1


def test_layered_dags_have_the_shape_asked_for() -> None:
    def mean_depth(alpha: float) -> float:
        return float(np.mean([depth(100, layered_edges(rng(s), 100, alpha=alpha)) for s in range(30)]))

    assert mean_depth(1.0) == pytest.approx(10, rel=0.2)
    assert mean_depth(2.0) == pytest.approx(5, rel=0.2)
    assert mean_depth(0.5) == pytest.approx(20, rel=0.2)
    inputs = [len(layered_edges(rng(s), 400, degree=4)) / 400 for s in range(10)]
    assert np.mean(inputs) == pytest.approx(4, rel=0.1)


def test_fork_joins_and_chains() -> None:
    assert fork_join_edges(2) == [(0, 1), (0, 2), (1, 3), (2, 3)]
    assert fork_join_edges(1, 2) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert chain_edges(3) == [(0, 1), (1, 2)]
    assert chain_edges(1) == []


def times_of(job: Job, network: Network) -> tuple[float, float]:
    """Mean seconds of a task over all devices, and of a flow over all links."""
    workload = Workload(job=job)
    computing = [workload.seconds(task, d) for task in job.tasks for d in network.devices.values()]
    capacity = np.mean([link.capacity_bps for link in network.links.values()])
    return float(np.mean(computing)), float(
        np.mean([(flow.size_bytes or 0) * 8 / capacity for flow in job.flows])
    )


@pytest.mark.parametrize("heterogeneity", [0.0, 1.0])
@pytest.mark.parametrize("ccr", [0.1, 5.0])
def test_costs_are_those_asked_for(heterogeneity: float, ccr: float) -> None:
    network = thesis_network(rng(), 30, 2e7)
    costs = mean_costs(network, Costs(seconds=2.0, ccr=ccr, heterogeneity=heterogeneity, memory_bytes=5e6))
    job = one_shot_job(rng(1), "j", 400, layered_edges(rng(2), 400), costs)
    computing, moving = times_of(job, network)
    assert computing == pytest.approx(2.0, rel=0.1)
    assert moving == pytest.approx(2.0 * ccr, rel=0.1)
    assert {task.memory_bytes for task in job.tasks} == {5e6}
    ratios = [max(s.values()) / min(s.values()) for task in job.tasks if (s := task.seconds) is not None]
    assert len(ratios) == 400
    assert max(ratios) <= (1 + heterogeneity / 2) / (1 - heterogeneity / 2) * 1.01
    if heterogeneity == 0:
        assert max(ratios) == 1


def test_without_heterogeneity_faster_devices_are_faster() -> None:
    network = thesis_network(rng(), 30, 2e7)
    costs = mean_costs(network, Costs(seconds=2.0, spread=0.0))
    job = one_shot_job(rng(), "j", 3, chain_edges(3), costs)
    mean_speed = np.mean([device.speed_flop_per_s for device in network.devices.values()])
    assert [task.work_flop for task in job.tasks] == [pytest.approx(2 * mean_speed, rel=1e-3)] * 3
    assert all(task.seconds is None for task in job.tasks)


@settings(max_examples=50)
@given(seeds, st.integers(1, 30), st.booleans())
def test_jobs_stand_in_the_order_that_readers_give(seed: int, tasks: int, once: bool) -> None:
    generator = rng(seed)
    edges = layered_edges(generator, tasks)
    if once:
        job = one_shot_job(generator, "j", tasks, edges, Costs())
    else:
        job = stream_job(generator, "j", tasks, edges, Costs(), source=DeviceId("d0"), items_per_s=4.0)
        assert [task.id for task in job.sources] == ["source"]
        assert job.sources[0].device == "d0"
        assert job.items_per_s == 4
    assert job.mode == ("once" if once else "stream")
    producers = {task.id: tuple(flow.producer for flow in job.inputs(task.id)) for task in job.tasks}
    assert tuple(task.id for task in job.tasks) == topological_order(producers)
    consumers = [flow.consumer for flow in job.flows]
    assert [consumer for consumer, _ in itertools.groupby(consumers)] == sorted(set(consumers))


def test_other_seeds_give_other_values() -> None:
    assert thesis_network(rng(1), 10, 1e7) == thesis_network(rng(1), 10, 1e7)
    assert thesis_network(rng(1), 10, 1e7) != thesis_network(rng(2), 10, 1e7)
    job = one_shot_job(rng(1), "j", 5, chain_edges(5), Costs())
    assert replace(one_shot_job(rng(2), "j", 5, chain_edges(5), Costs()), tasks=job.tasks) != job
