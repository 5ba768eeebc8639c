"""Which of the ways to emulate devices this machine allows, and the user namespace's holder."""

from __future__ import annotations

import shutil
import socket
import sys

from edgeray.errors import BadInputError, TestbedError
from edgeray.testbed.command import run
from edgeray.testbed.layout import prefix

EMULATED_MODES = ("root", "userns", "loopback")
_UNSHARE_USER = ("unshare", "--user", "--map-root-user", "--net", "--mount")


def choose_mode(wanted: str) -> tuple[str, tuple[str, ...]]:
    """The mode to use, and what to tell the user about it.

    wanted: a mode, or "auto" for the first that this machine allows. Raises BadInputError for an unknown mode,
    TestbedError for one that this machine does not allow, with the reason.
    """
    if wanted not in ("auto", *EMULATED_MODES):
        raise BadInputError(
            f"unknown mode {wanted!r}\n  expected: auto, root, userns or loopback\n  remedy:   name one of them"
        )
    obstacles: dict[str, str] = {}
    for mode in EMULATED_MODES if wanted == "auto" else (wanted,):
        obstacle = why_not(mode)
        if obstacle is None:
            return mode, _notes(mode, obstacles)
        obstacles[mode] = obstacle
    told = "; ".join(f"{mode} mode: {reason}" for mode, reason in obstacles.items())
    raise TestbedError(f"this machine does not allow it: {told}\n  remedy:   edgeray doctor")


def why_not(mode: str) -> str | None:
    """Why this process cannot use mode on this machine; None when it can. Tries it, and leaves nothing."""
    if mode == "loopback":
        return None
    missing = [tool for tool in ("ip", "nsenter", "unshare") if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    command = ("unshare", "--net") if mode == "root" else _UNSHARE_USER
    script = "ip link add er0 type veth peer name er1"
    if mode == "userns":
        script = f"mount -t tmpfs edgeray /run && {script}"
    try:
        run([*command, "sh", "-c", script], what="try to make a namespace")
    except TestbedError as error:
        return str(error).splitlines()[0].partition(" said: ")[2] or str(error)
    return None


def start_holder(tag: str) -> int:
    """Start the process that holds the user namespace; its pid. Raises TestbedError when it cannot."""
    argv = [*_UNSHARE_USER, sys.executable, "-m", "edgeray.testbed.holder", prefix(tag)]
    return int(run(argv, what="make a user namespace"))


def free_loopback(tag: str, ports: tuple[int, ...]) -> str:
    """First three bytes of loopback addresses whose first host has all ports free.

    Raises TestbedError when none is: something listens on those ports of every address.
    """
    start = int(tag[:4], 16)
    for offset in range(256):
        subnet = f"127.77.{(start + offset) % 256}"
        if all(_is_free(f"{subnet}.1", port) for port in ports):
            return subnet
    told = ", ".join(map(str, ports))
    raise TestbedError(
        f"no loopback address has the ports {told} free\n"
        "  remedy:   stop what listens on them on all addresses (another Ray cluster?)"
    )


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _notes(mode: str, obstacles: dict[str, str]) -> tuple[str, ...]:
    if mode == "userns":
        return ("devices live in a user namespace: only edgeray's own commands reach the dashboard",)
    if mode == "loopback":
        return (
            *(f"no {other} mode: {reason}" for other, reason in obstacles.items()),
            "devices are loopback addresses: links are not emulated, senders pace their own flows, "
            "and Ray's own traffic is not limited",
        )
    return ()
