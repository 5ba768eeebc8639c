"""The picture of a network under one policy: devices with their tasks, and flows along their routes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from edgeray.telemetry.records import Comparison, FlowRun, JobRun, PolicyRun
from edgeray.web.layout import Point, device_positions
from edgeray.web.numbers import capacity, known, rate
from edgeray.web.theme import Theme, new_figure, plain

_POINTS_PER_INCH = 72.0
_TITLE_PT, _TEXT_PT, _SMALL_PT = 10.0, 8.5, 7.5
_ROW_IN = 0.155
_LANE_IN = 0.1
_KEY_ROW_IN = 0.21
# Of an em: no font letter in a name or number is wider on average.
_LETTER_EM = 0.62
# With more than this many flows each job has one colour; with fewer, each flow.
_MANY_FLOWS = 16
# A box names at most this many tasks; then it counts them by job.
_MANY_TASKS = 12
_MANY_DEVICES = 40


@dataclass(frozen=True, slots=True)
class _Strand:
    """One flow as drawn: whose it is, its colour, and its width in points."""

    job: str
    flow: FlowRun
    colour: str
    width_pt: float


def flow_bps(flow: FlowRun) -> float | None:
    """The best known rate of a flow: on the wire, else its payload, else what was granted."""
    measured = known(flow.measured_bps)
    if measured is not None:
        return measured
    return flow.payload_bps if flow.payload_bps > 0 else known(flow.granted_bps)


def widest_bps(comparison: Comparison) -> float:
    """The fastest flow of all policies, so that widths compare between pictures."""
    rates = [flow_bps(flow) for run in comparison.runs for job in run.jobs for flow in job.flows]
    return max((rate for rate in rates if rate is not None), default=0.0)


def placement(job: JobRun) -> dict[str, str]:
    """Task to device: as it ran, else as it was planned."""
    planned = job.plan.get("placement", {}) if job.plan else {}
    return {**planned, **{task.task: task.device for task in job.tasks}}


def draw_network(network: Mapping[str, Any], run: PolicyRun, theme: Theme, *, widest: float) -> Figure:
    """Draw the network and what run did on it. widest: the rate, in bits/s, of the broadest line."""
    labels = _device_labels(network, run)
    boxes = {device: _box_size(lines) for device, lines in labels.items()}
    ends = [(link["ends"][0], link["ends"][1]) for link in network["links"]]
    centres, (width, height) = device_positions(boxes, ends)
    strands = _strands(run, theme, widest)
    rows = _key_rows(run, strands, theme)
    key_width = 0.6 + max((_text_width_in(text, _TEXT_PT) for _, text in rows), default=0.0)
    width = max(width, key_width)
    columns = max(1, min(int(width / key_width), len(rows)))
    key_height = math.ceil(len(rows) / columns) * _KEY_ROW_IN + (0.3 if rows else 0.0)

    figure = new_figure(width, height + key_height, theme)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(-key_height, height))
    axes.axis("off")
    _draw_links(axes, network["links"], centres, theme)
    _draw_strands(axes, strands, centres)
    for device, lines in labels.items():
        _draw_box(axes, centres[device], boxes[device], lines, theme, head=device == network.get("head"))
    _draw_key(axes, rows, columns, width / columns, theme)
    return figure


def _device_labels(network: Mapping[str, Any], run: PolicyRun) -> dict[str, list[str]]:
    """For each device: its id, its type, then its tasks. Devices of large networks show tasks only."""
    devices: Mapping[str, Mapping[str, Any]] = network["devices"]
    labels: dict[str, list[str]] = {}
    for device in sorted(devices):
        held = {
            job.job: [task for task, where in placement(job).items() if where == device] for job in run.jobs
        }
        label = [plain(device, 18)]
        if len(devices) <= _MANY_DEVICES:
            label.append(plain(str(devices[device].get("type", "")), 18))
        labels[device] = label + _task_lines(held, several=len(run.jobs) > 1)
    return labels


def _task_lines(held: Mapping[str, Sequence[str]], *, several: bool) -> list[str]:
    count = sum(len(tasks) for tasks in held.values())
    if not several and count <= _MANY_TASKS:
        return [plain(task, 22) for tasks in held.values() for task in tasks]
    return [
        f"{plain(job, 16)}: {len(tasks)} {'task' if len(tasks) == 1 else 'tasks'}"
        for job, tasks in held.items()
        if tasks
    ]


def _text_width_in(text: str, size_pt: float) -> float:
    return len(text) * size_pt * _LETTER_EM / _POINTS_PER_INCH


def _box_size(lines: Sequence[str]) -> Point:
    """Width and height in inches."""
    widths = [_text_width_in(line, _TEXT_PT if row else _TITLE_PT) for row, line in enumerate(lines)]
    return max(0.75, max(widths) + 0.24), len(lines) * _ROW_IN + 0.24


def _draw_box(
    axes: Any, centre: Point, size: Point, lines: Sequence[str], theme: Theme, *, head: bool
) -> None:
    x, y, (width, height) = centre[0], centre[1], size
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=theme.card,
            edgecolor=theme.accent if head else theme.muted,
            linewidth=2.0 if head else 1.0,
            zorder=5,
        )
    )
    top = y + height / 2 - 0.12
    styles = [(_TITLE_PT, "bold", theme.text), (_SMALL_PT, "normal", theme.muted)]
    styles += [(_TEXT_PT, "normal", theme.text)] * (len(lines) - 2)
    for row, (line, (size_pt, weight, colour)) in enumerate(zip(lines, styles, strict=False)):
        axes.text(
            x,
            top - row * _ROW_IN,
            line,
            fontsize=size_pt,
            fontweight=weight,
            color=colour,
            ha="center",
            va="top",
            zorder=6,
        )


def _draw_links(
    axes: Any, links: Sequence[Mapping[str, Any]], centres: Mapping[str, Point], theme: Theme
) -> None:
    for link in links:
        (x0, y0), (x1, y1) = centres[link["ends"][0]], centres[link["ends"][1]]
        axes.plot([x0, x1], [y0, y1], color=theme.line, linewidth=9, solid_capstyle="round", zorder=1)
        if len(links) <= _MANY_DEVICES:
            axes.text(
                (x0 + x1) / 2,
                (y0 + y1) / 2,
                capacity(link["capacity_bps"]),
                fontsize=_SMALL_PT,
                color=theme.muted,
                ha="center",
                va="center",
                zorder=4,
                bbox={
                    "boxstyle": "round,pad=0.25",
                    "facecolor": theme.surface,
                    "edgecolor": theme.line,
                    "alpha": 0.92,
                },
            )


def _strands(run: PolicyRun, theme: Theme, widest: float) -> list[_Strand]:
    flows = [
        (number, flow) for number, job in enumerate(run.jobs) for flow in job.flows if len(flow.route) > 1
    ]
    by_job = len(flows) > _MANY_FLOWS
    return [
        _Strand(
            run.jobs[number].job,
            flow,
            theme.series[(number if by_job else order) % len(theme.series)],
            1.5 + 4.5 * math.sqrt(min(1.0, (flow_bps(flow) or 0.0) / widest)) if widest > 0 else 1.5,
        )
        for order, (number, flow) in enumerate(flows)
    ]


def _draw_strands(axes: Any, strands: Sequence[_Strand], centres: Mapping[str, Point]) -> None:
    """Draw each flow hop by hop, side by side with the others on the link, with an arrow on every hop."""
    lanes: dict[tuple[str, str], list[tuple[_Strand, str, str]]] = defaultdict(list)
    for strand in strands:
        for start, end in zip(strand.flow.route, strand.flow.route[1:], strict=False):
            if start in centres and end in centres:
                lanes[min(start, end), max(start, end)].append((strand, start, end))
    for (low, high), crossing in sorted(lanes.items()):
        (x0, y0), (x1, y1) = centres[low], centres[high]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        across = (-(y1 - y0) / length, (x1 - x0) / length)
        gap = min(_LANE_IN, 0.8 / len(crossing))
        for lane, (strand, start, end) in enumerate(crossing):
            shift = (lane - (len(crossing) - 1) / 2) * gap
            move = (across[0] * shift, across[1] * shift)
            _draw_hop(axes, strand, _moved(centres[start], move), _moved(centres[end], move))


def _moved(point: Point, by: Point) -> Point:
    return point[0] + by[0], point[1] + by[1]


def _draw_hop(axes: Any, strand: _Strand, start: Point, end: Point) -> None:
    axes.plot(
        [start[0], end[0]],
        [start[1], end[1]],
        color=strand.colour,
        linewidth=strand.width_pt,
        alpha=0.95,
        zorder=2,
    )
    angle = math.degrees(math.atan2(end[1] - start[1], end[0] - start[0]))
    at = (start[0] + 0.66 * (end[0] - start[0]), start[1] + 0.66 * (end[1] - start[1]))
    axes.plot(
        *([value] for value in at),
        marker=(3, 0, angle - 90),
        markersize=strand.width_pt + 5.5,
        color=strand.colour,
        markeredgewidth=0,
        zorder=3,
    )


def _key_rows(run: PolicyRun, strands: Sequence[_Strand], theme: Theme) -> list[tuple[str, str]]:
    """Colour and text of each row below the picture."""
    if len(strands) <= _MANY_FLOWS:
        return [(strand.colour, _key_text(strand, several=len(run.jobs) > 1)) for strand in strands]
    rows = []
    for number, job in enumerate(run.jobs):
        crossing = [flow for flow in job.flows if len(flow.route) > 1]
        total = sum(flow_bps(flow) or 0.0 for flow in crossing)
        colour = theme.series[number % len(theme.series)]
        rows.append((colour, f"{plain(job.job)}: {len(crossing)} flows, {rate(total)} in all"))
    return rows


def _key_text(strand: _Strand, *, several: bool) -> str:
    flow = strand.flow
    name = f"{flow.producer}→{flow.consumer}"
    name = f"{strand.job}: {name}" if several else name
    measured, granted = known(flow.measured_bps), known(flow.granted_bps)
    if measured is None:
        amount = f"granted {rate(granted)}" if granted is not None else "not measured"
    else:
        amount = rate(measured) if granted is None else f"{rate(measured)} of {rate(granted)} granted"
    return f"{plain(name, 44)}  {amount}"


def _draw_key(
    axes: Any, rows: Sequence[tuple[str, str]], columns: int, column_in: float, theme: Theme
) -> None:
    for number, (colour, text) in enumerate(rows):
        x, y = 0.2 + (number % columns) * column_in, -0.12 - (number // columns) * _KEY_ROW_IN
        axes.plot([x, x + 0.26], [y, y], color=colour, linewidth=4, solid_capstyle="round")
        axes.text(x + 0.36, y, text, fontsize=_TEXT_PT, color=theme.text, va="center")
