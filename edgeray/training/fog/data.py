"""A device's data as the worker takes it: what it collects interval by interval, less what it sends away or discards, and
what others send to it.

Source: Tu et al. 2020, eqs. 3, 6 and 8. An interval is an epoch of the round, and a round an aggregation period. What is
kept is processed in the same interval, what is sent in a later one of its receiver, the next as a rule. G_i(t) is
processed in mini-batches of the job's size; eq. 3's single step of all of it is a batch size as large.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeray.errors import FlowError
from edgeray.training.channel import Channel
from edgeray.training.data import Indices, Pack, Sample, packed_samples
from edgeray.training.draws import batch_seed
from edgeray.training.fog.collected import Collector, split
from edgeray.training.fog.points import Exchange
from edgeray.training.fog.settings import Fog
from edgeray.training.lines import HELLO
from edgeray.training.messages import Interval, IntervalDone


class FogData:
    """TrainingData of one device, over all its connections with the server (`attach`).

    samples: points that were processed in the round so far (H_i of eq. 4). waited_s: for the server's word on the next
    interval, and in the last one for peers.
    """

    def __init__(
        self,
        dataset: Any,
        collector: Collector,
        exchange: Exchange,
        fog: Fog,
        *,
        batch_size: int,
        seed: int,
        client: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.samples = 0
        self.waited_s = 0.0
        self._dataset = dataset
        self._collector = collector
        self._exchange = exchange
        self._fog = fog
        self._batch_size = batch_size
        self._seed = seed
        self._client = client
        self._clock = clock
        self._channel: Channel | None = None
        self._told: Interval | None = None

    def attach(self, channel: Channel) -> None:
        """The server speaks over this from now on."""
        self._channel, self._told = channel, None

    @property
    def labels(self) -> Tensor:
        """None are known before they are collected."""
        return torch.empty(0, dtype=torch.int64)

    def batches(self, round_number: int, epoch: int) -> Iterator[Sample]:
        """Those of an interval. Raises FlowError where the server says something else than what to do in it."""
        intervals = self._fog.intervals_of(round_number)
        if epoch == 0:
            self.samples = 0
            self._exchange.forget(intervals.start)
            self._server.send(HELLO, None)
        if epoch >= len(intervals):
            return
        told = self._heard(intervals[epoch])
        if told is not None:
            yield from self._interval(told)

    def _interval(self, told: Interval) -> Iterator[Sample]:
        collected = self._collector.points(told.number)
        packs, discarded = self._move(told, collected)
        packs += [points.pack for points in self._exchange.take_returned()]
        arrived = [points.pack for points in self._exchange.take_arrived(told.number)]
        seconds = yield from self._processed(told.number, [*packs, *arrived])
        if told.number == self._fog.intervals - 1:
            with_peers_s = self._clock()
            self._exchange.finish(told.number)
            self.waited_s += self._clock() - with_peers_s
            late = [points.pack for points in self._exchange.take_arrived(told.number + 1)]
            back = [points.pack for points in self._exchange.take_returned()]
            seconds += yield from self._processed(told.number, [*back, *late])
            packs, arrived = [*packs, *back], [*arrived, *late]
        sent = self._exchange.take_sent()
        done = IntervalDone(
            number=told.number,
            collected=len(collected),
            kept=_points(packs),
            discarded=discarded,
            arrived=_points(arrived),
            process_s=seconds,
            sent={peer: one.points for peer, one in sent.items()},
            transfer_s={peer: one.seconds for peer, one in sent.items()},
        )
        self._server.send("interval-done", done)

    def _move(self, told: Interval, collected: Indices) -> tuple[list[Pack], int]:
        """Hand over what is to be sent; what stays here, and how many points are discarded."""
        peers = sorted(told.send)
        parts = [told.keep, *(told.send[peer] for peer in peers)]
        counts = split(
            len(collected), [*parts, max(0.0, 1.0 - sum(parts))], self._collector.dither(told.number)
        )
        kept, *to_send, discarded = np.split(collected, np.cumsum(counts)[:-1])
        packs = [packed_samples(self._dataset, kept)] if len(kept) else []
        for peer, points in zip(peers, to_send, strict=True):
            if len(points):
                pack = packed_samples(self._dataset, points)
                if not self._exchange.send(peer, told.number, pack):
                    packs.append(pack)
        return packs, len(discarded)

    def _processed(self, number: int, packs: Sequence[Pack]) -> Generator[Sample, None, float]:
        """The packs' samples in mini-batches, in random order; returns the seconds that the worker took for them."""
        if not packs:
            return 0.0
        everything = [pack.batch(np.arange(len(pack.labels), dtype=np.int64)) for pack in packs]
        inputs = torch.cat([one for one, _ in everything])
        labels = torch.cat([one for _, one in everything])
        rng = np.random.default_rng(batch_seed(self._seed, 1, number, self._client, 0))
        order = torch.from_numpy(rng.permutation(len(labels)))
        seconds = 0.0
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            began_s = self._clock()
            yield inputs[chosen], labels[chosen]
            seconds += self._clock() - began_s
        self.samples += len(labels)
        return seconds

    def _heard(self, number: int) -> Interval | None:
        """The server's word on this interval; None: it had begun before this device was there."""
        began_s = self._clock()
        while self._told is None or self._told.number < number:
            kind, value = self._server.receive(None)
            if kind != "interval" or not isinstance(value, Interval):
                raise FlowError(f"the server said {kind!r}, expected the next interval")
            self._told = value
        self.waited_s += self._clock() - began_s
        if self._told.number > number:
            return None
        told, self._told = self._told, None
        return told

    @property
    def _server(self) -> Channel:
        if self._channel is None:
            raise FlowError("there is no channel to the server yet")
        return self._channel


def _points(packs: Sequence[Pack]) -> int:
    return sum(len(pack.labels) for pack in packs)
