"""What the governing policies see: that of the one-shot jobs, that of the loops, that of the streams. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeray.scheduler.jobs import JobRecord
from policies.makespan.residual import LEAST_PART
from policies.model import ONLINE, TRAINS, DeviceId, LinkId, Mode, Network, Snapshot

HIDDEN: dict[Mode, tuple[Mode, ...]] = {
    "once": (*TRAINS, "cameras", *ONLINE),
    "loop": ("batches", "fog", "cameras", *ONLINE),
    **dict.fromkeys(("batches", "fog", *ONLINE, "stream"), ("once", *TRAINS, "cameras", *ONLINE)),
    "cameras": ("once", *TRAINS, *ONLINE),
}
"""By the mode of a policy, the jobs of which it only sees what they leave."""


def snapshot(mode: Mode, network: Network, placed: Sequence[JobRecord], now_s: float) -> Snapshot:
    """What the policy of mode sees. placed: jobs that hold something, in the order in which they were placed.

    What another mode's jobs hold is taken off the network (`beside`) where the policy would take their tasks for its
    own, and grant away their links. A loop's policy reckons with streams and one-shot jobs by itself, a one-shot
    policy with streams; that of cameras sees streams, which make way for it, and passes them over.
    """
    hidden = [record for record in placed if record.mode in HIDDEN[mode]]
    running = tuple(
        record.running for record in placed if record.running is not None and record.mode not in HIDDEN[mode]
    )
    return Snapshot(network=beside(network, hidden), running=running, now_s=now_s)


def beside(network: Network, others: Sequence[JobRecord]) -> Network:
    """The network without the memory that other jobs hold, and without their share of each link: the largest rate
    of a one-shot transfer (a link carries one at a time) and what loops are guaranteed (`Footprint`).

    A tenth of a link is left in any case, as streams leave a tenth to one-shot jobs: nobody waits for as long as
    another lasts.
    """
    held: dict[DeviceId, float] = {}
    once: dict[LinkId, float] = {}
    loops: dict[LinkId, float] = {}
    for record in others:
        if record.footprint is None:
            continue
        for device, needed in record.footprint.held_bytes.items():
            held[device] = held.get(device, 0.0) + needed
        for link, rate in record.footprint.link_rates_bps.items():
            if record.mode == "once":
                once[link] = max(once.get(link, 0.0), rate)
            else:
                loops[link] = loops.get(link, 0.0) + rate
    if not held and not once and not loops:
        return network
    devices, links = dict(network.devices), dict(network.links)
    for name, needed in held.items():
        if name in devices:
            left = max(0.0, devices[name].memory_bytes - needed)
            devices[name] = replace(devices[name], memory_bytes=left)
    for link in {**once, **loops}:
        if link in links:
            capacity_bps = links[link].capacity_bps
            taken = once.get(link, 0.0) + loops.get(link, 0.0)
            links[link] = replace(
                links[link], capacity_bps=max(LEAST_PART * capacity_bps, capacity_bps - taken)
            )
    return Network(devices=devices, links=links)
