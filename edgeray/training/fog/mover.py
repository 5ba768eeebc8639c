"""What becomes of points, decided from what was seen of devices and links: the policy's part in fog training. Pure.

Source: Tu et al. 2020, sec. III-C and V (imperfect information): a stretch, here an aggregation period, is planned with
averages of what was seen before. Ours, as the paper leaves it open: where costs are measured, everybody keeps all in the
first stretch; a device that has processed nothing yet counts as the fastest of the others, a link over which nothing has
gone yet as what it can carry at most; of an interval so much is planned as FULL says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from edgeray.training.fog.collected import collected_points
from edgeray.training.fog.costs import Movement
from edgeray.training.fog.settings import Fog
from edgeray.training.messages import Interval, IntervalDone
from policies.movement.convex import network_aware_sqrt, network_aware_sqrt_exact
from policies.movement.instance import Floats, MovementInstance, MovementPlan, movement_instance
from policies.movement.linear import network_aware
from policies.movement.registry import MOVEMENT_POLICIES
from policies.movement.rule import rule
from policies.movement.steady import steady_fractions
from policies.named import function_named

LOCAL, FEDERATED, ESTIMATED = "local", "federated", "network-aware-estimated"
_SQRT = (network_aware_sqrt, network_aware_sqrt_exact)
KEEP_ALL = (LOCAL, FEDERATED)
"""Policies that move nothing."""
FULL = 0.8
"""Of an interval, what may be planned as computing or sending: twice the mean may be collected."""
_BITS = 8
_CRUMB = 1e-6
"""A part that is no more than a solver's rounding is not sent."""


class Mover:
    """Says what becomes of the points that are collected, and keeps the account of what did.

    policy: its name, or module:function. point_bytes: of a point on the wire. devices: by client, the names that seed
    what they collect, which perfect information knows. Raises ValueError for an unknown policy.
    """

    def __init__(
        self, fog: Fog, policy: str, *, point_bytes: float, seed: int, devices: Mapping[str, str]
    ) -> None:
        self._fog = fog
        self._names = fog.clients
        self._index = {name: i for i, name in enumerate(self._names)}
        self._policy = policy
        self._decide = _decide(policy, perfect=fog.perfect)
        self._account: dict[str, Movement] = {}
        self._seen = _Seen(len(self._names))
        self._known = _Costs(fog, self._index, point_bytes)
        self._plan: tuple[Floats, Floats] | None = None  # all is kept
        self._all: tuple[Floats, Floats] | None = None
        if fog.perfect and policy not in KEEP_ALL:
            coming = [
                [
                    collected_points(fog.collect[name], seed=seed, device=devices[name], interval=t)
                    for name in self._names
                ]
                for t in range(fog.intervals)
            ]
            self._all = self._foreseen(np.array(coming, dtype=float))

    def begin(self, present: Collection[str]) -> None:
        """A stretch begins, with these clients: plan it with what was seen so far. Raises what the policy raises."""
        self._account = {}
        self._known.learn(self._seen)
        self._seen.restart()
        if self._policy in KEEP_ALL or self._all is not None:
            return
        if self._known.measured and not self._known.known:
            return
        self._plan = self._steady(present)

    def interval(self, number: int, present: Collection[str]) -> dict[str, Interval]:
        """What each of these clients is told. Nobody sends to others than these, nor in the last interval: who was to
        keeps it."""
        here = [name for name in self._names if name in present]
        last = number == self._fog.intervals - 1
        return {name: self._told(number, name, () if last else here) for name in here}

    def heard(self, client: str, done: IntervalDone) -> None:
        """What a client did in an interval. Raises ValueError for a client or a peer that there is not."""
        if client not in self._index or not self._index.keys() >= done.sent.keys() | done.transfer_s.keys():
            raise ValueError(f"{client} tells of points of clients that there are not")
        self._account.setdefault(client, Movement()).add(client, done, self._fog)
        self._seen.add(self._index[client], done, self._index)

    def movement(self) -> dict[str, dict[str, float]]:
        """By client, what became of points since the stretch began, see `Movement`."""
        return {client: one.as_json() for client, one in sorted(self._account.items())}

    def _told(self, number: int, name: str, others: Collection[str]) -> Interval:
        i = self._index[name]
        if self._all is not None:
            keep, send = float(self._all[0][number, i]), self._all[1][number, i]
        elif self._plan is not None:
            keep, send = float(self._plan[0][i]), self._plan[1][i]
        else:
            keep, send = 1.0, np.zeros(len(self._names))
        wanted = {other: float(send[j]) for other, j in self._index.items() if send[j] > 0}
        told = {other: part for other, part in wanted.items() if other in others and part > _CRUMB}
        return Interval(number=number, keep=keep + sum(wanted.values()) - sum(told.values()), send=told)

    def _steady(self, present: Collection[str]) -> tuple[Floats, Floats]:
        """Fractions of what is collected: kept, shape (n,), and sent, (n, n)."""
        here = np.array([name in present for name in self._names])
        known, c_link = self._known, self._known.c_link.copy()
        c_link[~here] = np.inf
        c_link[:, ~here] = np.inf
        room, link_room = np.full(len(here), np.inf), np.full(c_link.shape, np.inf)
        if known.measured and self._decide is not rule:
            room_s = FULL * self._fog.interval_s
            room, link_room = _fit(room_s, known.c), _fit(room_s, c_link)
        f = np.full(len(here), self._error(known.D))
        keep, send = steady_fractions(self._decide, known.D, known.c, c_link, f, room, link_room)
        return np.where(known.D > 0, keep, 1.0), send

    def _error(self, collected: Floats) -> float:
        """f. collected: by client, points in an interval, on average. Where errors are f / sqrt(G), so large that who
        processes the mean of what those collect who do loses as much by one point less as the job says."""
        if self._decide not in _SQRT:
            return self._fog.discard
        some = collected[collected > 0]
        mean = float(some.mean()) if len(some) else 1.0
        return float(2.0 * self._fog.discard * mean**1.5)

    def _foreseen(self, coming: Floats) -> tuple[Floats, Floats]:
        """Fractions by interval, from a plan of all intervals at once. coming: what is collected, shape (T, n)."""
        f = self._error(coming.mean(axis=0))
        plan = self._decide(movement_instance(coming, self._known.c, self._known.c_link, f))
        some = coming > 0
        keep = np.divide(plan.kept, coming, out=np.ones_like(coming), where=some)
        send = np.divide(plan.sent, coming[:, :, None], out=np.zeros_like(plan.sent), where=some[:, :, None])
        return keep, send


