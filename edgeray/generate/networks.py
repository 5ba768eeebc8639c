"""Random networks: the thesis' and others. Pure functions of a numpy Generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from policies.model import Device, DeviceId, Link, Network

GB = 1e9
Shape = Literal["random", "line", "star", "grid", "clique"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
_LEAST_PART_OF_MEAN = 0.2


class Kind(NamedTuple):
    """A device type in a mix. share: how many of the sum of all shares."""

    share: int
    speed_flop_per_s: float
    memory_bytes: float


MIX: Mapping[str, Kind] = {
    # Zhang 2024, table 3.1; the rates are typical of DNN inference.
    "pi": Kind(4, 4e9, 1 * GB),
    "nano": Kind(2, 15e9, 4 * GB),
    "nx": Kind(2, 40e9, 8 * GB),
    "server-1": Kind(1, 60e9, 64 * GB),
    "server-2": Kind(1, 100e9, 192 * GB),
}


def thesis_network(
    rng: np.random.Generator, count: int, mean_bps: float, degree: float = 3.0, *, drawn: bool = False
) -> Network:
    """Zhang 2024, sec. 3.6.1: mean degree 3, the device mix of table 3.1, capacities of 30 % deviation."""
    return random_network(rng, count, mean_bps, degree=degree, drawn=drawn)


def random_network(
    rng: np.random.Generator,
    count: int,
    mean_bps: float,
    *,
    degree: float = 3.0,
    deviation: float = 0.3,
    mix: Mapping[str, Kind] = MIX,
    shape: Shape = "random",
    drawn: bool = False,
) -> Network:
    """A connected network of count devices.

    Devices are shared out to the kinds of the mix and then shuffled; or drawn: each by itself, with the shares as odds.
    degree: mean number of links of a device, of the shape "random" only: a random tree and further random links.
    Capacities are normal with the relative deviation given, cut off below a fifth of the mean.
    """
    kinds = [kind for kind, (share, _, _) in mix.items() for _ in range(share)]
    chosen = [kinds[int(rng.integers(len(kinds))) if drawn else i % len(kinds)] for i in range(count)]
    if not drawn:
        rng.shuffle(chosen)
    devices = [
        Device(
            id=DeviceId(f"d{i:04d}"),
            type=kind,
            speed_flop_per_s=mix[kind].speed_flop_per_s,
            memory_bytes=mix[kind].memory_bytes,
        )
        for i, kind in enumerate(chosen)
    ]
    pairs = random_pairs(rng, count, round(count * degree / 2)) if shape == "random" else _pairs(count, shape)
    normal = rng.normal(mean_bps, deviation * mean_bps, len(pairs))
    capacity = np.clip(normal, _LEAST_PART_OF_MEAN * mean_bps, None)
    return network_of(devices, [(a, b, float(c)) for (a, b), c in zip(pairs, capacity, strict=True)])


def network_of(devices: Sequence[Device], links: Sequence[tuple[int, int, float]]) -> Network:
    """links: (device index, device index, bits/s)."""
    made = []
    for a, b, capacity in links:
        first, second = sorted((devices[a].id, devices[b].id))
        made.append(Link(ends=(first, second), capacity_bps=capacity))
    return Network(
        devices={device.id: device for device in sorted(devices, key=lambda device: device.id)},
        links={link.id: link for link in sorted(made, key=lambda link: link.id)},
    )


def random_pairs(rng: np.random.Generator, count: int, links: int) -> list[tuple[int, int]]:
    """A connected random graph: a random tree, then further pairs up to the number of links."""
    pairs = {(int(rng.integers(v)), v) for v in range(1, count)}
    most = min(links, count * (count - 1) // 2)
    while len(pairs) < most:
        a, b = sorted(rng.choice(count, size=2, replace=False).tolist())
        pairs.add((a, b))
    return sorted(pairs)


def _pairs(count: int, shape: Shape) -> list[tuple[int, int]]:
    if shape == "line":
        return [(i, i + 1) for i in range(count - 1)]
    if shape == "star":
        return [(0, i) for i in range(1, count)]
    if shape == "clique":
        return [(i, j) for i in range(count) for j in range(i + 1, count)]
    width = int(np.ceil(np.sqrt(count)))  # a grid, its last row perhaps not full
    right = [(i, i + 1) for i in range(count - 1) if (i + 1) % width]
    return sorted(right + [(i, i + width) for i in range(count - width)])
