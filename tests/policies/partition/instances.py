"""Instances of split training from a seeded generator."""

from __future__ import annotations

import numpy as np

from policies.partition.instance import Parts, SplitInstance, split_instance


def random_split(
    rng: np.random.Generator,
    devices: int,
    cuts: int,
    *,
    rough: bool = False,
    units: int | None = None,
    parts: bool = False,
) -> SplitInstance:
    """A model whose layers shrink their outputs by and large, on devices up to tenfold apart, and a faster server.

    rough: some cuts cannot be had or send nothing, some devices have a cap or too little memory for some cuts.
    units: the total in whole units of rate. parts: with what A and C are sums of.
    """
    device_s = np.cumsum(rng.random((1, cuts)), axis=1) * rng.uniform(1, 10, (devices, 1))
    server_s = np.cumsum(rng.random(cuts))[::-1] * rng.uniform(0.02, 0.5)
    server_s = server_s - server_s[-1]
    outputs = rng.uniform(0.1, 1, cuts) * np.geomspace(1, 0.1, cuts) * rng.choice([1, 10, 100])
    outputs[-1] = 0
    bits = outputs + np.cumsum(rng.random(cuts)) * rng.choice([0.1, 1, 10])
    seconds, sent = device_s + server_s, 2 * np.broadcast_to(bits, (devices, cuts))
    caps_bps, needs_bytes, memory_bytes = np.inf, np.zeros(cuts), np.inf
    total_bps = float(rng.uniform(1, 20) * devices)
    if rough:
        seconds = np.where(rng.random(seconds.shape) < 0.1, np.inf, seconds)
        sent = np.where(rng.random(seconds.shape) < 0.1, 0.0, sent)
        caps_bps = np.where(rng.random(devices) < 0.3, rng.uniform(0.5, 10, devices), np.inf)
        needs_bytes = np.arange(1.0, cuts + 1)
        memory_bytes = np.where(rng.random(devices) < 0.3, rng.uniform(1, cuts, devices), np.inf)
    return split_instance(
        seconds,
        sent,
        total_bps,
        rate_unit_bps=None if units is None else total_bps / units,
        rate_caps_bps=caps_bps,
        needs_bytes=needs_bytes,
        memory_bytes=memory_bytes,
        parts=Parts(
            device_s=device_s,
            server_s=server_s,
            up_bits=bits,
            down_bits=bits,
            servers=int(rng.integers(1, 3)),
            full_duplex=bool(rng.random() < 0.3),
            micro_batches=int(rng.choice([1, 4, 1000])),
        )
        if parts
        else None,
    )
