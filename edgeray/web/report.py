"""A comparison as a folder: report.html, which needs nothing else, pictures as PNG, and comparison.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from edgeray.telemetry.records import Comparison, PolicyRun, as_json
from edgeray.web import numbers
from edgeray.web.drawing import draw_network, placement, widest_bps
from edgeray.web.page import Picture, environment, picture
from edgeray.web.plots import draw_latency, draw_throughput
from edgeray.web.summary import (
    FLOW_TOLERANCE,
    failed_jobs,
    flow_ratio,
    gain_over_baseline,
    plan_error,
    ratio_to_bound,
    sentences,
)

REPORT_NAME = "report.html"


def write_report(comparison: Comparison, folder: Path) -> Path:
    """Write the report into folder, made if need be, and return the path of its HTML file."""
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(numbers.finite(as_json(comparison)), indent=1, allow_nan=False)
    (folder / "comparison.json").write_text(document + "\n", encoding="utf-8")
    page = environment().get_template("report.html.j2").render(_view(comparison, folder))
    path = folder / REPORT_NAME
    path.write_text(page, encoding="utf-8")
    return path


def _view(comparison: Comparison, folder: Path) -> dict[str, Any]:
    """All that the template shows."""
    widest = widest_bps(comparison)
    return {
        "comparison": comparison,
        "sentences": sentences(comparison),
        "failures": [(run.policy, job) for run, job in failed_jobs(comparison)],
        "throughput": picture(
            lambda theme: draw_throughput(comparison, theme),
            folder / "throughput.png",
            "Planned and measured throughput of each policy; the numbers are in the table above.",
        ),
        "latency": picture(
            lambda theme: draw_latency(comparison, theme),
            folder / "latency.png",
            "Latency percentiles of each policy; the numbers are in the table of jobs.",
        ),
        "policies": [
            {
                "run": run,
                "anchor": f"policy-{number}",
                "gain": gain_over_baseline(comparison, run),
                "of_bound": ratio_to_bound(run),
                "error": plan_error(run.planned_mean_per_s, run.mean_per_s),
                "failed": sum(1 for job in run.jobs if job.failure is not None),
                "picture": _network_picture(
                    comparison, run, folder / f"network-{number}-{_slug(run.policy)}.png", widest
                ),
            }
            for number, run in enumerate(comparison.runs, start=1)
        ],
        "best_mean": max((run.mean_per_s for run in comparison.runs), default=0.0),
        "devices": _device_rows(comparison),
        "links": _link_rows(comparison),
        "flow_ratio": flow_ratio,
        "flow_tolerance": FLOW_TOLERANCE,
        "plan_error": plan_error,
        "bottleneck": lambda job: (job.plan or {}).get("bottleneck") or numbers.MISSING,
        "placed": lambda job: sorted(placement(job).items()),
        "share": lambda part, whole: numbers.quotient(part, whole),
        "bar": _bar,
    }


def _network_picture(comparison: Comparison, run: PolicyRun, path: Path, widest: float) -> Picture:
    shown = picture(
        lambda theme: draw_network(comparison.network, run, theme, widest=widest),
        path,
        f"Where {numbers.policy_label(run.policy)} put the tasks and which way the flows went; "
        "the tables below say the same in words.",
    )
    assert shown is not None
    return shown


def _slug(name: str) -> str:
    """A policy's name as part of a file name; it may come from a stranger's package."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:40] or "policy"


def _device_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """For each device of the cluster: what it is, and its run under each policy, or None."""
    by_policy = [{device.device: device for device in run.devices} for run in comparison.runs]
    return [
        {"id": device, "facts": facts, "runs": [devices.get(device) for devices in by_policy]}
        for device, facts in sorted(comparison.network["devices"].items())
    ]


def _link_rows(comparison: Comparison) -> list[dict[str, Any]]:
    by_policy = [{link.link: link for link in run.links} for run in comparison.runs]
    return [
        {
            "id": link["id"],
            "capacity_bps": link["capacity_bps"],
            "runs": [links.get(link["id"]) for links in by_policy],
        }
        for link in sorted(comparison.network["links"], key=lambda link: str(link["id"]))
    ]


def _bar(fraction: float | None) -> str:
    """How much of a cell its bar fills, in per cent."""
    fraction = numbers.known(fraction)
    return f"{100 * min(1.0, max(0.0, fraction or 0.0)):.0f}"
