"""A flow: order, bounds, the clean end, stopping, and what is refused."""

from __future__ import annotations

import socket as sockets
import threading
import time
from typing import Any

import numpy as np
import pytest
import zmq
from flow_ends import DEADLINE_S, Background, Flows, receive_all, send_all, wait_until

from edgeray.dataplane import (
    EndOfStream,
    FlowReceiver,
    FlowSecurity,
    FlowSender,
    Item,
    new_flow_security,
)
from edgeray.dataplane.messages import END, ENTRY, HEADER, HELLO, ITEM, ITEMS, MAGIC, VERSION, message
from edgeray.errors import FlowError


def free_port() -> int:
    with sockets.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("security", [None, new_flow_security()], ids=["plain", "curve"])
@pytest.mark.parametrize("copy", [False, True])
def test_items_arrive_in_order_and_end(flows: Flows, security: FlowSecurity | None, copy: bool) -> None:
    receiver = flows.receiver(security=security and security.for_receiver())
    sender = flows.sender(receiver.port, security=security and security.for_sender(), copy=copy)
    values = [
        {"n": n, "image": np.full((300, 400), n, np.uint8), "jpeg": bytes([n]) * 40_000} for n in range(30)
    ]
    sending = Background(lambda: send_all(sender, values))
    items = receive_all(receiver)
    assert sending.result() is True
    assert [item.number for item in items] == list(range(30))
    for item, value in zip(items, values, strict=True):
        assert item.value["n"] == value["n"]
        assert item.value["jpeg"] == value["jpeg"]
        assert (item.value["image"] == value["image"]).all()
        item.value["image"][:] = 0  # nobody else holds it
        assert item.created_s == float(item.number)
        assert abs(time.time() - item.sent_s) < 60
    assert sender.items == receiver.items == 30
    assert sender.payload_bytes == receiver.payload_bytes == sum(item.payload_bytes for item in items)
    assert sender.payload_bytes > 30 * (300 * 400 + 40_000)
    assert sender.queued == 0


@pytest.mark.parametrize("items", [1, 3, 1000])
def test_bursts_of_small_items(flows: Flows, items: int) -> None:
    sender, receiver = flows.pair(items=items)
    values = [n if n % 3 else b"%d" % n * (n % 7) for n in range(3000)]
    values[1500] = np.zeros(50_000)  # a large one amid the burst keeps its place
    sending = Background(lambda: send_all(sender, values))
    found = receive_all(receiver)
    assert sending.result() is True
    assert [item.number for item in found] == list(range(3000))
    assert [item.value for item in found if item.number != 1500] == [*values[:1500], *values[1501:]]
    assert sender.payload_bytes == receiver.payload_bytes


def test_the_last_items_of_a_burst_arrive_without_another_call(flows: Flows) -> None:
    sender, receiver = flows.pair(items=1000)
    for number in range(100):
        sender.send(number, number, created_s=0.0)
    for number in range(100):
        item = receiver.receive(DEADLINE_S)
        assert isinstance(item, Item)
        assert item.value == number


def test_the_end_of_an_empty_stream_is_told_as_often_as_asked(flows: Flows) -> None:
    sender, receiver = flows.pair()
    sending = Background(lambda: sender.finish(0))
    assert receive_all(receiver) == []
    assert receiver.receive(0) == EndOfStream(0)
    assert sending.result() is True
    assert sender.finish(0) is True


def test_a_blocked_sender_has_sent_the_window_and_no_more(flows: Flows) -> None:
    sender, receiver = flows.pair(items=3)
    sending = Background(lambda: send_all(sender, list(range(20))))
    for taken in range(10):
        wait_until(
            lambda taken=taken: sender.items == taken + 3, f"the sender fills the window after {taken}"
        )
        threading.Event().wait(0.06)  # time to do wrong: longer than it takes to look again
        assert sender.items == taken + 3
        assert sender.queued == 3
        assert isinstance(receiver.receive(DEADLINE_S), Item)
    sender.close()
    assert sending.result() is False


