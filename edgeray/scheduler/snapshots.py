"""What the two governing policies see: that of the streams, and that of the one-shot jobs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeray.scheduler.jobs import JobRecord
from policies.makespan.residual import LEAST_PART
from policies.model import DeviceId, LinkId, Mode, Network, Snapshot


def snapshot(mode: Mode, network: Network, placed: Sequence[JobRecord], now_s: float) -> Snapshot:
    """What the policy of mode sees. placed: jobs that hold something, in the order in which they were placed.

    A one-shot policy sees everything that runs. A stream policy sees streams, on a network without what one-shot
    jobs hold of it (`beside_once`): it would take their tasks for streams' and grant away their links.
    """
    once = [record for record in placed if record.mode == "once"]
    if mode == "stream":
        network = beside_once(network, once)
        placed = [record for record in placed if record.mode == "stream"]
    running = tuple(record.running for record in placed if record.running is not None)
    return Snapshot(network=network, running=running, now_s=now_s)


def beside_once(network: Network, once: Sequence[JobRecord]) -> Network:
    """The network without the memory that one-shot jobs hold, and without the largest rate of a one-shot
    transfer over each link: a link carries one at a time. A tenth of a link is left to streams in any case, as
    streams leave a tenth to one-shot jobs: neither waits for as long as the other lasts."""
    held: dict[DeviceId, float] = {}
    rates: dict[LinkId, float] = {}
    for record in once:
        if record.footprint is None:
            continue
        for device, needed in record.footprint.held_bytes.items():
            held[device] = held.get(device, 0.0) + needed
        for link, rate in record.footprint.link_rates_bps.items():
            rates[link] = max(rates.get(link, 0.0), rate)
    if not held and not rates:
        return network
    devices, links = dict(network.devices), dict(network.links)
    for name, needed in held.items():
        if name in devices:
            left = max(0.0, devices[name].memory_bytes - needed)
            devices[name] = replace(devices[name], memory_bytes=left)
    for link, rate in rates.items():
        if link in links:
            capacity_bps = links[link].capacity_bps
            left = max(LEAST_PART * capacity_bps, capacity_bps - rate)
            links[link] = replace(links[link], capacity_bps=left)
    return Network(devices=devices, links=links)
