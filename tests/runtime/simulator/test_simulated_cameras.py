"""Cameras under a virtual clock: against what can be told in closed form, and against the predicted frame rates."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from simulated_yard import mapped_to, star, watching

from edgeray.errors import BadInputError
from edgeray.simulator import Course, SimulatedCameras, simulate_cameras
from edgeray.simulator.clock import WORLD, Clock
from edgeray.simulator.shares import Threads, Wires
from edgeray.simulator.watching import Feeding
from policies.flows.graph import Graph, Route
from policies.model import CameraId, Network, Workload
from policies.streams.load_aware import load_aware
from policies.streams.mapping import StreamMapping

STEPS = {"camera": 0.0, "encode": 0.0, "decode": 0.0, "detect": 0.2, "identify": 0.1}


def run(
    workload: Workload, network: Network, x: list[int], y: list[int], **course: object
) -> SimulatedCameras:
    asked = Course(**{"seconds": 110.0, **course})  # type: ignore[arg-type]
    return simulate_cameras(workload, network, "told", asked, mapped_to(x, y))


def test_one_stream_alone_is_as_fast_as_its_device() -> None:
    network = star(1)
    steps = STEPS | {"camera": 0.05}
    found = run(watching(network, ["d0"], steps, calls=2.0), network, [0], [0])
    assert found.fps_mean == pytest.approx(1 / (0.05 + 0.2 + 2 * 0.1), rel=0.02)
    assert found.busy["d0"] == pytest.approx(1.0, abs=0.01)


def test_the_latency_of_a_camera_slower_than_its_device_is_the_work_of_a_frame() -> None:
    network = star(1)
    found = run(watching(network, ["d0"], STEPS, calls=1.0, fps=2.0), network, [0], [0])
    assert found.fps_mean == pytest.approx(2.0, rel=0.01)
    assert found.latency_s == pytest.approx(0.2 + 0.1)
    assert max(found.latencies_s) == pytest.approx(0.3)


def test_two_streams_on_a_device_have_half_of_it_each() -> None:
    network = star(1)
    found = run(watching(network, ["d0", "d0"], STEPS), network, [0, 0], [0, 0])
    assert [stream.fps for stream in found.streams] == pytest.approx([2.5, 2.5], rel=0.01)


def test_a_thin_link_bounds_the_streams_that_cross_it() -> None:
    network = star(2, 1.0)
    workload = watching(network, ["d0", "d0"], STEPS | {"detect": 0.01}, frame_bytes=25_000)
    found = run(workload, network, [1, 1], [1, 1])
    assert [stream.fps for stream in found.streams] == pytest.approx([2.5, 2.5], rel=0.01)
    alone = run(workload, network, [1, 0], [1, 0])
    assert [stream.fps for stream in alone.streams] == pytest.approx([5.0, 100.0], rel=0.01)


def test_a_shared_re_identification_bounds_the_streams_that_wait_for_it() -> None:
    """Two detectors could do 5 frames/s each; the third device identifies 4 people a second."""
    network = star(3)
    workload = watching(network, ["d0", "d1"], STEPS | {"identify": 0.25}, calls=1.0)
    found = run(workload, network, [0, 1], [2, 2])
    assert [stream.fps for stream in found.streams] == pytest.approx([2.0, 2.0], rel=0.02)


def test_delays_of_links_count_on_every_way() -> None:
    """A frame and its people's pictures go two links each; the answer from d2 to the gallery on d0, back, and to d1."""
    network = star(3, delay_s=0.01)
    workload = watching(network, ["d0"], STEPS, calls=1.0, fps=1.0)
    found = run(workload, network, [1], [2])
    assert found.latency_s == pytest.approx(0.2 + 0.1 + 0.02 + 0.02 + 0.04 + 0.02)


