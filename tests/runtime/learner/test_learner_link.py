"""A dispatcher's link: it never waits for the learner, and the learner gets every bit once when it is there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_cases import JOB, about, feedback, policy_that_saw, quick_disk
from learner_ends import DEADLINE_S, Desk, Head, until

from edgeray.learner import link as link_module
from edgeray.learner.link import Link


@pytest.fixture(autouse=True)
def quick_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """What links do some times a second they do a hundred times."""
    monkeypatch.setattr(link_module, "PACE_S", 0.0)
    monkeypatch.setattr(link_module, "RETRY_S", 0.01)
    monkeypatch.setattr(link_module, "KEEP_S", 0.0)
    monkeypatch.setattr(link_module, "_TICK_S", 0.01)
    monkeypatch.setattr(link_module, "FAREWELL_S", 5.0)


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    found = Head(tmp_path / "learner")
    yield found
    found.open_line.set()


@pytest.fixture
def desk(head: Head) -> Iterator[Desk]:
    made = Desk(head)
    yield made
    head.open_line.set()
    made.end()


def settle(desk: Desk) -> None:
    until(lambda: desk.link.waiting == 0, f"{desk.link.waiting} bits have not arrived")


def test_bits_arrive_and_the_next_life_goes_on_with_them(head: Head, desk: Desk) -> None:
    assert desk.link.restore(about()) is None
    desk.learn(*range(1, 251))
    settle(desk)
    expected = policy_that_saw(range(1, 251)).state()
    assert head.learner.open(JOB, about()) == desk.policy.state() == expected
    after = Desk(head)
    try:
        assert after.link.restore(about()) == expected
        after.policy.restore(expected)
        after.learn(*range(251, 261))
        settle(after)
        assert (
            head.learner.open(JOB, about()) == after.policy.state() == policy_that_saw(range(1, 261)).state()
        )
        assert not after.link.bypassed
    finally:
        after.end()


def test_a_learner_that_is_away_is_bypassed_and_gets_all_when_it_is_back(head: Head, desk: Desk) -> None:
    desk.link.restore(about())
    desk.learn(*range(1, 6))
    settle(desk)
    head.cut = True
    desk.learn(*range(6, 300))
    until(lambda: desk.link.bypassed, "nobody notices that it is away")
    desk.learn(*range(300, 306))
    assert desk.link.waiting == 300
    head.start_again()
    head.cut = False
    settle(desk)
    until(lambda: not desk.link.bypassed, "nobody notices that it is back")
    assert head.learner.open(JOB, about()) == desk.policy.state()
    assert head.learner.views()[JOB]["items"] == 305


def test_answers_that_are_lost_double_nothing(head: Head, desk: Desk) -> None:
    desk.link.restore(about())
    for number in range(1, 30):
        head.answers_lost = number % 3
        desk.learn(number)
        settle(desk)
    assert head.learner.views()[JOB]["items"] == 29
    assert head.learner.open(JOB, about()) == policy_that_saw(range(1, 30)).state()


def test_a_learner_that_blocks_holds_nobody_up(
    head: Head, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "RESTORE_S", 0.05)
    monkeypatch.setattr(link_module, "ANSWER_S", 0.05)
    monkeypatch.setattr(link_module, "FAREWELL_S", 0.05)
    head.open_line.clear()
    assert desk.link.restore(about()) is None
    until(lambda: desk.link.bypassed, "nobody notices that it does not answer")
    desk.learn(*range(1, 11))
    assert head.asked == ["open"]  # one question at a time
    head.open_line.set()
    settle(desk)
    until(lambda: not desk.link.bypassed, "nobody notices that it answers")
    assert head.learner.open(JOB, about()) == desk.policy.state()
    head.open_line.clear()
    desk.learn(11)
    desk.end()  # also while it blocks


def test_a_restore_waits_for_a_learner_that_is_being_started(head: Head, desk: Desk) -> None:
    desk.link.restore(about())
    desk.learn(*range(1, 6))
    settle(desk)
    head.cut = True
    threading.Timer(0.1, lambda: setattr(head, "cut", False)).start()
    assert desk.link.restore(about()) == policy_that_saw(range(1, 6)).state()


def test_bits_are_told_before_the_end(head: Head, desk: Desk) -> None:
    desk.link.restore(about())
    desk.learn(*range(1, 151))
    desk.end()
    assert desk.link.waiting == 0
    assert head.learner.views()[JOB]["items"] == 150


def test_a_learner_that_lost_its_disk_is_brought_what_the_dispatcher_knows(
    head: Head, desk: Desk, tmp_path: Path
) -> None:
    desk.link.restore(about())
    desk.learn(*range(1, 41))
    settle(desk)
    head.start_again(tmp_path / "empty")
    desk.learn(*range(41, 44))
    settle(desk)
    desk.learn(*range(44, 60))
    settle(desk)
    assert head.learner.open(JOB, about()) == desk.policy.state() == policy_that_saw(range(1, 60)).state()


def test_a_learner_with_an_old_copy_of_its_disk_is_brought_it_too(head: Head, desk: Desk) -> None:
    desk.link.restore(about())
    desk.learn(*range(1, 11))
    settle(desk)
    files = [path for path in head.folder.rglob("*") if path.is_file()]
    copy = {path: path.read_bytes() for path in files}
    desk.learn(*range(11, 31))
    settle(desk)
    for path in head.folder.rglob("*"):
        if path.is_file():
            path.unlink()
    for path, content in copy.items():
        path.write_bytes(content)
    head.start_again()
    desk.learn(31)
    settle(desk)
    assert head.learner.open(JOB, about()) == policy_that_saw(range(1, 32)).state()


def test_without_a_replica_a_learner_that_lost_its_disk_begins_with_what_comes(
    head: Head, tmp_path: Path
) -> None:
    desk = Desk(head, backed=False)
    try:
        desk.link.restore(about())
        desk.learn(*range(1, 41))
        settle(desk)
        head.start_again(tmp_path / "empty")
        desk.learn(*range(41, 51))
        settle(desk)
        assert head.learner.open(JOB, about()) == policy_that_saw(range(41, 51)).state()
    finally:
        desk.end()


def hold_back(desk: Desk, head: Head, number: int) -> None:
    """Learn from a bit whose batch is on its way until the line opens."""
    asked = len(head.asked)
    head.open_line.clear()
    desk.learn(number)
    until(lambda: len(head.asked) > asked, "it is not told")


def test_a_bit_that_is_given_up_on_its_way_and_arrives_counts_once(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "MOST_BITS", 20)
    desk = Desk(head, backed=False)
    try:
        desk.link.restore(about())
        hold_back(desk, head, 1)
        desk.learn(*range(2, 24))
        assert desk.link.given_up == 3
        head.open_line.set()
        settle(desk)
        # The first arrived; the second and third did not.
        assert desk.link.given_up == 2
        assert head.learner.open(JOB, about()) == policy_that_saw([1, *range(4, 24)]).state()
    finally:
        desk.end()


@pytest.mark.parametrize("backed", [True, False])
@pytest.mark.parametrize("too_many", [1, 37])
def test_what_waits_is_bounded(
    head: Head, backed: bool, too_many: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link_module, "MOST_BITS", 20)
    desk = Desk(head, backed=backed)
    try:
        desk.link.restore(about())
        desk.learn(1, 2)
        settle(desk)
        hold_back(desk, head, 3)
        head.cut = True
        desk.learn(*range(4, 23 + too_many))
        assert desk.link.waiting == 20 and desk.link.given_up == too_many
        assert "the oldest are given up" in caplog.text
        asked = len(head.asked)
        head.open_line.set()
        until(lambda: len(head.asked) > asked, "it does not try again")  # so the third did not arrive
        head.cut = False
        settle(desk)
        assert desk.link.given_up == too_many
        # A dispatcher's own state has all; bits alone lack those that were given up.
        seen = range(1, 23 + too_many) if backed else [1, 2, *range(3 + too_many, 23 + too_many)]
        assert head.learner.open(JOB, about()) == policy_that_saw(seen).state()
    finally:
        desk.end()


def test_doubles_and_what_is_no_bit_are_left_out(
    head: Head, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.link.restore(about())
    desk.learn(*range(1, 6))
    desk.link.tell(feedback(3))
    bad = feedback(6)
    desk.link.tell(replace(bad, offer=replace(bad.offer, queue=np.ones(7))))
    desk.learn(6)
    settle(desk)
    assert desk.link.given_up == 1 and "queue of its offer" in caplog.text
    assert head.learner.open(JOB, about()) == policy_that_saw(range(1, 7)).state()


def test_names_of_rows_are_those_of_the_job_where_none_are_told(head: Head, desk: Desk) -> None:
    desk.link.restore(about())
    for number in range(1, 11):
        desk.link.tell(replace(feedback(number), helpers=()))
    settle(desk)
    assert head.learner.open(JOB, about()) == policy_that_saw(range(1, 11)).state()


def test_the_newest_state_that_is_kept(head: Head, desk: Desk, tmp_path: Path) -> None:
    told = {"policy": "djos", "helpers": [], "dimensions": 0, "seed": 0}
    assert desk.link.restore(told) is None
    for number in range(100):
        desk.link.keep({"X": number})
    until(lambda: head.learner.open(JOB, told) == {"X": 99}, "the newest does not arrive")
    head.start_again(tmp_path / "empty")
    desk.link.keep({"X": 100})
    until(lambda: JOB in head.learner.views() and head.learner.open(JOB, told) == {"X": 100}, "it is lost")
    with pytest.raises(ValueError, match="plain data"):
        desk.link.keep({"X": object()})
    with pytest.raises(ValueError, match="JSON"):
        desk.link.keep({"X": float("nan")})
    desk.link.keep({"X": 101})
    desk.end()
    assert head.learner.open(JOB, told) == {"X": 101}


@pytest.mark.parametrize("answer", [None, "7", -2, 1.0, True])
def test_an_answer_that_is_none_counts_as_none(answer: Any) -> None:
    def call(method: str, *args: Any) -> Any:
        return None if method == "open" else answer

    stop = threading.Event()
    threads: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()

    def spawn(name: str, body: Callable[[], None]) -> None:
        thread = threading.Thread(target=body, daemon=True)
        threads.put(thread)
        thread.start()

    link = Link(call, JOB, spawn, stop)
    link.restore(about())
    link.tell(feedback(1))
    until(lambda: link.bypassed, "it takes the answer for one")
    assert link.waiting == 1
    stop.set()
    threads.get().join(DEADLINE_S)


CHANCES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "learn",
                "cut",
                "mend",
                "lose answers",
                "start again",
                "lose the disk",
                "settle",
                "dispatcher dies",
            ]
        ),
        st.integers(1, 5),
    ),
    max_size=14,
)


@given(steps=CHANCES)
@settings(max_examples=40, deadline=None)
def test_whatever_happens_the_learner_comes_to_what_the_dispatcher_knows(
    steps: list[tuple[str, int]],
) -> None:
    """Only bits that a dispatcher had not brought when it died are lost, with what the disk had of them."""
    with quick_disk() as folder:
        head = Head(folder / "0")
        desk, number, disks = Desk(head), 0, 0
        desk.link.restore(about())
        for step, value in steps:
            if step == "learn":
                desk.learn(*range(number + 1, number + value + 1))
                number += value
            elif step in ("cut", "mend"):
                head.cut = step == "cut"
            elif step == "lose answers":
                head.answers_lost = value
            elif step == "start again":
                head.start_again()
            elif step == "lose the disk":
                disks += 1
                head.start_again(folder / str(disks))
            else:
                head.cut = False
                settle(desk)
                if step == "dispatcher dies":
                    desk.end()
                    desk = Desk(head)
                    restored = desk.link.restore(about())
                    if restored is not None:
                        desk.policy.restore(restored)
        head.cut = False
        number += 1
        desk.learn(number)
        settle(desk)
        desk.end()
        assert head.learner.open(JOB, about()) == desk.policy.state()
