"""What devices and links do when: intervals that activities are put into."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence


class Lanes:
    """Busy intervals of each resource, in order and apart.

    starts, ends: by resource, then by interval. look_back: most intervals of a resource, the last ones, among which
    a gap is looked for, so that large jobs end soon.
    """

    __slots__ = ("ends", "look_back", "starts")

    def __init__(self, starts: list[list[float]], ends: list[list[float]], look_back: int) -> None:
        self.starts = starts
        self.ends = ends
        self.look_back = look_back

    @classmethod
    def empty(cls, resources: int, look_back: int) -> Lanes:
        return cls([[] for _ in range(resources)], [[] for _ in range(resources)], look_back)

    def copy(self) -> Lanes:
        return Lanes([lane[:] for lane in self.starts], [lane[:] for lane in self.ends], self.look_back)

    def gap(self, resource: int, ready: float, took: float) -> float:
        """The first start from ready on at which resource is free for as long."""
        starts, ends = self.starts[resource], self.ends[resource]
        count = len(ends)
        if not count or ends[-1] <= ready:
            return ready
        index = bisect_right(ends, ready)
        if index < count - self.look_back:
            index = count - self.look_back
            ready = ends[index - 1]
        while index < count and ready + took > starts[index]:
            ready = ends[index]
            index += 1
        return ready

    def common_gap(self, resources: Sequence[int], ready: float, took: float) -> float:
        """The first start from ready on at which all resources are free for as long."""
        while True:
            at = ready
            for resource in resources:
                at = self.gap(resource, at, took)
            if at == ready or len(resources) == 1:
                return at
            ready = at

    def put(self, resource: int, start: float, end: float) -> None:
        starts, ends = self.starts[resource], self.ends[resource]
        if not ends or ends[-1] <= start:
            starts.append(start)
            ends.append(end)
            return
        index = bisect_right(ends, start)
        starts.insert(index, start)
        ends.insert(index, end)

    def take_back(self, resource: int, start: float, end: float) -> None:
        """Undo the last put of these numbers."""
        ends = self.ends[resource]
        index = bisect_right(ends, end) - 1
        while self.starts[resource][index] != start:
            index -= 1
        del self.starts[resource][index], ends[index]
