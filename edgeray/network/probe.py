"""Find out what this process may do to the network and what the kernel can, by trying it.

All trying happens in a process of its own, on the loopback interface of a network namespace that lasts as
long as that process: nothing that is in use is touched, and threads of the caller stay where they are.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys

from edgeray.network.netlink import KernelNetlink
from edgeray.network.state import (
    FORWARD_TABLES,
    Fifo,
    Filter,
    HtbClass,
    Item,
    KernelRefusalError,
    Operation,
    Root,
    Rule,
)
from edgeray.network.types import NetworkCapabilities

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_LIMIT_S = 30.0

_TRIALS: tuple[tuple[str, tuple[Item, ...]], ...] = (
    (
        "htb",
        (
            Root(interface="lo", default_minor=2),
            HtbClass(
                interface="lo",
                minor=1,
                parent_minor=0,
                rate_bytes_per_s=125_000,
                ceil_bytes_per_s=125_000,
                burst_ns=80_000_000,
                ceil_burst_ns=80_000_000,
                quantum_bytes=1514,
                priority=0,
            ),
            HtbClass(
                interface="lo",
                minor=2,
                parent_minor=1,
                rate_bytes_per_s=12_500,
                ceil_bytes_per_s=125_000,
                burst_ns=80_000_000,
                ceil_burst_ns=80_000_000,
                quantum_bytes=1514,
                priority=0,
            ),
        ),
    ),
    ("bfifo", (Fifo(interface="lo", minor=2, limit_bytes=24_224),)),
    ("u32", (Filter(interface="lo", priority=2000, destination="127.0.0.1", port=2000, minor=2),)),
    (
        "ip_rule_ports",
        (Rule(destination="127.0.0.1", side="dport", port=2000, table=FORWARD_TABLES + 2000),),
    ),
)


def capabilities() -> NetworkCapabilities:
    """What this process may and this kernel can; takes about half a second and leaves nothing behind."""
    with KernelNetlink() as here:
        net_admin = here.may_change()
    reasons = {} if net_admin else {"net_admin": "no CAP_NET_ADMIN in this network namespace"}
    found, why = _probe_apart()
    return NetworkCapabilities(
        net_admin=net_admin,
        namespaces=found["namespaces"] is True,
        htb=found["htb"],
        u32=found["u32"],
        bfifo=found["bfifo"],
        ip_rule_ports=found["ip_rule_ports"],
        reasons={**reasons, **why},
    )


def _probe_apart() -> tuple[dict[str, bool | None], dict[str, str]]:
    try:
        child = subprocess.run(
            [sys.executable, "-m", "edgeray.network.probe"], capture_output=True, text=True, timeout=_LIMIT_S
        )
        found, reasons = json.loads(child.stdout)
        return found, reasons
    except (subprocess.TimeoutExpired, ValueError) as error:
        nothing: dict[str, bool | None] = dict.fromkeys(("namespaces", *(name for name, _ in _TRIALS)))
        return nothing, {"namespaces": f"the probe gave no answer: {error}"}


def probe() -> tuple[dict[str, bool | None], dict[str, str]]:
    """Try everything in this very process, which moves to a network namespace of its own for good.

    Must run before this process has a second thread: the kernel moves none that has to a user namespace.
    """
    found: dict[str, bool | None] = dict.fromkeys(("namespaces", *(name for name, _ in _TRIALS)))
    reasons: dict[str, str] = {}
    refused = _leave_namespace()
    found["namespaces"] = refused is None
    if refused is not None:
        return found, {"namespaces": refused}
    with KernelNetlink() as scratch:
        for name, items in _TRIALS:
            problem = _try(scratch, items)
            found[name] = problem is None
            if problem is not None:
                reasons[name] = problem
    return found, reasons


def _leave_namespace() -> str | None:
    """Move to a new network namespace, as root or within a user namespace; why not, when neither is allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET):
        if libc.unshare(flags) == 0:
            return None
    return f"no network namespaces for this user: {os.strerror(ctypes.get_errno())}"


def _try(netlink: KernelNetlink, items: tuple[Item, ...]) -> str | None:
    """Make items and read them back: an old kernel ignores attributes that it does not know."""
    try:
        for item in items:
            netlink.apply(Operation(action="add", item=item))
    except KernelRefusalError as refusal:
        return f"the kernel refuses: {refusal.reason}"
    there = netlink.read().items
    return None if all(item in there for item in items) else "the kernel ignores part of it"


if __name__ == "__main__":
    print(json.dumps(probe()))
