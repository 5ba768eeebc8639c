"""The costs of network-aware learning, computed again: what is run, rows, and how claims are judged."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeray.reproduce.fog import FOG
from edgeray.reproduce.fog_rows import (
    CONNECTIVITY,
    COSTS,
    LINEAR,
    NODES,
    PERIOD,
    PUBLISHED,
    SETTING_POLICIES,
    SETTINGS,
    SQRT,
    TABLE,
    TOPOLOGIES,
    TOPOLOGY,
    FogRow,
    FogTable,
    FogTrial,
    compute,
    fog_trials,
    instance_of,
)
from edgeray.reproduce.paper_page import PaperFindings, write_paper
from edgeray.reproduce.rules import Verdict
from policies.movement.registry import MOVEMENT_POLICIES


def trial(figure: str, policy: str, x: float, costs: str = "anew", seed: int = 1) -> FogTrial:
    return FogTrial(figure=figure, costs=costs, policy=policy, x=x, seed=seed)


def setting(name: str, costs: str = "anew", seed: int = 1) -> FogTrial:
    x = next(x for x, known in SETTINGS.items() if known == name)
    return trial(TABLE, SETTING_POLICIES[name], x, costs, seed)


def verdicts(findings: PaperFindings) -> dict[str, Verdict]:
    return {claim.key: claim.verdict for claim in (*findings.claims, *findings.aims)}


def test_what_is_run() -> None:
    full, quick = fog_trials(3, quick=False), fog_trials(2, quick=True)
    assert len(set(full)) == len(full) and len(quick) < len(full)
    for trials in (full, quick):
        assert {(t.x, t.policy) for t in trials if t.figure == TABLE} == {
            (x, SETTING_POLICIES[name]) for x, name in SETTINGS.items()
        }
        assert {t.costs for t in trials} == set(COSTS)
        assert max(t.seed for t in trials if t.figure == TABLE) > max(
            t.seed for t in trials if t.figure == NODES
        )
        assert {1.0} < {t.x for t in trials if t.figure == CONNECTIVITY}
        assert 50.0 in {t.x for t in trials if t.figure == NODES}
        assert {t.x for t in trials if t.figure == TOPOLOGY} == set(TOPOLOGIES)
        assert len({t.x for t in trials if t.figure == PERIOD}) > 2
        assert not any(t.model for t in trials)


def test_only_setting_d_has_capacities() -> None:
    limited = {name: bool(np.isfinite(instance_of(setting(name)).C).any()) for name in PUBLISHED}
    assert limited == {"A": False, "B": False, "C": False, "D": True}
    same = [instance_of(setting(name)).c for name in "ABC"]
    assert all((c == same[0]).all() for c in same)


def test_costs_are_drawn_once_or_anew() -> None:
    once, anew = (instance_of(setting("A", costs)).c for costs in ("once", "anew"))
    assert (once == once[0]).all() and not (anew == anew[0]).all()


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("costs", COSTS)
def test_a_row_is_its_plan(name: str, costs: str) -> None:
    asked = setting(name, costs)
    row, plan = compute(asked), MOVEMENT_POLICIES[asked.policy](instance_of(asked))
    assert row.unit * row.points == pytest.approx(plan.total)
    assert row.process + row.transfer + row.discard == pytest.approx(row.unit)
    assert row.points == pytest.approx(instance_of(asked).D.sum())
    assert 0 <= row.sent <= 1 and 0 < row.processed <= 1 + 1e-9
    assert (row.sent == 0) == (name == "A")


@pytest.mark.parametrize(("figure", "x"), [(NODES, 20.0), (CONNECTIVITY, 0.4), (TOPOLOGY, 2.0)])
def test_places_of_the_figures(figure: str, x: float) -> None:
    asked = instance_of(trial(figure, LINEAR, x))
    links = np.isfinite(asked.c_link[0])
    n = len(links)
    assert n == (20 if figure == NODES else 10)
    if figure == NODES:
        assert links.sum() == n * (n - 1)
    elif figure == TOPOLOGY:
        assert links.sum() == 2 * (n // 3)
    else:
        assert 0 < links.sum() < n * (n - 1)


def test_errors_matter_less_the_longer_ago_models_were_averaged() -> None:
    f = instance_of(trial(PERIOD, LINEAR, 20.0)).f
    assert (f[:20] == f[20:40]).all() and f[0].tolist() == [1.0] * 10
    assert f[3, 0] == pytest.approx(0.5) and (np.diff(f[:20, 0]) < 0).all()
    assert (instance_of(trial(NODES, LINEAR, 10.0)).f == 1).all()


def test_only_where_errors_are_of_few_points_is_f_large() -> None:
    assert instance_of(trial(NODES, SQRT, 5.0)).f.max() > instance_of(trial(NODES, LINEAR, 5.0)).f.max() == 1


def made(tell: Callable[[FogTrial], dict[str, float]]) -> list[FogRow]:
    """Rows of a quick run, a little else for each seed; what is not told is 0.3, of which nothing is discarded."""
    rows = []
    for each in fog_trials(3, quick=True):
        told = {"process": 0.2, "transfer": 0.1, "discard": 0.0, "sent": 0.5, "processed": 1.0, **tell(each)}
        off = 1 + 0.0001 * (each.seed - 1)
        told = {name: value * off for name, value in told.items()}
        unit = told.pop("unit", told["process"] + told["transfer"] + told["discard"])
        rows.append(
            FogRow(
                figure=each.figure,
                costs=each.costs,
                policy=each.policy,
                x=each.x,
                seed=each.seed,
                points=2078 / 0.48,
                unit=unit,
                **told,
            )
        )
    return rows


def as_published(each: FogTrial) -> dict[str, float]:
    x = each.x
    if each.figure == TABLE:
        shares = {"A": (1, 0, 0), "B": (0.32, 0.54, 0.14), "C": (0.33, 0.60, 0.07), "D": (0.21, 0.78, 0.01)}
        name = SETTINGS[x]
        parts = zip(("process", "transfer", "discard"), shares[name], strict=True)
        return {part: share * PUBLISHED[name] for part, share in parts}
    if each.figure == NODES:
        return {
            "process": 0.1 + 0.0001 * x, "transfer": 0.5 / x, "discard": 0.0001 * x, "sent": 0.4 + 0.009 * x,
        }  # fmt: skip
    if each.figure == CONNECTIVITY:
        return {"sent": 0.5 + 0.3 * x, "discard": 0.01 * x, "processed": 0.9 + 0.05 * x}
    if each.figure == PERIOD:
        return {"process": 0.2 - 0.001 * x, "discard": 0.1 - 0.001 * x}
    return {}


def test_verdicts_where_it_is_as_the_paper_has_it() -> None:
    found = FOG.find(made(as_published), seeds=3, quick=True)
    assert {claim.verdict for claim in found.claims} == {Verdict.REPRODUCED}
    assert len(found.claims) == 24
    aims = {aim.key: aim.verdict for aim in found.aims}
    # The paper's own table misses two: its B costs more than its distributions give, and more than its C.
    assert aims == {"expected": Verdict.MISSED, "perfect": Verdict.MISSED, "least-share": Verdict.HELD}


def test_verdicts_where_it_is_not() -> None:
    def otherwise(each: FogTrial) -> dict[str, float]:
        x = each.x
        if each.figure == TABLE:
            return {"process": 0.1 * x, "transfer": 0.0, "discard": 0.4, "unit": 0.1 * x + 0.4}
        if each.figure == NODES:
            return {
                "process": 1 - 0.001 * x,
                "transfer": 0.01 * x,
                "discard": 0.1 - 0.001 * x,
                "sent": 0.7 - 0.001 * x,
            }
        if each.figure == CONNECTIVITY:
            return {
                "process": 1 / x,
                "discard": 0.2 - 0.1 * x,
                "sent": 0.7 - 0.1 * x,
                "processed": 1 - 0.1 * x,
            }
        if each.figure == PERIOD:
            return {"process": 0.2 + 0.01 * x, "transfer": 0.01 * x, "discard": 0.001 * x}
        return {"process": x}

    found = verdicts(FOG.find(made(otherwise), seeds=3, quick=True))
    assert found.pop("topologies") is Verdict.NOT_REPRODUCED  # measured costs are not published
    aims = [found.pop(key) for key in ("expected", "perfect", "least-share")]
    assert aims == [Verdict.MISSED, Verdict.HELD, Verdict.MISSED]
    assert found.pop("unit-a") is Verdict.REPRODUCED  # 0.5 is within a tenth of 0.48
    assert found.pop("total-a") is Verdict.REPRODUCED
    assert found.pop("imperfect") is Verdict.REPRODUCED  # 0.7 is within a quarter of 0.6
    assert set(found.values()) == {Verdict.REFUTED}, found


def test_nothing_that_stays_has_increased() -> None:
    found = verdicts(FOG.find(made(lambda _: {}), seeds=3, quick=True))
    for key in (
        "tau-process",
        "tau-discard",
        "nodes-process",
        "nodes-discard",
        "nodes-rate",
        "rho-rate",
        "rho-discarded",
        "rho-discard",
    ):
        assert found[key] is Verdict.NOT_REPRODUCED, key


def test_what_distributions_give_is_met_by_what_is_computed() -> None:
    """The aims on real rows of Table III: a mean over 4 x 1,000 processing costs has a standard error of 0.005."""
    rows = [compute(setting(name, costs, seed)) for name in PUBLISHED for costs in COSTS for seed in range(4)]
    found = FOG.find(rows, seeds=4, quick=True)
    assert verdicts(found)["expected"] is Verdict.HELD
    assert verdicts(found)["perfect"] is Verdict.HELD
    assert verdicts(found)["saves"] is Verdict.REPRODUCED
    assert verdicts(found)["total-a"] is Verdict.REFUTED
    assert {claim.figure for claim in found.claims} == {TABLE}


def test_a_folder_of_fog(tmp_path: Path) -> None:
    rows = made(as_published)
    found = FOG.find(rows, seeds=3, quick=True)
    path = write_paper(found, tmp_path)
    page = path.read_text()
    assert "are not published" in page and "Lemma 1" in page
    assert len(list(csv.DictReader((tmp_path / "rows.csv").open()))) == len(rows)
    drawn = next(drawing for drawing in found.drawings if drawing.name == "table")
    assert {line.label for line in drawn.lines} == {"drawn once", "drawn anew", "published"}
    assert dict(drawn.lines[-1].points).keys() == SETTINGS.keys()


def test_a_table_without_rows_tells_nothing() -> None:
    table = FogTable([])
    assert table.setting("once", "A") is None and table.places(NODES) == []
    row = replace(compute(setting("A")), seed=7)
    assert FogTable([row]).settings("anew", "B", "A") is None
