"""Where devices stand in the picture of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx
import numpy as np

# Up to here the layout by path lengths is quick and the most readable one; it grows with the cube of devices.
_MANY = 60
_GAP_IN = 0.75
_PUSHES = 200
_LARGEST_IN = (13.0, 10.0)

Point = tuple[float, float]


def device_positions(
    boxes: Mapping[str, Point], ends: Sequence[tuple[str, str]]
) -> tuple[dict[str, Point], Point]:
    """Centres of the devices' boxes, in inches, and the picture's width and height.

    boxes: width and height of each device's box, in inches. ends: the links. The same network always gets the
    same picture.
    """
    names = sorted(boxes)
    if not names:
        return {}, (2.0, 1.0)
    raw = _unit_positions(names, sorted(ends))
    scale_x, scale_y = _spread(names, raw, boxes)
    scaled = _pushed_apart({name: (raw[name][0] * scale_x, raw[name][1] * scale_y) for name in names}, boxes)
    left = min(scaled[name][0] - boxes[name][0] / 2 for name in names) - 0.3
    right = max(scaled[name][0] + boxes[name][0] / 2 for name in names) + 0.3
    low = min(scaled[name][1] - boxes[name][1] / 2 for name in names) - 0.25
    high = max(scaled[name][1] + boxes[name][1] / 2 for name in names) + 0.25
    moved = {name: (x - left, y - low) for name, (x, y) in scaled.items()}
    return moved, (right - left, high - low)


def _unit_positions(names: list[str], ends: list[tuple[str, str]]) -> dict[str, Point]:
    graph = nx.Graph()
    graph.add_nodes_from(names)
    graph.add_edges_from(ends)
    if len(names) == 1:
        return {names[0]: (0.0, 0.0)}
    if len(names) <= _MANY and nx.is_connected(graph):
        found = nx.kamada_kawai_layout(graph)
    else:
        found = nx.spring_layout(graph, seed=0, iterations=80 if len(names) > _MANY else 200)
    return _widest_level({name: (float(x), float(y)) for name, (x, y) in found.items()})


def _widest_level(points: dict[str, Point]) -> dict[str, Point]:
    """Turn the picture so that its longest axis lies level, as screens do."""
    names = sorted(points)
    matrix = np.array([points[name] for name in names])
    matrix -= matrix.mean(axis=0)
    _, _, axes = np.linalg.svd(matrix, full_matrices=False)
    if axes.shape == (2, 2):
        # The sign of a singular vector is arbitrary: the first device goes left and up.
        turned = matrix @ axes.T
        turned *= np.where(turned[0] > 0, -1.0, 1.0) * np.array([1.0, -1.0])
        matrix = turned
    return {name: (float(x), float(y)) for name, (x, y) in zip(names, matrix, strict=True)}


def _spread(names: list[str], raw: Mapping[str, Point], boxes: Mapping[str, Point]) -> Point:
    """The least scales along both axes at which no two boxes overlap, within the largest picture."""
    scale = 0.0
    for position, a in enumerate(names):
        for b in names[position + 1 :]:
            dx, dy = abs(raw[a][0] - raw[b][0]), abs(raw[a][1] - raw[b][1])
            need_x = ((boxes[a][0] + boxes[b][0]) / 2 + _GAP_IN) / dx if dx > 1e-9 else np.inf
            need_y = ((boxes[a][1] + boxes[b][1]) / 2 + _GAP_IN) / dy if dy > 1e-9 else np.inf
            least = min(need_x, need_y)
            scale = max(scale, least if np.isfinite(least) else 1.0)
    width = max(x for x, _ in raw.values()) - min(x for x, _ in raw.values())
    height = max(y for _, y in raw.values()) - min(y for _, y in raw.values())
    scale = max(scale, 1.0)
    return min(scale, _LARGEST_IN[0] / max(width, 1e-9)), min(scale, _LARGEST_IN[1] / max(height, 1e-9))


def _pushed_apart(points: Mapping[str, Point], boxes: Mapping[str, Point]) -> dict[str, Point]:
    """Move boxes that still overlap away from each other, along the axis where that takes less."""
    names = sorted(points)
    centres = np.array([points[name] for name in names])
    sizes = np.array([boxes[name] for name in names])
    need = (sizes[:, None] + sizes[None]) / 2 + _GAP_IN / 4
    # Boxes at one point part by their order.
    order = np.sign(np.arange(len(names))[:, None] - np.arange(len(names))[None])
    for _ in range(_PUSHES):
        apart = centres[:, None] - centres[None]
        overlap = need - np.abs(apart)
        hit = (overlap > 1e-6).all(axis=2) & (order != 0)
        if not hit.any():
            break
        axis = overlap.argmin(axis=2)
        push = np.zeros_like(apart)
        for along in (0, 1):
            sign = np.where(apart[..., along] == 0, order, np.sign(apart[..., along]))
            push[..., along] = np.where(hit & (axis == along), sign * overlap[..., along] / 2, 0.0)
        centres += push.sum(axis=1)
    return {name: (float(x), float(y)) for name, (x, y) in zip(names, centres, strict=True)}