def test_bytes_bound_the_window_too(flows: Flows) -> None:
    sender, receiver = flows.pair(items=1000, size=2_000_000)
    sending = Background(lambda: send_all(sender, [np.zeros(1_000_000, np.uint8)] * 6))
    wait_until(lambda: sender.items == 2, "the sender fills the window")
    threading.Event().wait(0.06)
    assert sender.items == 2
    assert len(receive_all(receiver)) == 6
    assert sending.result() is True


def test_an_item_larger_than_the_window_passes(flows: Flows) -> None:
    sender, receiver = flows.pair(items=1, size=1)
    sending = Background(lambda: send_all(sender, [np.zeros(3_000_000, np.uint8)] * 3))
    assert len(receive_all(receiver)) == 3
    assert sending.result() is True


def test_the_sender_may_come_first(flows: Flows) -> None:
    port = free_port()
    sender = flows.sender(port)
    sending = Background(lambda: send_all(sender, list(range(10))))
    wait_until(lambda: sender.items == 4, "the sender fills the window on its own")
    assert not sender.connected
    receiver = flows.receiver(port=port)
    assert [item.value for item in receive_all(receiver)] == list(range(10))
    assert sending.result() is True


def test_nobody_listens(flows: Flows) -> None:
    sender = flows.sender(free_port(), connect_timeout_s=0.2, name="job1/a->b")
    with pytest.raises(FlowError, match=r"job1/a->b to 127\.0\.0\.1:\d+: no connection within 0\.2 s"):
        send_all(sender, list(range(10)))
    with pytest.raises(FlowError, match="no connection"):  # and again, on every later call
        sender.finish(4)


def test_a_port_in_use_is_named(flows: Flows) -> None:
    taken = flows.receiver()
    with pytest.raises(FlowError, match=f"127.0.0.1:{taken.port}: cannot listen"):
        flows.receiver(port=taken.port)


def test_a_wrong_key_is_refused_and_the_right_one_still_let_in(flows: Flows) -> None:
    keys, strangers = new_flow_security(), new_flow_security()
    stranger = FlowSecurity(
        server_public=keys.server_public,
        client_public=strangers.client_public,
        client_secret=strangers.client_secret,
    )
    receiver = flows.receiver(security=keys.for_receiver())
    refused = flows.sender(receiver.port, security=stranger)
    with pytest.raises(FlowError, match="refused us"):
        send_all(refused, ["stolen"])
    assert receiver.refused >= 1
    assert receiver.receive(0) is None
    sender = flows.sender(receiver.port, security=keys.for_sender())
    sending = Background(lambda: send_all(sender, ["mine"]))
    assert [item.value for item in receive_all(receiver)] == ["mine"]
    assert sending.result() is True


@pytest.mark.parametrize("keys", [None, new_flow_security()], ids=["none", "of another server"])
def test_a_sender_without_the_servers_key_gets_nowhere(flows: Flows, keys: FlowSecurity | None) -> None:
    receiver = flows.receiver(security=new_flow_security())
    sender = flows.sender(receiver.port, security=keys, connect_timeout_s=0.5)
    with pytest.raises(FlowError, match="no connection"):
        send_all(sender, list(range(10)))
    assert receiver.receive(0) is None


def test_each_end_needs_its_own_secret(flows: Flows) -> None:
    keys = new_flow_security()
    assert keys.for_sender().server_secret is None
    assert keys.for_receiver().client_secret is None
    assert (keys.server_secret or "?") not in repr(keys)
    with pytest.raises(FlowError, match="lack server_secret"):
        flows.receiver(security=keys.for_sender())
    with pytest.raises(FlowError, match="lack client_secret"):
        flows.sender(1, security=keys.for_receiver())


