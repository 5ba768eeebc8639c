"""Both ends of a line on loopback, for tests: in this process, or in one that can be killed."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import Any

from edgeray.dataplane import FlowSecurity, new_flow_security
from edgeray.node.lines import Line
from edgeray.scheduler.effects import Inflow, Outflow
from policies.model import DeviceId, FlowId, TaskId

A, B = TaskId("a"), TaskId("b")
AB, BA = FlowId("a->b"), FlowId("b->a")
HERE = "127.0.0.1"


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that nobody listens on, others in each process that tests; the kernel gives none of them to clients."""
    ports: list[int] = []
    with ExitStack() as stack:
        first = 20_000 + os.getpid() % 1_000 * 10
        for port in range(first, 32_000):
            taken = stack.enter_context(socket.socket())
            try:
                taken.bind((HERE, port))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                return tuple(ports)
    raise OSError("no ports are free")


def ends_of(
    me: TaskId, peer: TaskId, ports: tuple[int, int], rate_bps: float = 1e9
) -> tuple[Inflow, Outflow]:
    """The flows that arrive at and leave me. ports: of a->b, and of b->a."""
    into, out = (ports[1], ports[0]) if me == A else (ports[0], ports[1])
    device = DeviceId(f"device-of-{peer}")
    return (
        Inflow(flow=FlowId(f"{peer}->{me}"), producer=peer, consumer=me, peer=device, port=into),
        Outflow(
            flow=FlowId(f"{me}->{peer}"),
            producer=me,
            consumer=peer,
            peer=device,
            address=HERE,
            port=out,
            rate_bps=rate_bps,
        ),
    )


def line_of(
    me: TaskId,
    ports: tuple[int, int],
    security: dict[FlowId, FlowSecurity],
    *,
    rate_bps: float | None = None,
    **more: Any,
) -> Line:
    """One end of the line between a and b; rate_bps: it paces what it sends."""
    inflow, outflow = ends_of(me, B if me == A else A, ports, rate_bps or 1e9)
    return Line(inflow, outflow, address=HERE, security=security, self_paced=rate_bps is not None, **more)


def new_keys() -> dict[FlowId, FlowSecurity]:
    return {AB: new_flow_security(), BA: new_flow_security()}
