"""Frames with deadlines, simulated: our specification's oracles, frames by hand, servers and channels not ideal."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeray.cli.simulate_frames import simulate_frames
from edgeray.errors import BadInputError
from edgeray.simulator.frames import (
    SIMULATED_FRAMES,
    THREE_SLOTS,
    PaperFrames,
    least_frame_energy,
    simulate_frame_policy,
)
from edgeray.simulator.frames_limits import expecting, within
from policies.deadline.frame import Frame, frame_of
from policies.deadline.policy import djos, djos_expecting, djos_within

ORACLES = [
    (1, 1.0, 0.2, 0.1440, {"djos": 0.1440, "lfos": 0.429, "efos": 0.170}),
    (1, 0.95, 0.1, 0.0720, {"djos": 0.0722, "lfos": 0.212, "efos": 0.085}),
    (3, 1.0, 1.0, 1.133, {"djos": 1.128, "lfos": 3.343, "efos": 2.726}),
    (3, 0.9, 2.0, 4.265, {"djos": 4.266, "lfos": 6.794, "efos": 6.083}),
]


@pytest.mark.parametrize(("slots", "on", "arrivals", "least", "energies"), ORACLES)
def test_the_specified_energies(
    slots: int, on: float, arrivals: float, least: float, energies: dict[str, float]
) -> None:
    """Energy of a user and frame at M = 5, within the specified 1.5 %; N = 5, rho = .1."""
    settings = replace(PaperFrames() if slots == 1 else THREE_SLOTS, on=on, arrivals=arrivals, runs=100)
    assert least_frame_energy(settings) == pytest.approx(least, rel=0.001)
    for policy, energy in energies.items():
        run = simulate_frame_policy(settings, policy, 500_000, 1)
        assert run.energy_per_user_frame == pytest.approx(energy, rel=0.015), policy
        assert run.infeasible < 0.05
        if policy == "djos" and slots == 3:
            assert 0.0994 <= run.drop_rate <= 0.1004


def test_frames_by_hand() -> None:
    """A packet in each frame of one user, none to be dropped: it is computed, or sent, in each."""
    settings = PaperFrames(users=1, arrivals=1.0, burst=1.0, on=1.0, packets=1.0, rho=0.0, runs=2, start=0.0)
    for policy, energy in (("lfos", 7.0), ("efos", 4.0)):
        run = simulate_frame_policy(settings, policy, 40, 0)
        assert (run.energy_per_user_frame, run.drop_rate, run.queue) == (energy, 0.0, 0.0)
    # JOS sends as soon as X > M e_send = 20: until then each packet is dropped, and X grows by 1.
    early = simulate_frame_policy(replace(settings, settle=0.0), "djos", 60, 0)
    assert early.drop_rate == pytest.approx(21 / 30)
    assert early.energy_per_user_frame == pytest.approx(4 * 9 / 30)
    assert early.last_queue == 21


def test_what_is_not_counted_has_settled() -> None:
    first = simulate_frame_policy(replace(PaperFrames(), start=0.0, settle=0.0), "djos", 5_000, 3)
    assert first.drop_rate > 0.12  # an empty virtual queue lets everything be dropped
    held = simulate_frame_policy(THREE_SLOTS, "djos", 50_000, 3)
    assert held.drop_rate == pytest.approx(0.1, abs=0.005)


def drawn(seed: int, runs: int, users: int, slots: int) -> Frame:
    rng = np.random.default_rng(seed)
    shape = (runs, users)
    return frame_of(
        rng.uniform(0, 12, shape), rng.integers(0, 9, shape), rng.integers(0, 5, shape),
        rng.choice([0.5, 1.0, 2.0], shape), T=slots, e_local=7.0, e_send=4.0, M=0.5,
    )  # fmt: skip


def alone(frame: Frame, run: int) -> Frame:
    names = ("X", "A", "C", "mu", "e_local", "e_send")
    return replace(frame, **{name: getattr(frame, name)[run] for name in names})


@pytest.mark.parametrize("seed", range(6))
def test_many_runs_within_a_capacity_are_each_decided_alone(seed: int) -> None:
    frame = drawn(seed, runs=12, users=3 + seed % 3, slots=2 + seed % 3)
    assert (djos(frame).sent.sum(axis=1) > 4).any()
    plan = within(frame, 4.0)
    for run in range(12):
        expected = djos_within(alone(frame, run), 4.0)
        assert plan.slots[run].tolist() == expected.slots.tolist()
        assert plan.sent[run].tolist() == expected.sent.tolist()
        assert plan.energy[run].tolist() == expected.energy.tolist()


@pytest.mark.parametrize("seed", range(6))
def test_many_runs_of_unknown_channels_are_each_decided_alone(seed: int) -> None:
    frame = drawn(seed, runs=12, users=3 + seed % 3, slots=1 + seed % 4)
    channels, on = np.array([0.0, 4.0]), np.random.default_rng(seed).random(frame.X.shape)
    belief = np.stack([1 - on, on], axis=-1)
    slots, computing = expecting(frame, channels, belief)
    for run in range(12):
        expected = djos_expecting(alone(frame, run), channels, belief[run])
        assert slots[run].tolist() == expected.slots.tolist()
        assert computing[run].tolist() == expected.computing.tolist()


def test_a_plan_that_knows_the_servers_capacity_holds_the_drop_rate() -> None:
    """One that does not has the server drop what is too much, and its queue diverges."""
    settings = replace(THREE_SLOTS, on=1.0, arrivals=0.6, capacity=4.0, runs=20)
    unaware, aware = (
        simulate_frame_policy(settings, policy, 10_000, 1) for policy in ("djos", "djos-within")
    )
    assert aware.drop_rate == pytest.approx(0.1, abs=0.015) and aware.infeasible < 0.1
    assert unaware.drop_rate > 0.3 and unaware.infeasible > 0.95
    assert unaware.last_queue > 2 * aware.last_queue


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_channels_that_are_not_known(memory: float) -> None:
    """A belief holds the drop rate as knowing does, at more energy; taking what was seen last for the truth does not."""
    settings = replace(THREE_SLOTS, memory=memory)
    known, believed, stale = (
        simulate_frame_policy(settings, policy, 30_000, 1)
        for policy in ("djos", "djos-expecting", "djos-stale")
    )
    assert believed.drop_rate == pytest.approx(known.drop_rate, abs=0.01)
    assert believed.energy_per_user_frame >= known.energy_per_user_frame
    assert stale.drop_rate > 0.4 and stale.infeasible > 0.95


@pytest.mark.parametrize("policy", [name for name in SIMULATED_FRAMES if name != "djos-within"])
def test_the_same_gives_the_same(policy: str) -> None:
    settings = replace(THREE_SLOTS, runs=4)
    run = simulate_frame_policy(settings, policy, 400, 5)
    assert (
        run
        == simulate_frame_policy(settings, policy, 400, 5)
        != simulate_frame_policy(settings, policy, 400, 6)
    )
    assert run.frames == 200 and 0 <= run.drop_rate <= 1


def test_no_bound_where_it_would_not_hold() -> None:
    assert least_frame_energy(replace(PaperFrames(), memory=0.5)) is None
    assert least_frame_energy(replace(PaperFrames(), capacity=3.0)) is None
    assert least_frame_energy(replace(PaperFrames(), users=100)) is None


def test_no_way_to_do_anything() -> None:
    nothing = PaperFrames(mu=0.0, packets=0.0, runs=2)
    run = simulate_frame_policy(nothing, "djos", 2_000, 0)
    assert (run.energy_per_user_frame, run.drop_rate) == (0.0, 1.0)


def test_one_json_object_and_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    simulate_frames(
        {"runs": "5"}, policies=["djos", "lfos"], frames=500, seed=7, as_json=True, out=tmp_path / "new"
    )
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"edgeray", "settings", "frames", "seed", "least_energy_per_user_frame", "runs"}
    assert told["settings"]["runs"] == 5 and told["settings"]["rho"] == 0.1
    assert [run["policy"] for run in told["runs"]] == ["djos", "lfos"]
    assert {"energy_per_user_frame", "drop_rate", "queue", "last_queue"} <= set(told["runs"][0])
    assert len(list(csv.DictReader((tmp_path / "new" / "frames.csv").open()))) == 2


def test_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    simulate_frames({"runs": 1}, policies=None, frames=50, seed=0, as_json=False, out=None)
    told = capsys.readouterr().out
    assert all(policy in told for policy in ("lfos", "efos", "djos-slides", "djos", "jos"))
    assert "least energy" in told


@pytest.mark.parametrize(
    ("settings", "policies", "told"),
    [
        ({}, ["best"], "'best' is no policy of frames"),
        ({}, ["djos-within"], "--set capacity=4"),
        ({"arrivals": 6}, None, "a larger burst"),
        ({"lambda": 1}, None, "one of users, slots, arrivals"),
        ({"runs": 5000}, None, "one for each run"),
    ],
)
def test_what_is_wrong_is_told(settings: dict[str, object], policies: list[str] | None, told: str) -> None:
    with pytest.raises(BadInputError) as caught:
        simulate_frames(settings, policies=policies, frames=1000, seed=0, as_json=False, out=None)
    assert told in str(caught.value)
