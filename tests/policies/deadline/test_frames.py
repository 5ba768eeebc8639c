"""Frames with deadlines: the slides' example, brute force, the spec's oracles."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from policies.deadline.bound import least_energy
from policies.deadline.frame import Frame, frame_of, is_infeasible, next_queue
from policies.deadline.policy import (
    FRAME_POLICIES,
    djos,
    djos_expecting,
    djos_slides,
    djos_within,
    efos,
    jos,
    lfos,
)
from policies.deadline.slots import best_slots, by_program, greedily
from policies.deadline.weights import weights

ENERGY = {"e_local": 7.0, "e_send": 4.0}


def drawn(seed: int, users: int = 3, T: int = 3) -> Frame:  # noqa: N803
    rng = np.random.default_rng(seed)
    return frame_of(
        rng.uniform(0, 12, users),
        rng.integers(0, 9, users),
        rng.integers(0, 5, users),
        rng.choice([0.5, 1.0, 2.0, 3.0], users),
        T=T,
        e_local=rng.uniform(1, 9, users),
        e_send=rng.uniform(1, 9, users),
        M=float(rng.uniform(0.2, 3)),
    )


def best_by_enumeration(frame: Frame) -> float:
    """JOS' objective over all slots, all numbers of sending and computing slots, of all users."""
    users, slots = len(frame.X), range(frame.T + 1)

    def worth(n: int, k: int, compute: int) -> float:
        sent = min(frame.A[n], frame.C[n] * k)
        local = min(frame.A[n] - sent, frame.mu[n] * compute)
        return float(
            frame.X[n] * (sent + local) - frame.M * (frame.e_send[n] * k + frame.e_local[n] * compute)
        )

    own = [[max(worth(n, k, compute) for compute in slots) for k in slots] for n in range(users)]
    return max(
        sum(own[n][k] for n, k in enumerate(ks)) for ks in product(slots, repeat=users) if sum(ks) <= frame.T
    )


@pytest.mark.parametrize("start", range(0, 1000, 100))
def test_slots_equal_brute_force(start: int) -> None:
    for seed in range(start, start + 100):
        frame = drawn(seed, users=2 + seed % 3, T=1 + seed % 4)
        plan, expected = djos(frame), best_by_enumeration(frame)
        assert plan.value == pytest.approx(expected, abs=1e-9), seed
        assert jos(frame).value == pytest.approx(expected, abs=1e-9), seed
        assert plan.slots.sum() <= frame.T and (plan.sending <= plan.slots).all()


def test_the_slides_example() -> None:
    frame = frame_of([1e6, 1e6], [6, 6], [2, 2], [1, 1], T=6, M=1.0, **ENERGY)
    for policy, watts in ((lfos, 4.5), (efos, 4.25), (djos, 2.0), (djos_slides, 2.0)):
        plan = policy(frame)
        assert plan.energy.sum() / 12 == watts, policy
        assert (plan.dropped == 0).all()


def test_greedy_alone_would_not_do() -> None:
    """Two slots help together and one does not: seen by the second differences, and solved by the program."""
    gain = np.array([[[0.0, 0.0, 10.0], [0.0, 1.0, 2.0]]])
    assert greedily(gain).tolist() == [[0, 2]]
    assert by_program(gain).tolist() == [[2, 0]]
    assert best_slots(gain).tolist() == [[2, 0]]


def test_the_slides_rule_differs_where_computing_alone_is_best() -> None:
    frame = frame_of([10.0], [1.0], [5.0], [1.0], T=1, e_local=1.0, e_send=4.0, M=1.0)
    assert djos(frame).energy.tolist() == [1.0]
    assert djos_slides(frame).value <= djos(frame).value
    generic = [drawn(seed, users=3, T=1) for seed in range(400)]
    worse = [f for f in generic if djos_slides(f).value < djos(f).value - 1e-9]
    assert 0 < len(worse) < 0.25 * len(generic)


@pytest.mark.parametrize("policy", list(FRAME_POLICIES))
def test_packets_add_up(policy: str) -> None:
    for seed in range(60):
        frame = drawn(seed, users=4, T=3)
        before = frame.A.copy()
        plan = FRAME_POLICIES[policy](frame)
        assert np.allclose(plan.sent + plan.local + plan.dropped, frame.A)
        for packets in (plan.sent, plan.local, plan.dropped):
            assert (packets >= -1e-12).all()
        assert (plan.sent <= frame.C * plan.sending + 1e-12).all()
        assert (plan.local <= frame.mu * plan.computing + 1e-12).all()
        assert plan.sending.sum() <= frame.T and (plan.computing <= frame.T).all()
        assert plan.value <= best_by_enumeration(frame) + 1e-9
        assert (before == frame.A).all()


def test_many_frames_at_once_are_each_decided_alone() -> None:
    frames = [drawn(seed, users=3, T=3) for seed in range(20)]
    for frame in frames[1:]:
        stacked = frame_of(
            *(np.stack([getattr(frame, name), getattr(frame, name)]) for name in ("X", "A", "C", "mu")),
            T=frame.T, e_local=frame.e_local, e_send=frame.e_send, M=frame.M,
        )  # fmt: skip
        for policy in (djos, djos_slides, lfos, efos):
            both, alone = policy(stacked), policy(frame)
            assert (both.slots == alone.slots).all() and (both.energy == alone.energy).all()