def test_late_frames_of_a_live_camera_are_dropped_and_a_file_waits() -> None:
    network = star(1)
    workload = watching(network, ["d0"], STEPS, fps=10.0)
    fresh = run(
        workload, network, [0], [0], feeding={CameraId("c0"): Feeding(waits=False, buffer=1)}, window=1
    )
    assert fresh.fps_mean == pytest.approx(5.0, rel=0.02)
    [stream] = fresh.streams
    assert stream.dropped == pytest.approx(0.5 * stream.taken, rel=0.05)
    assert fresh.latency_s is not None and fresh.latency_s <= 0.2 + 0.1 + 0.2 + 1e-9
    [kept] = run(workload, network, [0], [0], warm_s=0.0).streams
    assert kept.dropped == 0
    assert kept.taken - len(kept.results) <= 8  # four wait, four are under way
    assert kept.fps == pytest.approx(5.0, rel=0.02)


def test_re_identification_goes_before_detection() -> None:
    """c0 is told on d1, which detects for c1: it takes what it needs there, and c1 has the rest."""
    network = star(2)
    workload = watching(network, ["d0", "d1"], STEPS | {"identify": 0.1}, slower=[0.5, 1.0], calls=1.0)
    found = run(workload, network, [0, 1], [1, 0])
    c0 = 1 / (0.1 + 0.05 * found.streams[1].fps / found.streams[0].fps)  # d0 tells c1's people, too
    assert found.streams[0].fps == pytest.approx(c0, rel=0.02)
    assert found.streams[1].fps == pytest.approx((1 - 0.1 * found.streams[0].fps) / 0.2, rel=0.05)
    assert found.streams[0].fps > 2 * found.streams[1].fps


@pytest.mark.parametrize("seed", range(8))
def test_streams_are_as_fast_as_predicted(seed: int) -> None:
    """Where each is re-identified beside its detector; elsewhere the order of the last test matters."""
    rng = np.random.default_rng(seed)
    network = star(4, 20.0)
    steps = {"camera": 0.005, "encode": 0.005, "decode": 0.01, "detect": 0.15, "identify": 0.05}
    at, x = rng.integers(0, 4, 5), rng.integers(0, 4, 5).tolist()
    workload = watching(
        network, [f"d{d}" for d in at], steps, slower=rng.uniform(1, 3, 4).tolist(), calls=0.7,
        frame_bytes=60_000, crop_bytes=10_000,
    )  # fmt: skip
    found = run(workload, network, x, x, seconds=310.0)
    assert found.plan is not None
    planned = [stream.planned_fps for stream in found.streams]
    assert sum(planned) == pytest.approx(found.plan.throughput_per_s * 5)
    assert [stream.fps for stream in found.streams] == pytest.approx(planned, rel=0.05)


def moving(network: Network) -> SimulatedCameras:
    """Two streams on two devices; from 60 s on one of them sees people: they had better be told on one device alone."""
    workload = watching(network, ["d0", "d0"], STEPS | {"detect": 0.1, "identify": 0.05}, fps=4.9)
    course = Course(
        seconds=200.0, warm_s=0.0, people=lambda camera, at_s: 3.0 if camera == "c0" and at_s >= 60 else 0.0
    )
    return simulate_cameras(workload, network, "load-aware", course, StreamMapping("load-aware", load_aware))


def test_streams_move_when_the_workload_has_changed_and_no_frame_is_lost() -> None:
    network = star(2)
    found = moving(network)
    assert found.moves >= 1
    first, *later = found.mapped_at_s
    assert first == 0.0
    assert later and later[0] > 60
    for stream in found.streams:
        assert stream.dropped == 0
        assert stream.taken - len(stream.results) <= 8
    still = simulate_cameras(
        watching(network, ["d0", "d0"], STEPS, fps=4.9),
        network,
        "load-aware",
        Course(seconds=200.0, warm_s=0.0),
    )
    assert still.moves == 0


