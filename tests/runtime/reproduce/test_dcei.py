"""The experiments of DCEI: their settings, rows that come out as they must, and how claims are judged."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from edgeray.cli.reproduce import reproduce
from edgeray.errors import BadInputError
from edgeray.reproduce.dcei import (
    BUSY,
    DEFAULT_MBPS,
    POLICIES,
    QUIET,
    SPREAD,
    Point,
    day,
    points,
    setting,
)
from edgeray.reproduce.dcei_claims import MODELS, DceiTable, judge_dcei
from edgeray.reproduce.dcei_page import find_dcei, summary, write_dcei
from edgeray.reproduce.dcei_rows import (
    DceiRow,
    DceiTrial,
    collect,
    compute,
    published_latencies_s,
    stream_policy,
    trials,
)
from edgeray.reproduce.rules import Verdict
from policies.model import CameraId

SMALL = Point(figure="devices", x=3, cameras=3, devices=3, mean_mbps=DEFAULT_MBPS)
PUBLISHED, SIMULATED = MODELS


def row(figure: str, x: float, seed: int, policy: str, fps: float, latency_s: float | None = None) -> DceiRow:
    """By either model the same, a little else for each seed."""
    off = 1 + 0.01 * (seed - 1)
    late = off * (1 / fps if latency_s is None else latency_s)
    return DceiRow(
        figure=figure, x=x, seed=seed, policy=policy, published_fps=fps * off, published_latency_s=late,
        sustained_fps=fps * off, least_fps=fps * off, called_fps=fps * off, latency_s=late, moves=0,
    )  # fmt: skip


def as_the_paper_has_it() -> list[DceiRow]:
    rows = []
    for seed in range(3):
        for x in (3, 5, 7):
            for policy, fps in {
                "nmno": 10.0,
                "wmno": 10.4,
                "nmwo": 11.0,
                "jstsh": 13.0,
                "load-aware": 13.5,
            }.items():
                rows.append(row("devices", x, seed, policy, fps))
        for minute in (1, 3, 5, 7, 15, 23, 25, 27, 29):
            busy = minute <= 4 or minute >= 26
            local = {"nmno": 8.0, "wmno": 9.0} if busy else {"nmno": 12.0, "wmno": 13.0}
            for policy, fps in (local | {"nmwo": 12.5, "jstsh": 14.0}).items():
                rows.append(row("workload", minute, seed, policy, fps))
        for x, offloaded in ((5, 10.0), (10, 10.4), (20, 12.0), (30, 13.0)):
            for policy, fps in {
                "nmno": 10.0,
                "wmno": 10.2,
                "nmwo": offloaded,
                "jstsh": 1.05 * offloaded,
            }.items():
                rows.append(row("bandwidth", x, seed, policy, fps))
    return rows


def test_settings_are_those_of_the_thesis() -> None:
    assert [(p.cameras, p.devices) for p in points() if p.figure == "devices"] == [
        (5, n) for n in (3, 4, 5, 6, 7)
    ]
    assert [p.mean_mbps for p in points() if p.figure == "bandwidth"] == [5, 10, 20, 30]
    [over_time] = [p for p in points() if p.figure == "workload"]
    assert (over_time.cameras, over_time.devices) == (4, 5)
    drawn = setting(over_time, 1)
    kinds = sorted(device.type for device in drawn.network.devices.values() if device.type in ("nx", "tx2"))
    assert kinds == ["nx", "nx", "nx", "tx2", "tx2"]
    assert {device.memory_bytes for device in drawn.network.devices.values() if device.type == "tx2"} == {4e9}


def test_links_differ_by_a_part_and_keep_their_proportions() -> None:
    thin, wide = (Point(figure="bandwidth", x=b, cameras=5, devices=5, mean_mbps=b) for b in (5, 10))
    before, after = setting(thin, 3).network.links, setting(wide, 3).network.links
    assert {link: 2 * one.capacity_bps for link, one in before.items()} == pytest.approx(
        {link: one.capacity_bps for link, one in after.items()}
    )
    widths = [link.capacity_bps / 5e6 for link in before.values()]
    assert min(widths) >= 1 - SPREAD and max(widths) <= 1 + SPREAD and max(widths) - min(widths) > SPREAD / 2
    assert setting(thin, 4).network != setting(thin, 3).network
    assert setting(thin, 3).network == setting(thin, 3).network


def test_the_day_is_busy_then_quiet_then_busy() -> None:
    for k, camera in enumerate(("cam1", "cam2", "cam3", "cam4")):
        told = [day(CameraId(camera), 60.0 * minute) for minute in (0, 4, 6, 15, 24, 26, 30)]
        assert told == pytest.approx([BUSY[k]] * 2 + [QUIET[k]] * 3 + [BUSY[k]] * 2)
    for at_s in (0.0, 900.0):
        assert day(CameraId("cam1"), at_s) > day(CameraId("cam2"), at_s)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_row_of_each_policy(policy: str) -> None:
    [found] = compute(DceiTrial(point=SMALL, seed=1, policy=policy))
    latencies = published_latencies_s(setting(SMALL, 1), stream_policy(policy, 1), policy, 0.0)
    assert found.published_latency_s == pytest.approx(latencies.mean())
    assert found.published_fps == pytest.approx((1 / latencies).mean())
    # One frame at a time: the latency holds the published one, the queues, and up to a camera's period of waiting.
    assert found.latency_s >= found.published_latency_s * 0.98
    assert found.called_fps <= found.sustained_fps * 1.02
    assert found.called_fps <= 1.02 / latencies.min()
    assert 0 < found.least_fps <= found.sustained_fps


def test_random_mappings_differ_by_seed() -> None:
    drawn = setting(SMALL, 1)
    found = [published_latencies_s(drawn, stream_policy("nmno", seed), "nmno", 0.0) for seed in range(6)]
    assert len({tuple(each) for each in found}) > 1


def test_the_workload_has_a_row_for_each_piece_of_time() -> None:
    point = Point(figure="workload", x=0, cameras=4, devices=5, mean_mbps=DEFAULT_MBPS)
    rows = compute(DceiTrial(point=point, seed=0, policy="wmno"))
    assert [each.x for each in rows] == list(range(1, 30, 2))
    fps = {each.x: each.sustained_fps for each in rows}
    assert fps[15] > 1.1 * fps[1]
    assert fps[1] == pytest.approx(fps[29], rel=0.05)
    published = {each.x: each.published_latency_s for each in rows}
    assert published[15] < published[1] == pytest.approx(published[29])


def test_all_claims_of_the_paper_hold_for_rows_as_it_has_them() -> None:
    table = DceiTable(as_the_paper_has_it())
    for model in MODELS:
        claims = judge_dcei(table, model)
        assert len(claims) == 14
        assert {claim.key: claim.verdict for claim in claims} == {
            claim.key: Verdict.REPRODUCED for claim in claims
        }


def test_the_opposite_refutes_them() -> None:
    """Offloading is as good as nothing, everything falls with more devices, and local processing with thinner links."""
    worse = [
        replace(each, published_fps=each.published_fps / 2, published_latency_s=2 * each.published_latency_s)
        if each.policy == "jstsh"
        else each
        for each in as_the_paper_has_it()
    ]
    verdicts = {claim.key: claim.verdict for claim in judge_dcei(DceiTable(worse), PUBLISHED)}
    assert verdicts["best-published"] is verdicts["gain-published"] is Verdict.REFUTED
    assert verdicts["wmno-over-nmno-published"] is Verdict.REPRODUCED
    simulated = {claim.key: claim.verdict for claim in judge_dcei(DceiTable(worse), SIMULATED)}
    assert simulated["gain-simulated"] is Verdict.REPRODUCED


def test_gains_are_means_over_pairs_of_the_same_seed() -> None:
    gain = DceiTable(as_the_paper_has_it()).ratio("devices", [3], "jstsh", "nmno", "published_fps")
    assert gain is not None
    assert gain.mean == pytest.approx(1.3) and gain.high - gain.low == pytest.approx(0, abs=1e-9)


def test_missing_rows_make_no_claims() -> None:
    assert judge_dcei(DceiTable([]), PUBLISHED) == []
    only = [each for each in as_the_paper_has_it() if each.figure == "devices"]
    assert {claim.figure for claim in judge_dcei(DceiTable(only), PUBLISHED)} == {"5.5"}


def test_a_run_becomes_a_folder(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    rows = collect(trials([SMALL], range(1)), 2, lambda done, total: told.append((done, total)))
    assert told[0] == (0, 5) and told[-1] == (5, 5)
    assert [each.policy for each in rows] == list(POLICIES)
    findings = find_dcei([*rows, *as_the_paper_has_it()], seeds=3, quick=True)
    page = write_dcei(findings, tmp_path / "out")
    html = page.read_text()
    assert html.count("data:image/png;base64,") == 5 * 2 * 2  # figures, models, themes
    assert "quick run" in html and "WMWO" in html and "reproduced" in html
    for sentence in summary(findings):
        assert sentence.split(":")[0].replace("'", "&#39;") in html
    with (tmp_path / "out" / "rows.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(findings.rows)
    assert float(lines[0]["published_fps"]) == pytest.approx(rows[0].published_fps)


def test_json_is_plain() -> None:
    findings = find_dcei(as_the_paper_has_it(), seeds=3, quick=False)
    told = json.loads(json.dumps(findings.as_json(), allow_nan=False))
    assert set(told["claims"]) == {"published", "simulated"}
    assert set(told["figures"]) == {"5.5", "5.7", "5.8", "5.9", "5.10"}
    assert told["figures"]["5.5"]["published"]["jstsh"][0] == [3, pytest.approx(13.0)]
    assert not any(math.isnan(value) for _, value in told["figures"]["5.8"]["simulated"]["nmno"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"what": "otfa"}, "otfa: expected ents, dcei, toof, djos, mel or fog"),
        ({"what": "dcei", "only": "a"}, "--only and --again: for ents"),
        ({"what": "dcei", "seeds": 0}, "expected 1 or more"),
    ],
)
def test_wrong_options(options: dict[str, object], told: str) -> None:
    with pytest.raises(BadInputError, match=told):
        reproduce(**options)  # type: ignore[arg-type]
