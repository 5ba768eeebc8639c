"""A receiver that tells of each item when it has been worked on."""

from __future__ import annotations

import time

import pytest
from flow_ends import DEADLINE_S, Background, Flows, wait_until

from edgeray.dataplane import Answer, EndOfStream, FlowReceiver, FlowSender, new_flow_security
from edgeray.errors import FlowError


def answering(flows: Flows, *, secure: bool = False) -> tuple[FlowSender, FlowReceiver]:
    keys = new_flow_security()
    receiver = flows.receiver(security=keys.for_receiver() if secure else None, answers=True)
    sender = flows.sender(receiver.port, security=keys.for_sender() if secure else None, answers=True)
    return sender, receiver


def listen(sender: FlowSender, count: int) -> list[Answer]:
    by_s, found = time.monotonic() + DEADLINE_S, []
    while len(found) < count and time.monotonic() < by_s:
        found += sender.listen(0.2)
    return found


@pytest.mark.parametrize("secure", [False, True])
def test_each_item_is_answered_while_the_receiver_waits_for_the_next(flows: Flows, secure: bool) -> None:
    sender, receiver = answering(flows, secure=secure)
    for number in range(20):
        sender.send(number, number, created_s=0.0)
        came = receiver.receive(DEADLINE_S)
        assert came is not None
        waits = Background(lambda: receiver.receive(0.3))
        receiver.answer(number, 0.25 + number)
        [answer] = listen(sender, 1)
        assert (answer.number, answer.busy_s) == (number, 0.25 + number)
        assert 0 <= answer.held_s < DEADLINE_S
        assert waits.result() is None


def test_what_was_done_while_nobody_received_says_how_long_ago_that_was(flows: Flows) -> None:
    sender, receiver = answering(flows)
    sender.send(0, b"x", created_s=0.0)
    assert receiver.receive(DEADLINE_S) is not None
    receiver.answer(0, 1.0)
    done_s = time.monotonic()
    assert sender.listen(0.2) == []
    waited_s = time.monotonic() - done_s
    waits = Background(lambda: receiver.receive(0.3))
    [answer] = listen(sender, 1)
    assert answer.held_s >= waited_s
    waits.result()


def test_wake_and_close_end_the_listening(flows: Flows) -> None:
    sender, receiver = answering(flows)
    sender.send(0, b"x", created_s=0.0)
    assert receiver.receive(DEADLINE_S) is not None
    for wakes in (sender.wake, sender.close):
        began_s = time.monotonic()
        listening = Background(lambda: sender.listen(60.0))
        wait_until(listening.is_alive, "listening")
        wakes()
        assert listening.result() == []
        assert time.monotonic() - began_s < DEADLINE_S
    assert sender.listen(60.0) == []
    sender.wake()  # does no harm


def test_small_items_of_a_burst_go_before_it_listens(flows: Flows) -> None:
    sender, receiver = answering(flows)
    sender.send(0, b"x", created_s=0.0)
    sender.send(1, b"y", created_s=0.0)
    sender.send(2, b"z", created_s=0.0)
    listening = Background(lambda: sender.listen(60.0))
    assert [receiver.receive(DEADLINE_S).number for _ in range(3)] == [0, 1, 2]  # type: ignore[union-attr]
    sender.wake()
    listening.result()


def test_a_peer_that_went_is_heard_of_and_late_answers_do_no_harm(flows: Flows) -> None:
    sender, receiver = answering(flows)
    sender.send(0, b"x", created_s=0.0)
    assert receiver.receive(DEADLINE_S) is not None
    receiver.close()
    receiver.answer(0, 1.0)
    with pytest.raises(FlowError, match="the receiver went away"):
        listen(sender, 1)


def test_the_end_comes_after_all_answers(flows: Flows) -> None:
    sender, receiver = answering(flows)
    values = list(range(50))

    def work() -> int:
        while not isinstance(item := receiver.receive(DEADLINE_S), EndOfStream):
            assert item is not None
            receiver.answer(item.number, 0.0)
        return item.items

    working = Background(work)
    found: list[Answer] = []
    for number in values:
        assert sender.send(number, number, created_s=0.0)
        found += sender.listen(0.0)
    found += listen(sender, len(values) - len(found))
    assert sender.finish(len(values))
    assert working.result() == len(values)
    assert [answer.number for answer in found] == values