def test_stop_frees_a_blocked_sender(flows: Flows) -> None:
    sender, _ = flows.pair(items=1)
    stop = threading.Event()
    sender.send(0, 0, created_s=0.0, stop=stop)
    sending = Background(lambda: (sender.send(1, 1, created_s=0.0, stop=stop), sender.finish(1, stop=stop)))
    threading.Event().wait(0.06)
    assert sending.is_alive()
    stop.set()
    assert sending.result(1.0) == (False, False)


def test_close_frees_whoever_is_blocked(flows: Flows) -> None:
    sender, _ = flows.pair(items=1)
    sender.send(0, 0, created_s=0.0)
    blocked = Background(lambda: sender.send(1, 1, created_s=0.0))
    threading.Event().wait(0.06)
    assert blocked.is_alive()
    sender.close()
    assert blocked.result(1.0) is False

    other = flows.receiver()
    waiting = Background(lambda: other.receive(60.0))
    threading.Event().wait(0.06)
    assert waiting.is_alive()
    other.close()
    assert waiting.result(1.0) is None
    assert other.receive(60.0) is None


def test_receive_keeps_its_time(flows: Flows) -> None:
    receiver = flows.receiver()
    for timeout_s in (0.0, 0.02, 0.2):
        began_s = time.monotonic()
        assert receiver.receive(timeout_s) is None
        assert timeout_s * 0.9 <= time.monotonic() - began_s < timeout_s + 0.5


def test_what_cannot_be_pickled_is_named_and_the_flow_goes_on(flows: Flows) -> None:
    sender, receiver = flows.pair()
    with pytest.raises(FlowError, match="item 0, a function, cannot be sent"):
        sender.send(0, lambda: None, created_s=0.0)
    sending = Background(lambda: send_all(sender, ["fine"]))
    assert [item.value for item in receive_all(receiver)] == ["fine"]
    assert sending.result() is True


def test_the_sender_must_number_its_items(flows: Flows) -> None:
    sender, _ = flows.pair()
    with pytest.raises(FlowError, match="item 1 given to send, expected item 0"):
        sender.send(1, None, created_s=0.0)


def test_a_wrong_count_breaks_both_ends(flows: Flows) -> None:
    sender, receiver = flows.pair()
    sender.send(0, "only", created_s=0.0)
    sending = Background(lambda: sender.finish(2))
    assert isinstance(receiver.receive(DEADLINE_S), Item)
    with pytest.raises(FlowError, match="ended after 2 items, but 1 came"):
        receiver.receive(DEADLINE_S)
    with pytest.raises(FlowError, match="receiver gave up: the stream ended after 2 items, but 1 came"):
        sending.result()
    with pytest.raises(FlowError, match="ended after 2 items"):
        receiver.receive(0)


def test_a_close_without_finish_is_not_a_clean_end(flows: Flows) -> None:
    sender, receiver = flows.pair()
    sender.send(0, "only", created_s=0.0)
    assert isinstance(receiver.receive(DEADLINE_S), Item)
    sender.close()
    with pytest.raises(FlowError, match="sender went away before the end"):
        receiver.receive(DEADLINE_S)


def test_windows_must_agree(flows: Flows) -> None:
    receiver = flows.receiver(items=4)
    sender = flows.sender(receiver.port, items=5)
    sender.send(0, None, created_s=0.0)
    with pytest.raises(FlowError, match="window is 5 items"):
        receiver.receive(DEADLINE_S)


def _item(number: int, value: bytes = b"bx", further: int = 0) -> bytes:
    return HEADER.pack(MAGIC, ITEM, further, number, 0.0, 0.0) + value


