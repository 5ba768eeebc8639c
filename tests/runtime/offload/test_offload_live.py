"""A dispatcher and its helpers: every item is answered once, whoever breaks, and whoever is away."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import offload_code
import pytest
from offload_world import HUB, World, check_sums, recipe_of, until

from edgeray.errors import StageError
from edgeray.offload import dispatch
from policies.bandit.registry import DISPATCHERS


@pytest.fixture(autouse=True)
def fresh_code() -> Iterator[None]:
    offload_code.reset()
    yield
    offload_code.reset()


@pytest.mark.parametrize("policy", DISPATCHERS)
def test_every_item_is_answered_once(tmp_path: Path, policy: str) -> None:
    """Under each policy; whoever learns may try out anybody, but sends each item to one, and delivers its result once."""
    recipe = recipe_of(complexity={"run": "offload_code:weight", "args": {}})
    recipe["source"] = {
        "run": "offload_code:numbers",
        "args": {"count": 200},
        "rate_per_s": 2000,
        "items": 150,
    }
    with World(tmp_path, recipe, policy) as world:
        told = world.wait_for_the_end()
        check_sums(told)
        assert told["items"] == 150
        assert told["met"] + told["refused"] == 150
        assert len({item for item, _ in offload_code.taken}) == len(offload_code.taken)
        assert told["delivered"] == told["met"] == len(offload_code.taken)
        assert [bit.number for bit in world.learner.bits] == list(range(1, told["met"] + 1))
        assert told["policy"] == policy
        assert told["decision_us_p50"] > 0
        json.dumps(told, allow_nan=False)
        done = Counter(name for _, name in offload_code.taken)
        assert done == {name: row["met"] for name, row in told["helpers"].items() if row["met"]}
        counters, waiting = world.dispatch.rows()[world.stages[HUB].task]
        assert (counters.items, waiting) == (150, 0)
        now_s = time.time()
        (window,) = world.dispatch.windows(now_s - 3600, now_s + 3600).values()
        assert window.items == told["met"]


def test_policies_that_predict_say_so(tmp_path: Path) -> None:
    with World(tmp_path, recipe_of(), "hybrid") as world:
        world.give(*range(20))
        until(lambda: world.told["met"] == 20)
        told = world.told
        assert all(0 < row["probability"] < 1 for row in told["helpers"].values())
        assert told["regret_proxy"] >= 0
    with World(tmp_path, recipe_of(), "jsq") as world:
        world.give(1)
        until(lambda: world.told["met"] == 1)
        assert {row["probability"] for row in world.told["helpers"].values()} == {None}


def test_a_result_that_is_not_there_by_its_deadline_is_late_and_discarded(tmp_path: Path) -> None:
    offload_code.gates["a"].shut()
    with World(tmp_path, recipe_of("a", deadline_s=0.05)) as world:
        world.give(1, 2)
        until(lambda: world.told["late"] == 2, "both deadlines")
        assert [bit.happy for bit in world.learner.bits] == [False, False]
        offload_code.gates["a"].open()
        until(lambda: world.told["discarded"] == 2, "both results")
        told = world.told
        check_sums(told)
        assert (told["met"], told["delivered"], told["came_late"], len(world.learner.bits)) == (0, 0, 2, 2)
        assert offload_code.taken == []


def test_late_results_are_delivered_where_the_job_says_so(tmp_path: Path) -> None:
    """The bit is unhappy all the same; and the job does not end before they are there."""
    offload_code.gates["a"].shut()
    with World(tmp_path, recipe_of("a", deadline_s=0.05, late="deliver")) as world:
        world.give(1, 2, None)
        until(lambda: world.told["late"] == 2, "both deadlines")
        assert not world.stages[HUB].stop.is_set()
        offload_code.gates["a"].open()
        told = world.wait_for_the_end()
        assert (told["late"], told["delivered"], told["discarded"]) == (2, 2, 0)
        assert offload_code.taken == [(1, "a"), (2, "a")]
        assert [bit.happy for bit in world.learner.bits] == [False, False]


def test_work_that_raises_is_unhappy_at_once(tmp_path: Path) -> None:
    """Long before the deadline; the helper goes on with its next item."""
    with World(tmp_path, recipe_of("a")) as world:
        world.give(-1, 2, "unpicklable", 3)
        until(lambda: world.told["met"] == 2 and world.told["failed"] == 2)
        check_sums(world.told)
        assert [bit.happy for bit in world.learner.bits] == [False, True, False, True]
        assert offload_code.taken == [(2, "a"), (3, "a")]


def test_items_that_would_be_late_are_refused_and_give_no_bit(tmp_path: Path) -> None:
    """Hybrid, at a helper that needs longer for what waits there than anybody has."""
    with World(tmp_path, recipe_of("a", deadline_s=1e-4), "hybrid") as world:
        offload_code.gates["a"].shut()
        world.give(*range(300))
        until(lambda: world.told["items"] == 300)
        until(lambda: world.told["late"] + world.told["refused"] == 300)
        told = world.told
        check_sums(told)
        assert told["refused"] > 0
        assert len(world.learner.bits) == told["late"] == told["helpers"]["a"]["sent"]
        assert sum(bit.decisions for bit in world.learner.bits) <= 300


def test_a_helper_has_no_more_under_way_than_it_may(tmp_path: Path) -> None:
    offload_code.gates["a"].shut()
    with World(tmp_path, recipe_of("a", most=3)) as world:
        world.give(*range(10))
        until(lambda: world.told["items"] == 10)
        told = world.told
        assert (told["refused"], told["helpers"]["a"]["sent"], told["helpers"]["a"]["queue"]) == (7, 3, 3)
        assert [bit.happy for bit in world.learner.bits] == [False] * 7, "who has his fill is no good choice"
        offload_code.gates["a"].open()
        until(lambda: world.told["met"] == 3)
        world.give(11)
        until(lambda: world.told["met"] == 4)


def test_who_does_only_what_has_a_gate_open_is_told_by_his_queue(tmp_path: Path) -> None:
    """JSQ, by telemetry and by what was sent since: a helper that is stuck gets what comes to it, and nothing more."""
    with World(tmp_path, recipe_of("ab"), "jsq") as world:
        until(lambda: world.there("ab"))
        offload_code.gates["a"].shut()
        for number in range(20):
            world.give(number)
            until(lambda number=number: world.told["items"] == number + 1)  # type: ignore[misc]
            until(lambda: world.told["met"] + world.waiting("a") == world.told["items"])
        told = world.told
        assert told["helpers"]["a"]["sent"] == 1
        assert told["helpers"]["b"]["met"] == 19


# Helpers that break and come back


def test_a_killed_helper_loses_what_it_had_and_is_not_chosen_until_it_is_back(tmp_path: Path) -> None:
    with World(tmp_path, recipe_of("ab")) as world:
        until(lambda: world.there("ab"))
        offload_code.gates["a"].shut()
        world.give(*range(6))
        until(lambda: world.told["helpers"]["b"]["met"] == 3 and world.waiting("a") == 3)
        world.kill("a")
        until(lambda: world.told["lost"] == 3, "what it had is lost at once, not at the deadline")
        check_sums(world.told)
        assert sorted(bit.happy for bit in world.learner.bits) == [False] * 3 + [True] * 3
        world.give(*range(6, 10))
        until(lambda: world.told["helpers"]["b"]["met"] == 7)
        assert world.there("b")
        offload_code.gates["a"].open()
        world.start("a")
        until(lambda: world.there("ab"))
        world.give(*range(10, 16))
        told = world.wait_for_the_end()
        check_sums(told)
        assert (told["helpers"]["a"]["met"], told["helpers"]["b"]["met"], told["lost"]) == (3, 10, 3)


def test_a_line_that_breaks_loses_what_went_over_it_and_no_bit_is_given_twice(tmp_path: Path) -> None:
    """The helper lives on: it gives up what waits, and what it still brings of the turn before counts for nothing."""
    with World(tmp_path, recipe_of("a")) as world:
        until(lambda: world.there("a"))
        offload_code.gates["a"].shut()
        world.give(1, 2, 3)
        until(lambda: world.waiting("a") == 3)
        opened = world.lines.opened
        world.lines.cut(HUB, "help-a")
        until(lambda: world.told["lost"] == 3 and world.lines.opened > opened and world.there("a"))
        world.give(4)
        until(
            lambda: world.told["items"] == 4 and world.waiting("a") == 2, "the one in work, and the new one"
        )
        offload_code.gates["a"].open()
        until(lambda: world.told["met"] == 1 and world.told["discarded"] == 1)
        assert [(bit.number, bit.happy) for bit in world.learner.bits] == [
            (1, False),
            (2, False),
            (3, False),
            (4, True),
        ]
        assert offload_code.taken == [(4, "a")]


def test_lines_that_break_again_and_again_leave_no_item_without_an_answer(tmp_path: Path) -> None:
    with World(tmp_path, recipe_of("abc"), "p2c") as world:
        until(lambda: world.there("abc"))
        for turn in range(12):
            world.give(*range(10 * turn, 10 * turn + 10))
            until(lambda turn=turn: world.told["items"] >= 10 * turn + 5)  # type: ignore[misc]
            world.lines.cut(HUB, f"help-{'abc'[turn % 3]}")
        told = world.wait_for_the_end()
        check_sums(told)
        assert told["items"] == 120
        assert len(world.learner.bits) == 120 - told["refused"]
        assert len(set(offload_code.taken)) == len(offload_code.taken) == told["met"]


def test_nobody_there_means_that_items_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "START_TIMEOUT_S", 0.05)
    with World(tmp_path, recipe_of("ab"), without="ab") as world:
        world.give(1, 2)
        until(lambda: world.told["refused"] == 2)
        world.start("b")
        until(lambda: world.there("b"))
        world.give(3)
        until(lambda: world.told["met"] == 1)
        check_sums(world.told)
        assert len(world.learner.bits) == 1


def test_what_was_learned_of_a_helper_is_there_when_it_comes_back(tmp_path: Path) -> None:
    with World(tmp_path, recipe_of("ab"), "ecolog") as world:
        until(lambda: world.there("ab"))
        world.give(*range(30))
        until(lambda: world.told["met"] == 30)
        before = world.dispatch._desk.roster.state()
        world.kill("b")
        until(lambda: world.there("a"))
        assert world.dispatch._desk.roster.state() == before
        world.start("b")
        until(lambda: world.there("ab"))
        assert world.dispatch._desk.roster.state() == before


# Telemetry


def test_bits_have_the_offers_of_their_dispatch(tmp_path: Path) -> None:
    offload_code.gates["a"].shut()
    with World(tmp_path, recipe_of("a")) as world:
        world.give(*range(5))
        until(lambda: world.waiting("a") == 5)
        offload_code.gates["a"].open()
        until(lambda: len(world.learner.bits) == 5)
        assert [bit.offer.queue.tolist() for bit in world.learner.bits] == [[0], [1], [2], [3], [4]]
        assert {(bit.helper, bit.helpers, bit.decisions) for bit in world.learner.bits[1:]} == {
            ("a", ("a",), 0)
        }
        assert world.learner.bits[0].decisions == 5, "those that were made before the first bit"


def test_telemetry_can_be_held_back(tmp_path: Path) -> None:
    """For experiments: how fast a helper is stays unknown. What has come back does not seem to wait all the same."""
    with World(tmp_path, recipe_of("a", telemetry={"every_s": 0.01, "delay_s": 1e6})) as world:
        world.give(*range(5))
        until(lambda: world.told["met"] == 5)
        assert world.told["helpers"]["a"]["queue"] == 0
        offers = [bit.offer for bit in world.learner.bits]
        took_s = [float(offer.predicted_s[0] - offer.transfer_s[0]) for offer in offers]
        assert took_s == pytest.approx([60.0 / 2] * 5), "half of the deadline is guessed, whatever waits"
    offload_code.reset()
    with World(tmp_path, recipe_of("a")) as world:
        for number in range(5):
            world.give(number)
            until(lambda number=number: world.told["met"] == number + 1)  # type: ignore[misc]
        assert np.isfinite(world.learner.bits[-1].offer.predicted_s).all()


# Ends


def test_nothing_hangs_when_all_are_stopped_in_the_midst(tmp_path: Path) -> None:
    for gate in "abc":
        offload_code.gates[gate].shut()
    offload_code.sink_gate.shut()
    with World(tmp_path, recipe_of()) as world:
        world.give(*range(30))
        offload_code.gates["a"].let(2)
        until(lambda: world.told["met"] == 2 and world.told["items"] == 30)


def test_nothing_hangs_where_no_helper_ever_comes(tmp_path: Path) -> None:
    with World(tmp_path, recipe_of(), without="abc") as world:
        world.give(1)
    assert world.told["items"] == 0


def test_a_slow_sink_holds_up_no_item(tmp_path: Path) -> None:
    offload_code.sink_gate.shut()
    with World(tmp_path, recipe_of()) as world:
        world.give(*range(50))
        until(lambda: world.told["met"] == 50)
        assert offload_code.taken == []
        offload_code.sink_gate.open()
        world.wait_for_the_end()
        assert len(offload_code.taken) == 50


def test_the_ends_of_a_source_that_raises_are_its_words(tmp_path: Path) -> None:
    recipe = recipe_of()
    recipe["source"] = {"run": "offload_code:broken_source", "args": {}, "rate_per_s": 1e9, "items": None}
    world = World(tmp_path, recipe)
    assert world.stages[HUB].stop.wait(30)
    (error,) = world.stages[HUB].errors
    assert isinstance(error, StageError)
    assert str(error) == "the source raised OSError: the film is torn"
    world.__exit__(StageError)
