"""A round of split training batch by batch: what its sums are made of, and the links that devices share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policies.flows.graph import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What one round does. Arrays of shape (devices, cuts), infinite where a cut cannot be had; links are full duplex.

    batches: of each device, shape (devices,). forward_s, backward_s: of a batch on the device, with its update and with
    what sending and receiving compute there. server_s: of a batch on the server, likewise. up_bits, down_bits: of a
    batch. piece_s, server_piece_s: of each further piece of a batch, both ways, on the device and on the server.
    weights_bits: of the device's layers, down before the first batch and up after the last. weights_s,
    server_weights_s: of computing that sending or receiving them once takes, on the device and on the server.
    links_bps: capacity of each link, each way, shape (links,). crossed: by device, the links between it and the server;
    of a device on the server itself none, and its bits are 0. link_names: for messages.
    """

    batches: Ints
    forward_s: Floats
    backward_s: Floats
    server_s: Floats
    up_bits: Floats
    down_bits: Floats
    piece_s: Floats
    server_piece_s: Floats
    weights_bits: Floats
    weights_s: Floats
    server_weights_s: Floats
    links_bps: Floats
    crossed: tuple[tuple[int, ...], ...]
    link_names: tuple[str, ...] = ()

    def piece_forward_s(self, pieces: int) -> Floats:
        """Seconds on the device of one of so many pieces of a batch, forward: half of what further pieces add."""
        return (self.forward_s + (pieces - 1) * self.piece_s / 2) / pieces

    def piece_backward_s(self, pieces: int) -> Floats:
        return (self.backward_s + (pieces - 1) * self.piece_s / 2) / pieces

    def piece_server_s(self, pieces: int) -> Floats:
        return (self.server_s + (pieces - 1) * self.server_piece_s) / pieces

    def device_total_s(self) -> Floats:
        """Seconds that each device computes in a round."""
        return self._times(self.forward_s + self.backward_s) + 2 * self.weights_s

    def server_total_s(self) -> Floats:
        """Seconds that the server computes for each device in a round."""
        return self._times(self.server_s) + 2 * self.server_weights_s

    def up_total_bits(self) -> Floats:
        return self._times(self.up_bits) + self.weights_bits

    def down_total_bits(self) -> Floats:
        return self._times(self.down_bits) + self.weights_bits

    def widths_bps(self) -> Floats:
        """Of each device's way to the server, each way; infinite where it crosses no link. Shape (devices,)."""
        return np.array(
            [min((float(self.links_bps[link]) for link in links), default=np.inf) for links in self.crossed]
        )

    def crossing(self) -> npt.NDArray[np.bool_]:
        """Whether a link carries what a device sends; shape (links, devices)."""
        crossing = np.zeros((len(self.links_bps), len(self.crossed)), dtype=bool)
        for device, links in enumerate(self.crossed):
            crossing[list(links), device] = True
        return crossing

    def binding(self) -> list[tuple[tuple[int, ...], float]]:
        """(devices, capacity) of the links that can bind: no other has no more capacity for all of these devices."""
        crossing = self.crossing()
        found = [
            (tuple(np.flatnonzero(row).tolist()), bps)
            for row, bps in zip(crossing, self.links_bps.tolist(), strict=True)
        ]
        kept: list[tuple[tuple[int, ...], float]] = []
        for devices, bps in sorted(found, key=lambda each: (each[1], -len(each[0]), each[0])):
            if devices and not any(set(devices) <= set(others) for others, _ in kept):
                kept.append((devices, bps))
        return kept

    def _times(self, per_batch: Floats) -> Floats:
        return self.batches[:, None] * per_batch