HELLO_MESSAGE = message(HELLO, number=VERSION, first=4, second=1 << 24)
FOREIGN: dict[str, tuple[list[list[bytes]], str]] = {
    "empty": ([[b""]], "none of a flow's"),
    "text": ([[b"GET / HTTP/1.1 and so on, longer than a header"]], "none of a flow's"),
    "no greeting": ([[_item(0)]], "before the greeting"),
    "another version": ([[message(HELLO, number=99, first=4, second=1 << 24)]], "version 99"),
    "second greeting": ([[HELLO_MESSAGE], [HELLO_MESSAGE]], "began anew"),
    "gap": ([[HELLO_MESSAGE], [_item(0)], [_item(2)]], "item 2 came, expected item 1"),
    "again": ([[HELLO_MESSAGE], [_item(0)], [_item(0)]], "item 0 came, expected item 1"),
    "early end": ([[HELLO_MESSAGE], [_item(0)], [message(END, number=0)]], "ended after 0 items, but 1 came"),
    "unknown": ([[HELLO_MESSAGE], [message(77)]], "message 77"),
    "no pickle": ([[HELLO_MESSAGE], [_item(0, b"p\x80\x05junk")]], "item 0: an item cannot be decoded"),
    "no value": ([[HELLO_MESSAGE], [_item(0, b"")]], "unknown kind"),
    "missing frames": ([[HELLO_MESSAGE], [_item(0, b"B", further=2), b"one"]], "with 1 frames, expected 2"),
    "cut short": (
        [[HELLO_MESSAGE], [HEADER.pack(MAGIC, ITEMS, 0, 0, 0.0, 0.0) + ENTRY.pack(99, 0.0, 0.0) + b"bx"]],
        "cut short",
    ),
    "cut in an entry": ([[HELLO_MESSAGE], [HEADER.pack(MAGIC, ITEMS, 0, 0, 0.0, 0.0) + b"x"]], "cut short"),
    "bad in a burst": (
        [
            [HELLO_MESSAGE],
            [
                HEADER.pack(MAGIC, ITEMS, 0, 0, 0.0, 0.0)
                + (ENTRY.pack(2, 0.0, 0.0) + b"bx" + ENTRY.pack(2, 0.0, 0.0) + b"?x")
            ],
        ],
        "item 1: an item of unknown kind",
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_no_item_is_a_flow_error(flows: Flows, case: str) -> None:
    messages, expected = FOREIGN[case]
    receiver = flows.receiver()
    with zmq.Context() as context, context.socket(zmq.PAIR) as stranger:
        stranger.linger = 0
        stranger.connect(f"tcp://127.0.0.1:{receiver.port}")
        for frames in messages:
            stranger.send_multipart(frames)
        with pytest.raises(FlowError, match=expected):
            while receiver.receive(DEADLINE_S) is not None:
                pass


def test_pacing_holds_and_can_be_lifted(flows: Flows) -> None:
    sender, receiver = flows.pair(items=4, pacing_bps=8e6)
    received = Background(lambda: receive_all(receiver))
    began_s = time.monotonic()
    for number in range(50):
        sender.send(number, bytes(40_000), created_s=0.0)
    # 2 MB at 1 MB/s, less the window, and less TCP's ten first segments, which loopback's MTU makes 0.64 MB.
    assert 0.6 < time.monotonic() - began_s < 6.0
    sender.pace(None)
    began_s = time.monotonic()
    for number in range(50, 450):
        sender.send(number, bytes(40_000), created_s=0.0)
    assert sender.finish(450)
    assert time.monotonic() - began_s < 8.0  # 16 s at the old rate
    assert len(received.result()) == 450


def test_windows_of_nothing_are_refused() -> None:
    arguments: dict[str, Any] = {"security": None, "max_items": 0, "max_bytes": 1}
    for end in (FlowSender, FlowReceiver):
        with pytest.raises(ValueError, match="at least 1"):
            end("127.0.0.1", 1, **arguments)


def test_a_process_may_have_hundreds_of_flows(flows: Flows) -> None:
    """A server of many clients; libzmq's own limit is 1023 sockets, and each end takes three."""
    receivers = [flows.receiver() for _ in range(360)]
    sender = flows.sender(receivers[-1].port)
    sending = Background(lambda: send_all(sender, ["heard"]))
    assert [item.value for item in receive_all(receivers[-1])] == ["heard"]
    assert sending.result() is True
