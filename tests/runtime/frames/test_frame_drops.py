"""Frames under a virtual clock: what is dropped, what it costs, and what becomes of wrong estimates."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest
from frame_world import BYTES, World, recipe_of
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeray.errors import BadInputError
from edgeray.frames.messages import Grant
from edgeray.frames.planner import Planner
from edgeray.frames.recipe import Recipe
from policies.deadline.frame import frame_of, next_queue
from policies.deadline.policy import FRAME_POLICIES


def bursts(seed: int, size: int, mean: float) -> Callable[[str, int], int]:
    """size packets at once, with such a probability that there are mean in a frame."""
    rng = np.random.default_rng(seed)
    return lambda name, frame: size if rng.random() < mean / size else 0


def declared(names: str, mean: float) -> dict[str, dict[str, float]]:
    return {name: {"lambda": mean} for name in names}


# Drop rates


@pytest.mark.parametrize("policy", FRAME_POLICIES)
def test_drops_are_what_is_allowed_and_what_is_queued(policy: str) -> None:
    """Of X = max(X + D - B, 0) follows that the sum of D is at most n B + X: exactly, whatever the policy does."""
    users = declared("abcde", 1.0)
    world = World(recipe_of("abcde", users=users), policy, comes=bursts(1, 7, 1.0))
    world.frames(1500)
    world.end()
    told = world.planner.told()
    assert told["frames"] == 1500 and told["infeasible"] == []
    for user in told["users"].values():
        assert user["arrived"] == user["sent"] + user["local"] + user["dropped"]
        assert user["dropped"] <= 0.1 * 1500 + user["queue"] + 1e-6
        assert user["queue"] < 5 * 7 + 7, (
            "above M e_local / mu every packet is computed; then one burst may be lost"
        )
    if policy.startswith(("djos", "jos")):
        assert told["drop_rate"] > 0.08, "as many are dropped as may be: each that is not costs energy"


@pytest.mark.parametrize("policy", FRAME_POLICIES)
def test_decisions_are_those_of_the_published_model(policy: str) -> None:
    """N=5, T=3, bursts of 7 packets, one a frame on average, 4 a slot: frame by frame as the model's own recursion.

    Energy is less by what a last slot is not full of: 7 packets keep the sender on for 1.75 slots, not 2.
    """
    arrivals = 7.0 * (np.random.default_rng(2).random((401, 5)) < 1 / 7)
    world = World(
        recipe_of("abcde", users=declared("abcde", 1.0)),
        policy,
        comes=lambda name, frame: int(arrivals[frame, "abcde".index(name)]),
    )
    queue, slots_j = np.zeros(5), 0.0
    world.frame()  # in which there is nothing to be done yet
    for come in arrivals[:-1]:
        plan = FRAME_POLICIES[policy](frame_of(queue, come, 4.0, 1.0, T=3, e_local=7.0, e_send=4.0, M=5.0))
        world.frame()
        assert [user.queue for user in world.users.values()] == queue.tolist()
        granted = [(g.slots, g.sent, g.local) for g in world.grants.values()]
        assert granted == list(zip(plan.slots, plan.sent, plan.local, strict=True))
        queue = next_queue(queue, plan.dropped, 0.1)
        slots_j += plan.energy.sum()
    world.end()
    told = world.planner.told()
    assert told["local"] * 7 + told["sent"] == pytest.approx(told["energy_j"], rel=1e-9)
    assert told["energy_j"] <= slots_j


def test_the_slides_example_live() -> None:
    """Two users, 6 packets each, six slots; all that is saved counts more than its energy: 2 W a user."""
    world = World(
        recipe_of("ab", packets_a_slot=2, slots=6), comes=lambda name, frame: 6 if frame == 0 else 0
    )
    world.frames(1)
    for user in world.users.values():
        user.queue = 1e6
    world.frames(2)
    told = world.planner.told()
    assert (told["sent"], told["local"], told["dropped"]) == (12, 0, 0)
    assert told["energy_j"] / 2 / 6 == pytest.approx(2.0, abs=1e-9)


# The queue


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.sampled_from(sorted(FRAME_POLICIES)),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([None, 2.5]),
)
@settings(max_examples=60, deadline=None)
def test_the_queue_is_the_recursion_by_hand(
    comes: list[int], policy: str, link: float, mean: float | None
) -> None:
    users = {"a": {"lambda": mean}}
    world = World(
        recipe_of("a", users=users, M=0.3),
        policy,
        comes=lambda name, frame: comes[frame] if frame < len(comes) else 0,
        link=lambda frame: link,
    )
    queue, arrived, dropped, allowed = 0.0, 0, 0, 0.0
    for frame in range(len(comes) + 1):
        world.frame()
        told = world.planner.told()["users"]["a"]
        assert told["queue"] == pytest.approx(queue, abs=1e-9)
        assert told["arrived"] == told["sent"] + told["local"] + told["dropped"] == arrived
        world_totals = world.users["a"]
        # What this frame will have had, by the time it is over.
        arrived += comes[frame - 1] if frame else 0
        lost = world_totals._arrived - world_totals._acked - world_totals._computed
        dropped += lost
        allowed = 0.1 * (mean if mean is not None else arrived / (frame + 1))
        queue = max(queue + lost - allowed, 0.0)
    world.end()
    told = world.planner.told()["users"]["a"]
    assert (told["arrived"], told["dropped"]) == (sum(comes), dropped)
    assert told["queue"] == pytest.approx(queue, abs=1e-9)


# Estimates that are wrong


def test_a_link_that_has_half_of_its_rate() -> None:
    """C becomes what is acknowledged, and the drop rate holds, by more energy."""
    world = World(
        recipe_of("ab", users=declared("ab", 3.0)),
        comes=lambda name, frame: 3,
        link=lambda frame: 0.5,
        seconds=2.0,
    )
    world.frames(600)
    for user in world.users.values():
        assert 1.0 < user.per_slot < 3.0, "of 4 that the numbers promise, 2"
    before = world.planner.told()
    world.frames(600)
    after = world.planner.told()
    assert after["infeasible"] == []
    assert after["dropped"] - before["dropped"] <= 0.1 * 2 * 3 * 600 + 2 * 20


def test_a_link_that_was_gone_is_tried_again() -> None:
    world = World(
        recipe_of("a", users=declared("a", 2.0)),
        comes=lambda name, frame: 2,
        link=lambda frame: 0.0 if 100 <= frame < 300 else 1.0,
        seconds=1.5,
    )
    world.frames(300)
    assert world.users["a"].per_slot < 3
    before = world.planner.told()["sent"]
    world.frames(200)
    assert world.planner.told()["sent"] - before > 250, "of 400 that came"
    assert world.users["a"].per_slot > 3.5


def test_packets_grow_and_take_longer() -> None:
    world = World(recipe_of("a"), comes=lambda name, frame: 1)
    world.frames(100)
    user = world.users["a"]
    for _ in range(50):
        user._bytes.add(4000)
        user._seconds.add(0.25)
    assert user.per_slot == pytest.approx(user._link.value, rel=1e-3)
    assert user.computed_per_slot == pytest.approx(4 * user._processor.value, rel=1e-3)


# Users that are away


def test_a_user_that_is_away_is_planned_without_and_goes_on_by_itself() -> None:
    world = World(recipe_of("ab", users=declared("ab", 2.0)), comes=lambda name, frame: 2, seconds=0.5)
    world.frames(300)
    world.away = {"b"}
    queue, frames = world.users["b"].queue, world.users["b"].totals.frames
    world.frames(100)
    told = world.planner.told()
    assert told["users"]["b"]["away"] and not told["users"]["a"]["away"]
    assert "b" not in world.grants and world.rates_sum() <= world.recipe.link_bps * (1 + 1e-12)
    assert told["users"]["b"]["queue"] == pytest.approx(queue, abs=0.21)
    alone = world.users["b"].totals
    assert alone.frames - frames == pytest.approx(100, abs=1), "its own clock makes the frames"
    assert alone.local - told["users"]["b"]["local"] > 100, "its own processor is all that it has"
    world.away = set()
    world.frames(2)
    told = world.planner.told()["users"]["b"]
    assert not told["away"] and "b" in world.grants
    assert told["arrived"] >= alone.arrived, "what it did alone is counted"
    assert told["arrived"] == told["sent"] + told["local"] + told["dropped"]
    assert told["dropped"] <= 0.1 * 2 * world.users["b"].totals.frames + world.users["b"].queue + 1e-6


def test_a_user_that_begins_anew_has_its_queue_and_counts() -> None:
    world = World(recipe_of("ab"), comes=lambda name, frame: 3, seconds=2.0)
    world.frames(60)
    before = world.planner.told()["users"]["a"]
    assert before["queue"] > 1
    world.users["a"] = world.user("a")
    world.frame()
    after = world.planner.told()["users"]["a"]
    assert after == {**before, "slots": after["slots"]}
    world.frames(20)
    after = world.planner.told()["users"]["a"]
    assert after["arrived"] == before["arrived"] + 3 * 19, "those of its first frame came to nobody"
    assert after["arrived"] == after["sent"] + after["local"] + after["dropped"]


def test_reports_that_come_twice_or_late_count_once() -> None:
    world = World(recipe_of("a"), comes=lambda name, frame: 2)
    world.frames(5)
    early = world.users["a"].report()
    world.frames(5)
    told = world.planner.told()
    world.planner.take(world.users["a"].report())
    assert world.planner.told() == told
    world.planner.take(early)
    assert world.planner.told() == told


def test_a_server_that_begins_anew_goes_on_with_what_was_kept() -> None:
    world = World(recipe_of("ab"), comes=lambda name, frame: 3, seconds=2.0)
    world.frames(50)
    told, kept = world.planner.told(), world.planner.state()
    world.planner = Planner(world.recipe, "djos")
    world.planner.restore(kept)
    restored = world.planner.told()
    for each in (told, restored):
        for user in each["users"].values():
            del user["away"]  # nobody has been heard of yet
    assert restored == told
    world.frame()
    again = world.planner.told()
    assert again["frames"] == 51
    assert again["arrived"] == told["arrived"] + 6, "by the same processes, so nothing counts twice"


@pytest.mark.parametrize(
    "damage",
    [
        {},
        {"frames": 3},
        {"frames": 3, "users": {"a": {"queue": 1.0}}},
        {
            "frames": 3,
            "users": {"a": {"queue": -1, "session": "", "past": [0] * 6, "now": [0] * 6, "slots": 0}},
        },
        {
            "frames": 3,
            "users": {"a": {"queue": 1, "session": "", "past": [0] * 5, "now": [0] * 6, "slots": 0}},
        },
    ],
)
def test_a_damaged_state_is_said_and_left_out(damage: dict, caplog: pytest.LogCaptureFixture) -> None:
    planner = Planner(Recipe.of(recipe_of("a")), "djos")
    fresh = planner.told()
    planner.restore(damage)
    assert planner.told() == fresh
    assert "the kept state is damaged" in caplog.text


# Words that come late, and packets that would


def test_a_word_that_comes_late_is_of_the_frame_that_was_begun_without_it() -> None:
    world = World(recipe_of("a"), comes=lambda name, frame: 2)
    world.frames(20)
    user, begins = world.users["a"], world.planner.begin()
    frames, frame_s = user.totals.frames, world.recipe.frame_s
    assert user.due_s() == world.now_s + 0.25 * frame_s
    assert not user.tick(world.now_s + 0.24 * frame_s)
    assert user.tick(world.now_s + 0.26 * frame_s) and user.alone
    assert (user.totals.frames, user.frame) == (frames + 1, begins["a"].frame)
    report = user.begin(begins["a"], world.now_s + 0.3 * frame_s)
    assert not user.alone and report.arrived == 2
    assert user.totals.frames == frames + 1, "the same frame, with the same packets"


@given(st.integers(0, 9), st.integers(0, 12_000), st.floats(0.0, 3.0))
@settings(deadline=None)
def test_what_could_not_be_there_in_time_is_not_sent(come: int, ahead_bytes: int, at_s: float) -> None:
    """The whole link carries 4 packets in a slot of 1 s, and a frame has 3: so many fit into what is left of it."""
    world = World(recipe_of("a", rho=0.0), comes=lambda name, frame: come)
    world.users["a"].measured(seconds=1.0, size_bytes=BYTES)
    world.frames(1)
    user = world.users["a"]
    begin = world.planner.begin()["a"]
    user.begin(begin, world.now_s)
    link_bps = world.recipe.link_bps
    user.grant(
        Grant(user="a", frame=begin.frame, slots=3, computing=0, sent=come, local=0, rate_bps=link_bps)
    )
    sent = 0
    while user.next_sent(world.now_s + at_s, ahead_bytes=ahead_bytes + sent * BYTES, rate_bps=link_bps):
        sent += 1
    room = max(0.0, (3.0 - at_s) * 4 - ahead_bytes / BYTES)
    assert sent <= come and sent <= room + 1e-4
    assert sent == come or sent + 1 > room - 1e-4


# What cannot be


def test_what_cannot_be_held_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """9 packets a frame, of which 3 can be computed; the other user has all that it needs."""
    caplog.set_level(logging.WARNING)
    world = World(
        recipe_of("ab", M=0.5), comes=lambda name, frame: 9 if name == "a" else 1, link=lambda f: 0.0
    )
    world.frames(40)
    assert world.planner.told()["infeasible"] == [], "it may still be that its queue is only noisy"
    world.frames(260)
    assert world.planner.told()["infeasible"] == ["a"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("user a: a drop rate of 0.1 cannot be held") and "remedy:" in said


def test_a_user_that_can_do_nothing_is_named() -> None:
    world = World(recipe_of("a"), comes=lambda name, frame: 1, link=lambda f: 0.0, seconds=50.0)
    world.frames(200)
    assert world.planner.told()["infeasible"] == ["a"]


def test_a_policy_that_is_none_is_refused() -> None:
    with pytest.raises(
        BadInputError, match=r"policy 'toof' decides no frames\n  expected: one of lfos, efos"
    ):
        Planner(Recipe.of(recipe_of("a")), "toof")


# Grants


@given(st.integers(0, 10_000), st.sampled_from(sorted(FRAME_POLICIES)))
@settings(max_examples=80, deadline=None)
def test_grants_are_whole_and_no_more_than_there_is(seed: int, policy: str) -> None:
    rng = np.random.default_rng(seed)
    told = recipe_of(
        "abc",
        packets_a_slot=float(rng.uniform(0.3, 6)),
        floor_bps=float(rng.choice([0.0, 500.0, 1e9])),
        slots=int(rng.integers(1, 8)),
        M=float(rng.uniform(0, 3)),
    )
    world = World(
        told, policy, seconds=float(rng.uniform(0.1, 3)), comes=lambda name, frame: int(rng.integers(0, 9))
    )
    for _ in range(30):
        world.frame()
        arrived = {name: user._arrived for name, user in world.users.items()}
        for name, grant in world.grants.items():
            assert grant.sent >= 0 and grant.local >= 0 and grant.sent + grant.local <= arrived[name]
        assert sum(grant.slots for grant in world.grants.values()) <= world.recipe.slots
        assert 0 <= world.rates_sum() <= world.recipe.link_bps * (1 + 1e-9)


def test_users_of_one_device_share_its_flow() -> None:
    told = recipe_of("ab", users={name: {"task": "user-x", "device": "x"} for name in "ab"}, floor_bps=100.0)
    world = World(told)
    world.frame()
    assert world.planner.rates_bps(world.grants) == {"user-x": 200.0}


def test_a_server_that_does_no_more_is_granted_no_more() -> None:
    """It does 2 packets a frame, and nobody else can: a plan that does not know that has 10 sent."""
    seen = {}
    for capacity in (None, 2.0):
        world = World(recipe_of("ab", rho=0.0), comes=lambda name, frame: 6, seconds=50.0, capacity=capacity)
        world.frames(50)
        seen[capacity] = max(
            sum(grant.sent for grant in world.grants.values()) for _ in range(20) if not world.frame()
        )
    assert seen == {None: 10, 2.0: 2}
