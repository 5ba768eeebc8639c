"""Orders a DAG, or finds what makes it none."""

import heapq
from collections.abc import Iterable, Mapping, Sequence


def topological_order(producers: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Names so that producers go before consumers, ties by name; without those on or behind a cycle.

    Kahn's algorithm with a heap, O(E log V).
    """
    waiting = {name: len(inputs) for name, inputs in producers.items()}
    consumers: dict[str, list[str]] = {name: [] for name in producers}
    for name, inputs in producers.items():
        for producer in inputs:
            consumers[producer].append(name)
    ready = [name for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        name = heapq.heappop(ready)
        order.append(name)
        for consumer in consumers[name]:
            waiting[consumer] -= 1
            if waiting[consumer] == 0:
                heapq.heappush(ready, consumer)
    return tuple(order)


def find_cycle(producers: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A cycle in the direction of the data, its first name repeated at its end; the graph must have one."""
    left = set(producers).difference(topological_order(producers))
    backwards = {min(left): 0}  # every name that is left has a producer that is left
    step = min(left)
    while True:
        step = min(producer for producer in producers[step] if producer in left)
        if step in backwards:
            cycle = [*list(backwards)[backwards[step] :], step]
            return _from_smallest(cycle[::-1])
        backwards[step] = len(backwards)


def _from_smallest(cycle: list[str]) -> tuple[str, ...]:
    start = cycle.index(min(cycle))
    turned = [*cycle[start:-1], *cycle[:start]]
    return (*turned, turned[0])


def reachable(start: str, edges: Iterable[tuple[str, str]]) -> set[str]:
    """What undirected edges join to start, start included."""
    neighbours: dict[str, list[str]] = {}
    for a, b in edges:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    seen = {start}
    queue = [start]
    while queue:
        for neighbour in neighbours.get(queue.pop(), ()):
            if neighbour not in seen:
                seen.add(neighbour)
                queue.append(neighbour)
    return seen
