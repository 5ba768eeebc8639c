"""Rows of the DCEI experiments: a point, a seed and a policy, by the published latencies and by simulation."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from edgeray.reproduce.dcei import LASTS_S, POLICIES, Point, Setting, setting
from edgeray.reproduce.running import _ignore_interrupt
from edgeray.simulator import Course, simulate_cameras
from edgeray.simulator.cameras import SimulatedCameras
from edgeray.simulator.watching import Feeding
from edgeray.streams.feed import WINDOW
from policies.model import Workload
from policies.placement.reasons import Refusal
from policies.streams.instance import NoMapping, StreamInstance, StreamPlan
from policies.streams.mapping import STATIC, StreamMapping
from policies.streams.published import nmno, nmwo
from policies.streams.reading import watched
from policies.streams.registry import StreamPolicy, load_stream_policy

BIN_S = 120.0
WARM_S, SECONDS = 10.0, 70.0
AT_A_TIME = 1
"""Frames of a stream under way where detectors are called, each frame after the last one's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DceiRow:
    """x: of the workload's figure the minute in the middle of some seconds, of the others the point's.

    published_fps: the mean over the streams of 1 / L_k; published_latency_s: of L_k. sustained_fps: simulated, with as
    many frames under way as live; called_fps and latency_s: simulated, one frame at a time. moves: of streams and of
    re-identifications, in the sustained run.
    """

    figure: str
    x: float
    seed: int
    policy: str
    published_fps: float
    published_latency_s: float
    sustained_fps: float
    least_fps: float
    called_fps: float
    latency_s: float
    moves: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DceiTrial:
    point: Point
    seed: int
    policy: str


def trials(chosen: Sequence[Point], seeds: Sequence[int]) -> list[DceiTrial]:
    """The long ones first, so that no core idles at the end."""
    ordered = sorted(chosen, key=lambda point: point.figure != "workload")
    return [DceiTrial(point=p, seed=s, policy=name) for p in ordered for s in seeds for name in POLICIES]


def compute(trial: DceiTrial) -> list[DceiRow]:
    """None where memory allows the policy no mapping."""
    drawn, decide = setting(trial.point, trial.seed), stream_policy(trial.policy, trial.seed)
    over_time = trial.point.figure == "workload"
    seconds = LASTS_S if over_time else SECONDS
    runs = {}
    for window in (WINDOW, AT_A_TIME):
        course = Course(
            seconds=seconds,
            warm_s=0.0 if over_time else WARM_S,
            people=drawn.people,
            feeding={camera.id: Feeding(waits=False, buffer=1) for camera in _cameras(drawn.workload)},
            window=window,
        )
        run = simulate_cameras(
            drawn.workload, drawn.network, trial.policy, course, StreamMapping(trial.policy, decide)
        )
        if run.plan is None:
            return []
        runs[window] = run
    if not over_time:
        return [_row(trial, drawn, decide, runs, trial.point.x, WARM_S, SECONDS)]
    ends = np.arange(BIN_S, LASTS_S + 1, BIN_S)
    return [
        _row(trial, drawn, decide, runs, float(end - BIN_S / 2) / 60, float(end - BIN_S), float(end))
        for end in ends
    ]


def stream_policy(name: str, seed: int) -> StreamPolicy:
    """Those that draw mappings draw one for each seed."""
    drawn: dict[str, StreamPolicy] = {"nmno": partial(nmno, seed=seed), "nmwo": partial(nmwo, seed=seed)}
    return drawn[name] if name in drawn else load_stream_policy(name)


def collect(
    wanted: Sequence[DceiTrial], processes: int, progress: Callable[[int, int], None]
) -> list[DceiRow]:
    """All rows, in the order of the trials. progress: is told how many trials are done, and of how many."""
    progress(0, len(wanted))
    rows: list[DceiRow] = []
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_ignore_interrupt)
    try:
        for done, found in enumerate(pool.map(compute, wanted), start=1):
            rows += found
            progress(done, len(wanted))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    pool.shutdown()
    return rows


def _row(
    trial: DceiTrial,
    drawn: Setting,
    decide: StreamPolicy,
    runs: Mapping[int, SimulatedCameras],
    x: float,
    from_s: float,
    to_s: float,
) -> DceiRow:
    latencies = published_latencies_s(drawn, decide, trial.policy, (from_s + to_s) / 2)
    called_fps, latency_s = _between(runs[AT_A_TIME], from_s, to_s)
    return DceiRow(
        figure=trial.point.figure,
        x=x,
        seed=trial.seed,
        policy=trial.policy,
        published_fps=float((1 / latencies).mean()),
        published_latency_s=float(latencies.mean()),
        sustained_fps=_between(runs[WINDOW], from_s, to_s)[0],
        least_fps=min(_counts(runs[WINDOW], from_s, to_s)) / (to_s - from_s),
        called_fps=called_fps,
        latency_s=latency_s,
        moves=runs[WINDOW].moves,
    )


def published_latencies_s(
    drawn: Setting, decide: StreamPolicy, policy: str, at_s: float
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Shape (K,): eq. 5.2 for the people of that time, mapped anew for them unless the policy maps once."""
    then = _instance(drawn, at_s)
    plan = decide(_instance(drawn, 0.0) if policy in STATIC else then)
    assert isinstance(plan, StreamPlan) and not isinstance(plan, NoMapping), "it was simulated"
    return then.pair_s[np.arange(len(plan.x)), list(plan.x), list(plan.y)]


def _instance(drawn: Setting, at_s: float) -> StreamInstance:
    calls = {camera.id: drawn.people(camera.id, at_s) for camera in _cameras(drawn.workload)}
    seen = watched(replace(drawn.workload, calls_per_frame=calls), drawn.network)
    assert not isinstance(seen, Refusal), "it was simulated"
    return seen.instance


def _cameras(workload: Workload) -> Sequence[Any]:
    assert workload.job.streams is not None, "the job watches cameras"
    return workload.job.streams.cameras


def _counts(run: SimulatedCameras, from_s: float, to_s: float) -> list[int]:
    return [sum(from_s < at_s <= to_s for at_s, _ in stream.results) for stream in run.streams]


def _between(run: SimulatedCameras, from_s: float, to_s: float) -> tuple[float, float]:
    """Means over the streams of frames a second, and of latency, of what was done between two times."""
    each = [[late for at_s, late in stream.results if from_s < at_s <= to_s] for stream in run.streams]
    fps = sum(len(found) for found in each) / len(each) / (to_s - from_s)
    means = [sum(found) / len(found) for found in each if found]
    return fps, sum(means) / len(means) if means else float("nan")
