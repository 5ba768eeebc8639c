"""Peers that are killed or fall silent: the other end says so by name, within seconds, and never hangs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from flow_ends import DEADLINE_S, Background, Flows, wait_until

from edgeray.dataplane import FlowSecurity, FlowSender, Item, new_flow_security
from edgeray.errors import FlowError

KEYS = new_flow_security()

PRELUDE = """
import sys
from edgeray.dataplane import FlowReceiver, FlowSecurity, FlowSender
from edgeray.errors import FlowError
def keys(*found):
    return FlowSecurity(**dict(zip(("server_public", "client_public", "server_secret", "client_secret"), found)))
"""
RECEIVER = """
receiver = FlowReceiver(ADDRESS, PORT, security=SECURITY, max_items=4, max_bytes=1 << 24, peer_timeout_s=1.0)
print(receiver.port, flush=True)
print(receiver.receive(30.0).value, flush=True)
try:
    while HUNGRY:
        receiver.receive(30.0)
except FlowError as error:
    print(error, flush=True)
sys.stdin.read()
"""
SENDER = """
sender = FlowSender(ADDRESS, PORT, security=SECURITY, max_items=4, max_bytes=1 << 24, peer_timeout_s=1.0)
for number in range(3):
    sender.send(number, number, created_s=0.0)
print("sent", flush=True)
try:
    while HUNGRY:
        sender.send(sender.items, 0, created_s=0.0)
except FlowError as error:
    print(error, flush=True)