class _Seen:
    """Of a stretch, by client: points collected in so many intervals, points processed in so many seconds, and by
    sender and receiver points sent in so many seconds."""

    def __init__(self, n: int) -> None:
        self._n = n
        self.restart()

    def restart(self) -> None:
        self.intervals, self.collected = np.zeros(self._n), np.zeros(self._n)
        self.processed, self.process_s = np.zeros(self._n), np.zeros(self._n)
        self.sent, self.transfer_s = np.zeros((self._n, self._n)), np.zeros((self._n, self._n))

    def add(self, i: int, done: IntervalDone, index: Mapping[str, int]) -> None:
        self.intervals[i] += 1
        self.collected[i] += done.collected
        self.processed[i] += done.kept + done.arrived
        self.process_s[i] += done.process_s
        for peer, points in done.sent.items():
            self.sent[i, index[peer]] += points
        for peer, seconds in done.transfer_s.items():
            self.transfer_s[i, index[peer]] += seconds


class _Costs:
    """What is known: D, points collected in an interval, shape (n,); c, of processing a point, (n,); c_link, of sending
    one, (n, n). measured: in seconds, as they were in the newest stretch that tells; else declared. known: whether any
    device's was measured yet."""

    def __init__(self, fog: Fog, index: Mapping[str, int], point_bytes: float) -> None:
        n = len(index)
        self.measured = fog.process is None or fog.link is None
        self.D = np.array([fog.collect[name] for name in index], dtype=float)
        self.c = np.full(n, np.nan)
        self.c_link = np.full((n, n), np.inf)
        self._intervals, self._collected = np.zeros(n), np.zeros(n)
        self._declared = self.D.copy()
        for (a, b), bps in zip(fog.links, fog.link_bps, strict=True):
            for sender, receiver in ((a, b), (b, a)):
                cost = _BITS * point_bytes / bps if fog.link is None else fog.link[sender][receiver]
                self.c_link[index[sender], index[receiver]] = cost
        if fog.process is not None:
            self.c = np.array([fog.process[name] for name in index], dtype=float)
        self._measured_c = np.full(n, np.nan)

    @property
    def known(self) -> bool:
        return not np.isnan(self.c).all()

    def learn(self, seen: _Seen) -> None:
        """From a stretch that is over."""
        self._intervals += seen.intervals
        self._collected += seen.collected
        self.D = np.divide(
            self._collected, self._intervals, out=self._declared.copy(), where=self._intervals > 0
        )
        if not self.measured:
            return
        told = (seen.processed > 0) & (seen.process_s > 0)
        self._measured_c[told] = seen.process_s[told] / seen.processed[told]
        if told.any() or self.known:
            fastest = np.nanmin(self._measured_c)
            self.c = np.where(np.isnan(self._measured_c), fastest, self._measured_c)
        links = (seen.sent > 0) & (seen.transfer_s > 0)
        self.c_link[links] = seen.transfer_s[links] / seen.sent[links]


def _fit(room_s: float, seconds: Floats) -> Floats:
    """Whole or not, so many points of these seconds each."""
    most: Floats = np.divide(room_s, seconds, out=np.full(seconds.shape, np.inf), where=seconds > 0)
    return most


def _decide(policy: str, *, perfect: bool) -> Callable[[MovementInstance], MovementPlan]:
    """The policy; with estimates, which are made here, network-aware-estimated is network-aware."""
    if policy == ESTIMATED and not perfect:
        return network_aware
    return function_named(policy, MOVEMENT_POLICIES, "fog training")
