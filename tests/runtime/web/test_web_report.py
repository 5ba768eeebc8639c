"""The report is complete, self-contained, safe against hostile names, and survives whatever a run lacks."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from web_examples import NETWORK, PLACEMENTS, comparison_of, job_run, policy_run

from edgeray.telemetry.records import Comparison
from edgeray.web.report import write_report


class Page(HTMLParser):
    """What a browser would see: tags with attributes, the text, and table rows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "source", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Comparison], Path]:
    return lambda comparison: write_report(comparison, tmp_path_factory.mktemp("report") / "new")


def assert_self_contained(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed"), tag
        assert not any(name.startswith("on") for name in attributes), attributes
        for name in ("src", "srcset", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/png;base64,", "#")), value
    assert not page.unbalanced and not page.open


def images(page: Page) -> list[Image.Image]:
    shown = [attributes for tag, attributes in page.tags if tag in ("img", "source")]
    uris = [attributes.get("src") or attributes.get("srcset") or "" for attributes in shown]
    return [Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))) for uri in uris]


def test_six_policies(six: Comparison, write: Callable[[Comparison], Path]) -> None:
    path = write(six)
    page = Page(path)
    assert_self_contained(page)
    assert "url(" not in path.read_text() and "@import" not in path.read_text()
    for number in (
        "7.31",
        "3.01×",
        "2.43",
        "87 %",
        "e4 → e2 → e1",
        "2.17 Mbps",
        "12 Mbps",
        "63 %",
        "link e2-e4",
    ):
        assert number in page.words, number
    assert "OTFA does not beat TP here" in page.words
    assert "netem is missing from this kernel" in page.words
    assert "annotated.mp4" in page.words
    # A light and a dark picture of each policy, of throughput and of latency.
    pictures = images(page)
    assert len(pictures) == 2 * (len(six.runs) + 2)
    for picture in pictures:
        picture.load()
        assert picture.width > 400 and len(picture.convert("RGB").getcolors(1 << 24)) > 20
    assert json.loads((path.parent / "comparison.json").read_text())["runs"][5]["mean_per_s"] == 7.31


def test_pictures_lie_beside_the_page(six: Comparison, write: Callable[[Comparison], Path]) -> None:
    folder = write(six).parent
    names = sorted(path.name for path in folder.glob("*.png"))
    assert names == [
        "latency.png",
        *(f"network-{i}-{run.policy}.png" for i, run in enumerate(six.runs, 1)),
        "throughput.png",
    ]
    for name in names:
        with Image.open(folder / name) as picture:
            picture.verify()


def test_tables_are_accessible(six: Comparison, write: Callable[[Comparison], Path]) -> None:
    page = Page(write(six))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("caption") == tags.count("table") > 0
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in page.tags if tag == "th")
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    anchors = {attributes.get("id") for _, attributes in page.tags}
    assert all((attributes["href"] or "")[1:] in anchors for tag, attributes in page.tags if tag == "a")


def test_hostile_names_stay_text(write: Callable[[Comparison], Path]) -> None:
    bad = "<script>alert(1)</script>\"'&$x^2$ ../../\x00\n𝔘人"
    where = {f"{task}{bad}": device for task, device in PLACEMENTS["spread"].items()}
    job = job_run("j", PLACEMENTS["spread"], 2.0)
    job = dataclasses.replace(
        job,
        job=bad,
        app=bad,
        plan={"placement": where, "bottleneck": bad},
        tasks=tuple(dataclasses.replace(task, task=task.task + bad) for task in job.tasks),
        flows=tuple(
            dataclasses.replace(flow, flow=flow.flow + bad, producer=bad, consumer=bad) for flow in job.flows
        ),
        results={bad: bad},
        failure=bad,
    )
    network = {**NETWORK, "devices": {id: {**facts, "type": bad} for id, facts in NETWORK["devices"].items()}}
    path = write(
        comparison_of(
            policy_run(bad, (job,)), app=bad, cluster=bad, emulation=bad, notes=(bad,), network=network
        )
    )
    page = Page(path)
    assert_self_contained(page)
    assert "<script>alert(1)</script>" in page.words
    assert sorted(p.name for p in path.parent.iterdir())[-1] == "throughput.png"
    assert len(list(path.parent.parent.iterdir())) == 1


def test_missing_values(write: Callable[[Comparison], Path]) -> None:
    job = job_run(
        "j", PLACEMENTS["spread"], 2.0, latency_p50_s=None, latency_p95_s=None, latency_p99_s=None, plan=None
    )
    job = dataclasses.replace(
        job,
        flows=tuple(dataclasses.replace(flow, granted_bps=None, measured_bps=None) for flow in job.flows),
        tasks=tuple(dataclasses.replace(task, seconds_per_item=None) for task in job.tasks),
    )
    run = policy_run("otfa", (job,), bound_per_s=None, devices=(), links=(), planned_mean_per_s=math.inf)
    path = write(comparison_of(run, notes=()))
    page = Page(path)
    assert_self_contained(page)
    assert "–" in page.words and not re.search(r"\b(None|nan|inf)\b", page.words)
    assert "Latency" not in page.words
    assert not (path.parent / "latency.png").exists()
    assert json.loads((path.parent / "comparison.json").read_text())["runs"][0]["planned_mean_per_s"] is None


def test_failed_job_is_named_and_still_drawn_where_it_was_planned(
    write: Callable[[Comparison], Path],
) -> None:
    failed = job_run(
        "broken",
        PLACEMENTS["spread"],
        0.0001,
        measured_per_s=0.0,
        items=0,
        tasks=(),
        flows=(),
        failure="task detect died: out of memory",
    )
    page = Page(write(comparison_of(policy_run("lr", (job_run("fine", PLACEMENTS["spread"], 2.0), failed)))))
    assert_self_contained(page)
    assert "LR, broken (attributes): task detect died: out of memory" in page.words
    assert "1 of 2 job runs failed" in page.words
    assert "detect e4 – –" in page.words


@pytest.mark.parametrize("policies", [0, 1, 12])
def test_any_number_of_policies(policies: int, write: Callable[[Comparison], Path]) -> None:
    runs = [policy_run(f"policy{n}", (job_run("j", PLACEMENTS["spread"], 1.0 + n),)) for n in range(policies)]
    page = Page(write(comparison_of(*runs)))
    assert_self_contained(page)
    assert all(f"policy{n}" in page.words for n in range(policies))
    assert len(images(page)) == (2 * (policies + 2) if policies else 0)


def test_large_network(grid: Callable[[int], dict[str, Any]], write: Callable[[Comparison], Path]) -> None:
    network = grid(12)
    ids = sorted(network["devices"])
    jobs = tuple(_far(n, ids) for n in range(24))
    page = Page(write(comparison_of(policy_run("joint", jobs, network), network=network)))
    assert_self_contained(page)
    assert "d1111" in page.words
    # Larger than this a browser or a phone cannot show it.
    assert all(picture.width < 2400 and picture.height < 2400 for picture in images(page))


def _far(number: int, ids: list[str]) -> Any:
    job = job_run(f"job{number}", PLACEMENTS["spread"], 1.0)
    route = tuple(ids[number : number + 4])
    return dataclasses.replace(job, flows=tuple(dataclasses.replace(flow, route=route) for flow in job.flows))


def test_disconnected_network(write: Callable[[Comparison], Path]) -> None:
    network = {**NETWORK, "links": NETWORK["links"][:2]}
    page = Page(write(comparison_of(policy_run("lr", ()), network=network)))
    assert_self_contained(page)
    assert re.search(r"No policy got an item through", page.words)
