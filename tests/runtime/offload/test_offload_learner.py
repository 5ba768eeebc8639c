"""A dispatcher and the learner: it begins with what is known, tells what it learns, and waits for no answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import offload_code
import pytest
from offload_world import HUB, Learner, NoLearner, World, check_sums, recipe_of, until

from edgeray.learner import link
from edgeray.learner.service import LearnerService
from policies.model import JobId


@pytest.fixture(autouse=True)
def fresh_code() -> Iterator[None]:
    offload_code.reset()
    yield
    offload_code.reset()


@pytest.mark.parametrize("policy", ["toof", "round-robin"])
def test_a_learner_that_never_answers_changes_nothing(tmp_path: Path, policy: str) -> None:
    """The same items, one after the other, with one that hears everything: the same helpers get them."""
    sent = []
    for learner in (NoLearner(), Learner()):
        offload_code.reset()
        with World(tmp_path, recipe_of(), policy, learner=learner) as world:
            until(lambda world=world: world.there("abc"))  # type: ignore[misc]
            for number in range(12):
                world.give(number)
                until(lambda world=world, number=number: world.told["met"] == number + 1)  # type: ignore[misc]
            sent.append(sum(row["sent"] for row in world.told["helpers"].values()))
            check_sums(world.told)
    assert sent == [12, 12]


def test_a_dispatcher_begins_with_what_the_learner_has(tmp_path: Path) -> None:
    with World(tmp_path, recipe_of("ab"), "greedy") as world:
        until(lambda: world.there("ab"))
        world.give(*range(20))
        until(lambda: world.told["met"] == 20)
        assert world.learner.state is not None
        backed = world.learner.state()
    assert backed["number"] == 20
    assert backed["helpers"] == ["a", "b"] == world.learner.about["helpers"]
    assert world.learner.about["policy"] == "greedy"
    offload_code.reset()
    with World(tmp_path, recipe_of("ab"), "greedy", learner=Learner(has=backed["state"])) as again:
        until(lambda: again.there("ab"))
        assert again.dispatch._desk.roster.state() == backed["state"]


def test_a_real_link_to_a_learner_that_blocks_for_ever_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "RESTORE_S", 0.05)
    monkeypatch.setattr(link, "ANSWER_S", 0.05)
    never = threading.Event()
    with World(
        tmp_path, recipe_of(), "hybrid", learner=lambda stage: _link(stage, lambda *_: never.wait())
    ) as world:
        until(lambda: world.there("abc"))
        world.give(*range(20))
        until(lambda: world.told["met"] == 20)
        learner = world.stages[HUB].learner
        until(lambda: learner.bypassed)
        assert learner.waiting == 20
    never.set()


@pytest.mark.parametrize("policy", ["toof", "ecolog"])
def test_a_dispatcher_that_is_begun_again_knows_what_the_learner_kept(tmp_path: Path, policy: str) -> None:
    """With the real learner on a disk, to the bit; its second process numbers its bits from 1 again."""
    service = LearnerService(tmp_path / "learner")

    def learner(stage: Any) -> link.Link:
        return _link(stage, lambda method, *args: getattr(service, method)(*args))

    states = []
    for turn in (1, 2):
        offload_code.reset()
        with World(tmp_path / str(turn), recipe_of("ab"), policy, learner=learner) as world:
            until(lambda world=world: world.there("ab"))  # type: ignore[misc]
            states.append(world.dispatch._desk.roster.state())
            world.give(*range(10))
            until(lambda world=world: world.told["met"] == 10)  # type: ignore[misc]
            until(lambda world=world: world.stages[HUB].learner.waiting == 0)  # type: ignore[misc]
            states.append(world.dispatch._desk.roster.state())
        assert service.views()["shop"]["items"] == 10 * turn
    assert states[0]["estimates"]["theta"] != states[1]["estimates"]["theta"]
    assert states[2]["estimates"] == states[1]["estimates"]


def _link(stage: Any, call: Any) -> link.Link:
    return link.Link(call, JobId("shop"), stage.spawn, stage.stop)


def test_a_state_that_is_of_another_job_is_left_out(tmp_path: Path) -> None:
    with World(
        tmp_path, recipe_of("ab"), "toof", learner=Learner(has={"estimates": {"theta": [[1.0]]}})
    ) as world:
        world.give(1)
        until(lambda: world.told["met"] == 1)
