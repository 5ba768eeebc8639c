"""Mapping for the highest frame rate that all streams can have at the same time."""

from __future__ import annotations

import numpy as np

from policies.streams.instance import Bools, Floats, Ints, NoMapping, StreamInstance, StreamPlan, stream_plan
from policies.streams.published import jstsh

STARTED_TASKS, MOST_STARTS = 200, 30
"""So many starts that all their tasks together are this many, between one and MOST_STARTS: some milliseconds."""
NOISE = 0.3
MOST_STEPS = 2000
_LESS = 1 - 1e-12
"""What is not smaller by this factor is no improvement: sums of floats."""


def load_aware(instance: StreamInstance, seed: int = 0) -> StreamPlan | NoMapping:
    """The 2K detectors and re-identifications on devices so that the busiest device, uplink or transfer takes least.

    Ours: longest processing time first, each to the device where the larger of its load, its upload and its
    transfer to its sibling is least; then, while it helps, a change on whatever is busiest: a move, a swap, or a move
    that ejects another task to a third device. Small instances are started again in other orders, with sizes NOISE up
    or down, and from JSTSH's mapping; the best counts. The first start is without noise, so that the result is never
    worse than plain longest-processing-time-first. A step is O(K M) for each task on what is busiest.
    """
    rng = np.random.default_rng(seed)
    found: list[tuple[float, Ints]] = []
    K = len(instance.streams)
    starts = min(max(1, STARTED_TASKS // (2 * K)), MOST_STARTS)
    for start in range(starts):
        noise = rng.uniform(1 - NOISE, 1 + NOISE, 2 * K) if start else 1.0
        if start % 2 and start > 2:  # quite another order: few tasks have few orders within the noise
            noise = rng.exponential(size=2 * K)
        where = _longest_first(instance, noise)
        if where is not None:
            found.append(_improved(instance, where))
    if starts > 2 or not found:
        other = jstsh(instance)
        if isinstance(other, StreamPlan):
            found.append(_improved(instance, np.array([*other.x, *other.y])))
        elif not found:
            return NoMapping(policy="load-aware", reasons=other.reasons)
    where = min(found, key=lambda each: each[0])[1]
    return stream_plan("load-aware", instance, where[:K], where[K:])


class _Board:
    """A mapping under change. Tasks 0 to K-1 are detectors, K to 2K-1 re-identifications; where: shape (2K,), -1
    while a task is nowhere. seconds: shape (2K, M)."""

    def __init__(self, instance: StreamInstance, where: Ints) -> None:
        self.instance = instance
        self.K, self.M = len(instance.streams), len(instance.PS)
        self.seconds = np.concatenate([instance.detect_s, instance.identify_s])
        self.where = where.copy()
        placed = np.flatnonzero(where >= 0)
        self.load = np.bincount(
            where[placed], weights=self.seconds[placed, where[placed]], minlength=self.M
        ).astype(float)
        self.detectors = np.bincount(where[: self.K][where[: self.K] >= 0], minlength=self.M)
        self.models = np.bincount(where[self.K :][where[self.K :] >= 0], minlength=self.M)
        self.limit = instance.memory * (1 + 1e-12)

    def sibling(self, task: int) -> int:
        return task + self.K if task < self.K else task - self.K

    def network_s(self, task: int) -> Floats:
        """Shape (M,): the longer of a task's upload and its transfer from or to its sibling, by device."""
        stream = task % self.K
        other = self.where[self.sibling(task)]
        if task < self.K:
            between = self.instance.transfer_s[stream, :, other] if other >= 0 else np.zeros(self.M)
            return np.maximum(self.instance.upload_s[:, stream], between)
        return self.instance.transfer_s[stream, other] if other >= 0 else np.zeros(self.M)

    def networks_s(self) -> Floats:
        """Shape (K, 2): each stream's upload and transfer as things are."""
        rows, x, y = np.arange(self.K), self.where[: self.K], self.where[self.K :]
        return np.stack([self.instance.upload_s[x, rows], self.instance.transfer_s[rows, x, y]], axis=1)

    def room(self, task: int) -> Bools:
        """Shape (M,): where memory is left for a task."""
        used = self.instance.R_det * self.detectors + self.instance.R_reid * (self.models > 0)
        model = np.where(self.models > 0, 0.0, self.instance.R_reid)
        fits: Bools = used + (self.instance.R_det if task < self.K else model) <= self.limit
        return fits

    def put(self, task: int, device: int) -> None:
        """Move a task; -1 takes it away."""
        for at, sign in ((int(self.where[task]), -1), (device, 1)):
            if at >= 0:
                self.load[at] += sign * self.seconds[task, at]
                count = self.detectors if task < self.K else self.models
                count[at] += sign
        self.where[task] = device

    def fits(self, devices: tuple[int, ...]) -> bool:
        at = list(devices)
        used = self.instance.R_det * self.detectors[at] + self.instance.R_reid * (self.models[at] > 0)
        return bool((used <= self.limit[at]).all())


def _longest_first(instance: StreamInstance, noise: Floats | float) -> Ints | None:
    """None: memory does not suffice in this order."""
    board = _Board(instance, np.full(2 * len(instance.streams), -1))
    work = np.concatenate([instance.CL1, instance.CL2]) * noise
    for task in np.argsort(-work, kind="stable").tolist():
        after = np.maximum(board.load + board.seconds[task], board.network_s(task))
        after = np.where(board.room(task), after, np.inf)
        device = int(after.argmin())
        if not np.isfinite(after[device]):
            return None
        board.put(task, device)
    return board.where


def _improved(instance: StreamInstance, where: Ints) -> tuple[float, Ints]:
    """The mapping after the last step that helped, and how long its busiest resource takes."""
    board = _Board(instance, where)
    busiest_s = instance.busiest_s(where[: board.K], where[board.K :])
    for _ in range(MOST_STEPS):
        if not _step(board, busiest_s):
            break
        busiest_s = instance.busiest_s(board.where[: board.K], board.where[board.K :])
    return busiest_s, board.where


def _step(board: _Board, busiest_s: float) -> bool:
    """Take the load off whatever is busiest, so that all that changes stays below busiest_s."""
    below = busiest_s * _LESS
    networks = board.networks_s()
    if networks.max() > below:
        stream = int(networks.max(axis=1).argmax())
        tasks = [stream, stream + board.K]
    else:
        device = int(board.load.argmax())
        tasks = np.flatnonzero(board.where == device).tolist()
    return _move(board, tasks, below) or _swap(board, tasks, below) or _eject(board, tasks, below)


def _move(board: _Board, tasks: list[int], below: float) -> bool:
    """The best move of one of these tasks."""
    best: tuple[float, int, int] | None = None
    for task in tasks:
        after = np.maximum(board.load + board.seconds[task], board.network_s(task))
        after[board.where[task]] = np.inf
        after = np.where(board.room(task), after, np.inf)
        device = int(after.argmin())
        if after[device] < below and (best is None or after[device] < best[0]):
            best = float(after[device]), task, device
    if best is None:
        return False
    board.put(best[1], best[2])
    return True


def _swap(board: _Board, tasks: list[int], below: float) -> bool:
    """The best exchange of one of these tasks with one on another device."""
    found: list[tuple[float, int, int]] = []
    where, everyone = board.where, np.arange(2 * board.K)
    own = board.seconds[everyone, where]
    for task in tasks:
        at = int(where[task])
        there = board.load[where] - own + board.seconds[task, where]
        here = board.load[at] - board.seconds[task, at] + board.seconds[everyone, at]
        after = np.maximum(np.maximum(there, here), board.network_s(task)[where])
        after[where == at] = np.inf
        for other in np.argsort(after, kind="stable")[:8].tolist():
            if after[other] >= below:
                break
            if board.network_s(other)[at] < below:
                found.append((float(after[other]), task, other))
    return any(_exchanged(board, task, other, below) for _, task, other in sorted(found))


def _exchanged(board: _Board, task: int, other: int, below: float) -> bool:
    a, b = int(board.where[task]), int(board.where[other])
    board.put(task, b)
    board.put(other, a)
    streams = [task % board.K, other % board.K]
    if board.fits((a, b)) and board.networks_s()[streams].max() < below:
        return True
    board.put(task, a)
    board.put(other, b)
    return False


def _eject(board: _Board, tasks: list[int], below: float) -> bool:
    """The best move of one of these tasks that makes another leave its device for a third."""
    where, everyone = board.where, np.arange(2 * board.K)
    own = board.seconds[everyone, where]
    onward = board.load[None, :] + board.seconds  # every task on every device, beside what is there
    onward[everyone, where] = np.inf
    found: list[tuple[float, tuple[int, int, int]]] = []
    for task in tasks:
        at = int(where[task])
        there = board.load[where] - own + board.seconds[task, where]
        open_ = (there < below) & (where != at) & (board.network_s(task)[where] < below)
        candidates = np.flatnonzero(open_)
        if not len(candidates):
            continue
        third = onward[candidates].copy()
        third[:, at] -= board.seconds[task, at]  # it leaves room where it was
        targets = third.argmin(axis=1)
        after = np.maximum(third[np.arange(len(candidates)), targets], there[candidates])
        for place in np.argsort(after, kind="stable")[:4].tolist():
            if after[place] < below:
                found.append((float(after[place]), (task, int(candidates[place]), int(targets[place]))))
    return any(_ejected(board, *chain, below) for _, chain in sorted(found))


def _ejected(board: _Board, task: int, other: int, target: int, below: float) -> bool:
    a, b = int(board.where[task]), int(board.where[other])
    board.put(other, target)
    board.put(task, b)
    streams = [task % board.K, other % board.K]
    if board.fits((a, b, target)) and board.networks_s()[streams].max() < below:
        return True
    board.put(other, b)
    board.put(task, a)
    return False