CASES = [(1, 1.0, 0.2, 5, 5, 0.1440, 0.429, 0.170), (1, 0.95, 0.1, 5, 5, 0.0720, 0.212, 0.085),
         (3, 1.0, 1.0, 4, 7, 1.133, 3.343, 2.726), (3, 0.9, 2.0, 4, 7, 4.265, 6.794, 6.083)]  # fmt: skip


@pytest.mark.parametrize(("T", "p", "rate", "C", "most", "lp", "lfos_w", "efos_w"), CASES)
def test_the_oracle_of_stationary_arrivals(
    T: int,  # noqa: N803
    p: float,
    rate: float,
    C: int,  # noqa: N803
    most: int,
    lp: float,
    lfos_w: float,
    efos_w: float,
) -> None:
    """Energy per user and frame, N = 5, rho = .1, M = 5: the bound, DJOS beside it, the baselines far above."""
    states = np.array([[a, c] for a in (0.0, most) for c in (0.0, C)])
    chances = np.array([a * c for a in (1 - rate / most, rate / most) for c in (1 - p, p)])
    bound = least_energy(5, states, chances, mu=1.0, T=T, rho=0.1, **ENERGY)
    assert bound == pytest.approx(lp, rel=0.002)
    rng, replicas = np.random.default_rng(1), 100
    frames = int(2500 * max(1.0, 0.3 / rate))
    settling = frames * 3 // 5
    queue, energy, dropped, arrived = np.zeros((replicas, 5)), 0.0, 0.0, 0.0
    plain = {"lfos": 0.0, "efos": 0.0}
    for number in range(frames):
        A = most * (rng.random((replicas, 5)) < rate / most)  # noqa: N806
        frame = frame_of(queue, A, C * (rng.random((replicas, 5)) < p), 1.0, T=T, M=5.0, **ENERGY)
        plan = djos(frame)
        queue = next_queue(queue, plan.dropped, 0.1 * rate)
        if number >= settling:
            energy += plan.energy.mean()
            dropped, arrived = dropped + plan.dropped.sum(), arrived + A.sum()
        if number % 10 == 0:
            for name in plain:
                plain[name] += FRAME_POLICIES[name](frame).energy.mean() / (frames / 10)
    assert energy / (frames - settling) == pytest.approx(bound, rel=0.03)
    assert dropped / arrived <= 0.1 + 0.005
    assert plain["lfos"] == pytest.approx(lfos_w, rel=0.03)
    assert plain["efos"] == pytest.approx(efos_w, rel=0.03)


def test_a_server_that_takes_few_packets_gets_few() -> None:
    frame = frame_of([9.0, 9.0, 9.0], [5, 5, 5], [4, 4, 4], [1, 1, 1], T=3, M=0.1, **ENERGY)
    assert djos(frame).sent.sum() > 6
    held = djos_within(frame, 6.0)
    assert held.sent.sum() <= 6.0 and held.value < djos(frame).value
    assert (djos_within(frame, 100.0).slots == djos(frame).slots).all()


def test_beliefs_prefer_channels_that_are_likely_on() -> None:
    frame = frame_of([9.0, 9.0], [4, 4], [0, 0], [1, 1], T=1, M=0.1, **ENERGY)
    channels, belief = np.array([0.0, 4.0]), np.array([[0.9, 0.1], [0.2, 0.8]])
    assert djos_expecting(frame, channels, belief).slots.tolist() == [0, 1]
    sure = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert djos_expecting(frame, channels, sure).slots.tolist() == [1, 0]


def test_what_cannot_be_held_is_told() -> None:
    frame = frame_of([50.0, 5.0], [9, 9], [0, 0], [1, 1], T=3, M=1.0, **ENERGY)
    assert is_infeasible(frame.X, frame.X - 1, frame).tolist() == [True, False]
    assert is_infeasible(frame.X, frame.X + 1, frame).tolist() == [False, False]
    # Sending alone would be worth it from 2: a queue of 5 says that others had the slots, not that nothing helps.
    both = frame_of([5.0, 15.0], [9, 9], [4, 4], [1, 1], T=3, M=1.0, **ENERGY)
    assert is_infeasible(both.X, both.X - 1, both).tolist() == [False, True]
    # Ways that save no packet within a frame are none.
    slow = frame_of([50.0, 50.0], [9, 9], [0.1, 4], [0.1, 0.1], T=3, M=1.0, **ENERGY)
    assert is_infeasible(slow.X, slow.X - 1, slow).tolist() == [False, True]


def test_no_local_computing_and_no_channel() -> None:
    plan = djos(frame_of([9.0, 9.0], [3, 3], [0, 2], [0, 0], T=2, M=0.5, **ENERGY))
    assert plan.sent.tolist() == [0, 3] and plan.local.tolist() == [0, 0]


def test_weights_never_fall_with_more_slots() -> None:
    for seed in range(50):
        gain = weights(drawn(seed, users=5, T=6)).gain
        assert (np.diff(gain, axis=-1) >= 0).all()


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="A holds"):
        frame_of([1.0], [-1], [1], [1], T=1, M=1.0, **ENERGY)
    with pytest.raises(ValueError, match="T is 0"):
        frame_of([1.0], [1], [1], [1], T=0, M=1.0, **ENERGY)
    with pytest.raises(ValueError, match="do not go together"):
        frame_of([1.0, 2.0, 3.0], [1, 2], [1], [1], T=1, M=1.0, **ENERGY)