sys.stdin.read()
"""


@contextmanager
def process(
    script: str,
    *,
    port: int = 0,
    address: str = "127.0.0.1",
    security: FlowSecurity | None = None,
    hungry: bool = False,
    enter: tuple[str, ...] = (),
) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs one end of a flow; killed in the end."""
    shown = security and "keys" + repr(
        (security.server_public, security.client_public, security.server_secret, security.client_secret)
    )
    values = {"ADDRESS": repr(address), "PORT": str(port), "SECURITY": str(shown), "HUNGRY": str(hungry)}
    for name, value in values.items():
        script = script.replace(name, value)
    command = [*enter, sys.executable, "-c", PRELUDE + script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as found:
        try:
            yield found
        finally:
            found.kill()


def line(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return str(Background(running.stdout.readline).result(15.0)).strip()


@pytest.mark.parametrize("security", [None, KEYS], ids=["plain", "curve"])
def test_a_killed_receiver_fails_the_blocked_sender(flows: Flows, security: FlowSecurity | None) -> None:
    with process(RECEIVER, security=security) as receiver:
        sender = flows.sender(int(line(receiver)), security=security, name="a->b")
        for number in range(5):  # one is taken, four fill the window
            sender.send(number, number, created_s=0.0)
        assert line(receiver) == "0"
        blocked = Background(lambda: sender.send(5, 5, created_s=0.0))
        receiver.kill()
        with pytest.raises(FlowError, match=r"flow a->b to 127.*receiver went away; 5 items sent"):
            blocked.result(3.0)


def finish_or_send(sender: FlowSender, finishes: bool) -> None:
    if finishes:
        sender.finish(1)
    while sender.send(sender.items, 0, created_s=0.0):
        pass


def test_a_killed_receiver_fails_a_sender_that_has_room_and_one_that_finishes(flows: Flows) -> None:
    for finishes in (False, True):
        with process(RECEIVER) as receiver:
            sender = flows.sender(int(line(receiver)))
            sender.send(0, 0, created_s=0.0)
            assert line(receiver) == "0"
            receiver.kill()
            receiver.wait()

            with pytest.raises(FlowError, match="receiver went away"):
                Background(partial(finish_or_send, sender, finishes)).result(3.0)


@pytest.mark.parametrize("security", [None, KEYS], ids=["plain", "curve"])
def test_a_killed_sender_is_no_clean_end(flows: Flows, security: FlowSecurity | None) -> None:
    receiver = flows.receiver(security=security)
    with process(SENDER, port=receiver.port, security=security) as sender:
        assert line(sender) == "sent"
        assert isinstance(receiver.receive(DEADLINE_S), Item)
        sender.kill()
        sender.wait()
    # What arrived before is still given out; then the loss is told, and told again.
    assert [receiver.receive(DEADLINE_S).value for _ in range(2)] == [1, 2]  # type: ignore[union-attr]
    for _ in range(2):
        with pytest.raises(
            FlowError, match="sender went away before the end of the stream; 3 items received"
        ):
            Background(lambda: receiver.receive(60.0)).result(3.0)


def test_a_stranger_that_leaves_is_not_the_senders_loss(flows: Flows) -> None:
    receiver = flows.receiver(security=KEYS)
    sender = flows.sender(receiver.port, security=KEYS)
    sender.send(0, 0, created_s=0.0)
    assert isinstance(receiver.receive(DEADLINE_S), Item)
    stranger = flows.sender(receiver.port, security=new_flow_security(), connect_timeout_s=0.3)
    with pytest.raises(FlowError, match="no connection"):
        stranger.finish(0)
    assert receiver.receive(0.2) is None
    sender.send(1, 1, created_s=0.0)
    item = receiver.receive(DEADLINE_S)
    assert isinstance(item, Item)
    assert item.value == 1


def test_a_sender_that_connects_anew_ends_the_flow_of_the_one_before(flows: Flows) -> None:
    """Only the peer has its key: it was started anew, though its first connection still seems to be alive."""
    receiver = flows.receiver(security=KEYS)
    first = flows.sender(receiver.port, security=KEYS)
    first.send(0, 0, created_s=0.0)
    assert isinstance(receiver.receive(DEADLINE_S), Item)
    flows.sender(receiver.port, security=KEYS)
    with pytest.raises(FlowError, match="sender went away"):
        Background(lambda: receiver.receive(60.0)).result(3.0)


def test_a_sender_of_one_attempt_neither_tries_again_nor_comes_back(flows: Flows) -> None:
    receiver = flows.receiver(security=KEYS)
    port = receiver.port
    sender = flows.sender(port, security=KEYS, once=True)
    sender.send(0, 0, created_s=0.0)
    assert isinstance(receiver.receive(DEADLINE_S), Item)
    receiver.close()
    wait_until(lambda: broken(sender), "the sender knows")
    nobody = flows.sender(port, security=KEYS, once=True)
    wait_until(lambda: broken(nobody), "nobody listens")
    with pytest.raises(FlowError, match="no connection: nothing listens there"):
        nobody.finish(0)


def broken(sender: FlowSender) -> bool:
    try:
        sender.check()
    except FlowError:
        return True
    return False


@contextmanager
def two_namespaces() -> Iterator[tuple[str, str]]:
    names = (f"edgeray-flow-{os.getpid()}-a", f"edgeray-flow-{os.getpid()}-b")
    made = []

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
        ip("-n", names[0], "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", names[1])
        for name, address in zip(names, ("10.254.253.1/30", "10.254.253.2/30"), strict=True):
            ip("-n", name, "address", "add", address, "dev", "veth0")
            ip("-n", name, "link", "set", "veth0", "up")
        yield names
    finally:
        for name in made:
            ip("netns", "delete", name)


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip"), reason="makes network namespaces: needs root"
)
@pytest.mark.parametrize("sending", [True, False], ids=["under way", "idle"])
def test_a_peer_that_falls_silent_is_given_up_by_both_ends(sending: bool) -> None:
    """The cable is pulled: no FIN, no RST. Both ends know after peer_timeout_s, here 1 s, and its probes."""
    with two_namespaces() as (a, b):
        entered_a, entered_b = (("ip", "netns", "exec", name) for name in (a, b))
        receiver_options = {"address": "10.254.253.2", "port": 5001, "security": KEYS, "hungry": True}
        with (
            process(RECEIVER, enter=entered_b, **receiver_options) as receiver,  # type: ignore[arg-type]
            process(
                SENDER
                if sending
                else SENDER.replace("0, created_s=0.0)\nexcept", "0, created_s=0.0)\nexcept"),
                enter=entered_a,
                address="10.254.253.2",
                port=5001,
                security=KEYS,
                hungry=sending,
            ) as sender,
        ):
            assert line(receiver) == "5001"
            assert line(sender) == "sent"
            assert line(receiver) == "0"
            subprocess.run(["ip", "-n", a, "link", "set", "veth0", "down"], check=True)
            assert "sender went away before the end" in line(receiver)
            if sending:
                assert "receiver went away" in line(sender)