def test_a_stream_that_moves_stands_still_for_so_long() -> None:
    """The other detector is on a device that the first plan leaves out."""
    network = star(2)
    plans = iter([([0], [0]), ([1], [1])])
    told = mapped_to([0], [0])
    asked: list[StreamMapping] = []

    class Once(StreamMapping):
        def __init__(self) -> None:
            super().__init__("told", lambda instance: told._decide_streams(instance))

        def _mapping(self, seen):  # type: ignore[no-untyped-def]
            x, y = next(plans, ([1], [1]))
            return np.array(x), np.array(y)

    asked.append(Once())
    workload = watching(network, ["d0"], STEPS, slower=[1.0, 0.5], least_gain=0.1)
    assert workload.job.streams is not None
    streams = replace(workload.job.streams, settle_s=0.0)
    workload = replace(workload, job=replace(workload.job, streams=streams))
    found = simulate_cameras(
        workload, network, "told", Course(seconds=60.0, warm_s=0.0, move_s=3.0), asked[0]
    )
    [stream] = found.streams
    assert stream.moves == 1
    times = [at_s for at_s, _ in stream.results]
    gaps = [b - a for a, b in pairwise(times)]
    assert 3.0 <= max(gaps) <= 3.2
    assert stream.taken - len(stream.results) <= 8
    assert len([at_s for at_s in times if at_s > 30]) == pytest.approx(300, abs=2)


def test_the_same_gives_the_same() -> None:
    assert moving(star(2)) == moving(star(2))


def test_what_cannot_be_mapped_says_why() -> None:
    network = star(1)
    small = Network(
        devices={d: replace(device, memory_bytes=1e3) for d, device in network.devices.items()},
        links=network.links,
    )
    found = simulate_cameras(watching(network, ["d0"], STEPS), small, "jstsh")
    assert found.plan is None and "memory" in found.reasons[0]
    assert found.as_json()["feasible"] is False


def test_what_cannot_be_simulated_is_refused() -> None:
    network = star(1)
    with pytest.raises(BadInputError, match="warm up"):
        simulate_cameras(watching(network, ["d0"], STEPS), network, "jstsh", Course(seconds=5.0))
    nothing = dict.fromkeys(STEPS, 0.0)
    with pytest.raises(BadInputError, match="nothing bounds"):
        run(watching(network, ["d0"], nothing), network, [0], [0])


def test_threads_share_a_processor_alike() -> None:
    clock = Clock()
    threads, ended = Threads(clock), []
    for name, seconds in (("short", 1.0), ("long", 2.0)):
        threads.run(seconds, lambda which: ended.append((which, clock.now_s)), name)
    clock.at(2.5, WORLD, lambda _: threads.run(0.1, lambda which: ended.append((which, clock.now_s)), "late"))
    clock.run(100.0)
    assert ended == [
        ("short", pytest.approx(2.0)),
        ("late", pytest.approx(2.7)),
        ("long", pytest.approx(3.1)),
    ]
    assert threads.busy_s == pytest.approx(3.1)


def test_connections_share_a_link_by_weight_and_send_one_message_after_the_other() -> None:
    clock, network = Clock(), star(3, 1.0)
    graph = Graph.of(network)
    hub = graph.index["hub"]  # type: ignore[index]
    routes = {(a, b): Route(devices=(a, hub, b), links=(a, b)) for a in range(3) for b in range(3) if a != b}
    wires = Wires(clock, network, graph, routes)
    wires.weigh({(0, 1): 300.0, (0, 2): 100.0})
    ended = []
    for b, name in ((1, "first"), (1, "second"), (2, "other")):
        wires.send(0, b, 3e5, lambda which: ended.append((which, clock.now_s)), name)
    wires.send(1, 0, 1e6, lambda which: ended.append((which, clock.now_s)), "back")
    clock.run(100.0)
    assert ended == [
        ("first", pytest.approx(0.4)),
        ("second", pytest.approx(0.8)),
        ("other", pytest.approx(0.9)),
        ("back", pytest.approx(1.0)),  # the other direction
    ]
