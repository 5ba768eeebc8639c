"""Network-aware learning's models really trained again: what is run, rows, and how claims of accuracies are judged."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeray.errors import MissingAssetError
from edgeray.reproduce import fog_training
from edgeray.reproduce.fog import FOG
from edgeray.reproduce.fog_accuracies import (
    LOSSES,
    PUBLISHED_SCHEMES,
    PUBLISHED_SETTINGS,
    accuracy_aims,
    accuracy_claims,
)
from edgeray.reproduce.fog_rows import (
    CONNECTIVITY,
    COSTS,
    LINEAR,
    NODES,
    PERIOD,
    SETTINGS,
    TABLE,
    TOPOLOGY,
    FogRow,
    FogTable,
    FogTrial,
    places_of,
)
from edgeray.reproduce.fog_training import (
    LITERAL,
    MODEL,
    MODELS,
    SAME,
    SCHEME_POLICIES,
    SCHEMES,
    WHOLE,
    compute_trained,
    training_trials,
)
from edgeray.reproduce.paper_page import write_paper
from edgeray.reproduce.rules import Verdict
from edgeray.training.data import Images

LOSSES_TOLD = ((2.0, 0.5), (1.0, 0.4))


def made(accuracy: Callable[[FogTrial], float]) -> list[FogRow]:
    """Rows of a quick run of two seeds, a little else for each."""
    return [
        FogRow(
            figure=each.figure,
            costs=each.costs,
            policy=each.policy,
            x=each.x,
            seed=each.seed,
            points=4000,
            process=0.1,
            transfer=0.05,
            discard=0.0,
            unit=0.15,
            sent=0.5,
            processed=1.0,
            model=each.model,
            accuracy=accuracy(each) + 1e-5 * each.seed,
            losses=LOSSES_TOLD,
        )
        for each in training_trials(8, quick=True)
    ]


def as_published(each: FogTrial) -> float:
    if each.figure in (SCHEMES, SAME):
        return PUBLISHED_SCHEMES[each.model][list(SCHEME_POLICIES).index(each.x)]
    if each.figure == TABLE:
        return PUBLISHED_SETTINGS[SETTINGS[each.x]]
    if each.figure == NODES:
        return 0.88 + 0.04 * (each.x - 5) / 45
    if each.figure == PERIOD:
        return 0.9 - 0.0001 * abs(each.x - 20)
    return 0.8 + 0.1 * each.x if each.figure == CONNECTIVITY else 0.5


def verdicts(rows: list[FogRow]) -> dict[str, Verdict]:
    table = FogTable(rows)
    return {claim.key: claim.verdict for claim in (*accuracy_claims(table), *accuracy_aims(table)) if claim}


def with_costs(rows: list[FogRow]) -> list[FogRow]:
    """And rows of costs at the places of the figures, which say where these are."""
    told = {(row.figure, row.x): row for row in rows if row.figure in (NODES, PERIOD, CONNECTIVITY, TOPOLOGY)}
    policies = (LINEAR, "network-aware-sqrt")
    return rows + [
        replace(row, costs=costs, policy=policy, model="", accuracy=None, losses=(), seed=seed)
        for row in told.values()
        for costs in COSTS
        for policy in policies
        for seed in (0, 1)
    ]


def test_what_is_trained() -> None:
    full, quick = training_trials(10, quick=False), training_trials(4, quick=True)
    assert len(set(full)) == len(full) > 3 * len(quick)
    for trials in (full, quick):
        assert {(t.model, t.policy) for t in trials if t.figure == SCHEMES} == {
            (model, policy) for model in MODELS for policy in SCHEME_POLICIES.values()
        }
        assert {(t.costs, t.x) for t in trials if t.figure == TABLE} == {
            (c, x) for c in COSTS for x in SETTINGS
        }
        assert {t.batch for t in trials if t.figure == LITERAL} == {WHOLE}
        assert {t.model for t in trials if t.figure not in (SCHEMES, SAME, LITERAL)} == {MODEL}
        assert len({t.passes for t in trials if t.figure == SCHEMES}) == 1 < trials[0].passes
        assert {t.passes for t in trials if t.figure != SCHEMES} == {1}
    for figure, places in places_of(quick=True).items():
        assert {t.x for t in quick if t.figure == figure} == set(places)


def test_verdicts_where_accuracies_are_as_published() -> None:
    found = verdicts(with_costs(made(as_published)))
    costs = {key: found.pop(key) for key in ("tau-cost", "tau-discard", "tau-process", "tau-transfer")}
    assert set(costs.values()) == {Verdict.REPRODUCED, Verdict.NOT_REPRODUCED}  # made rows cost all the same
    assert found.pop("same-points") is Verdict.HELD
    assert set(found.values()) == {Verdict.REPRODUCED}, found
    assert len(found) == 13


def test_verdicts_where_they_are_the_other_way_round() -> None:
    def otherwise(each: FogTrial) -> float:
        if each.figure in (SCHEMES, SAME):
            return {1.0: 0.7, 2.0: 0.6, 3.0: 0.5}[each.x]
        if each.figure == TABLE:
            return {"A": 0.7, "B": 0.6, "C": 0.5, "D": 0.4}[SETTINGS[each.x]]
        if each.figure == PERIOD:
            return 0.5 + 0.001 * abs(each.x - 20)
        return 0.8 - 0.001 * each.x

    rows = [replace(row, losses=LOSSES_TOLD[::-1]) for row in with_costs(made(otherwise))]
    found = {
        key: verdict for key, verdict in verdicts(rows).items() if not key.startswith("tau-") or "acc" in key
    }
    assert found.pop("same-points") is Verdict.MISSED
    assert set(found.values()) == {Verdict.REFUTED}, found


def test_rows_of_costs_tell_no_accuracy_and_rows_of_training_no_costs() -> None:
    table = FogTable(made(as_published))
    assert not list(table.keys()) and table.setting("once", "A") is None
    assert table.accuracy("mlp", TABLE, "once", LINEAR, 2.0) is None
    assert table.accuracy("nobody's", TABLE, "once", LINEAR, 2.0) is None
    assert [claim for claim in accuracy_claims(FogTable([])) if claim is not None] == []


def test_a_page_of_accuracies(tmp_path: Path) -> None:
    rows = with_costs(made(as_published))
    found = FOG.find(rows, seeds=8, quick=True)
    assert {drawing.figure for drawing in found.drawings} >= {SCHEMES, LOSSES, TABLE, NODES, PERIOD, TOPOLOGY}
    page = write_paper(found, tmp_path).read_text()
    assert "mnist-5k" in page and "a step an interval" in page
    told = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert len(told) == len(rows) and "losses" not in told[0]
    drawn = {drawing.name: drawing for drawing in found.drawings}
    published = drawn["schemes-mlp"].lines[-1]
    assert published.label == "published" and [v.mean for _, v in published.points] == [
        *PUBLISHED_SCHEMES["mlp"]
    ]
    losses = drawn["losses"].lines[0].points
    assert [(x, round(v.mean, 6)) for x, v in losses] == [(10.0, 2.0), (20.0, 1.0)]


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bright bar at the place of its digit, in place of the data set, which may not be there."""

    def images(subset: str) -> Images:
        labels = np.arange(400 if subset == "train" else 100) % 10
        pixels = np.zeros((len(labels), 28, 28), dtype=np.uint8)
        for picture, label in zip(pixels, labels, strict=True):
            picture[:, 2 * label : 2 * label + 3] = 255
        return Images(pixels, labels.astype(np.int64), mean=0.1, deviation=0.3)

    monkeypatch.setattr(fog_training, "_data", lambda: (images("train"), images("test")))
    monkeypatch.setattr(fog_training, "POINTS", 600)
    fog_training._learning.cache_clear()


@pytest.mark.usefixtures("digits")
@pytest.mark.parametrize("policy", [*SCHEME_POLICIES.values(), "network-aware-estimated"])
def test_a_row_of_training(policy: str) -> None:
    x = next((x for x, name in SCHEME_POLICIES.items() if name == policy), 3.0)
    figure = SAME if policy in SCHEME_POLICIES.values() else TABLE
    asked = FogTrial(figure=figure, costs="anew", policy=policy, x=x, seed=2, model="mlp")
    row, again = compute_trained(asked), compute_trained(asked)
    assert row.accuracy == again.accuracy is not None and 0 <= row.accuracy <= 1
    assert row.model == "mlp" and row.points == pytest.approx(300, rel=0.1)
    assert len(row.losses) == 10
    assert np.isnan(row.unit) == (policy == SCHEME_POLICIES[1.0])
    assert (row.sent > 0) == policy.startswith("network-aware")
    fog_training._learning.cache_clear()


@pytest.mark.usefixtures("digits")
def test_more_passes_teach_more() -> None:
    asked = FogTrial(figure=SCHEMES, costs="anew", policy="centralized", x=1.0, seed=2, model="mlp")
    once, often = (compute_trained(replace(asked, passes=passes)) for passes in (1, 4))
    assert once.points == often.points and len(often.losses) == 4 * len(once.losses)
    assert often.losses[-1][0] < once.losses[-1][0]
    fog_training._learning.cache_clear()


def test_settings_are_compared_on_the_digits_themselves() -> None:
    try:
        fog_training._data()
    except MissingAssetError as error:
        pytest.skip(str(error))
    row = compute_trained(
        FogTrial(figure=SAME, costs="anew", policy="centralized", x=1.0, seed=0, model="cnn")
    )
    assert row.accuracy is not None and row.accuracy > 0.85
    assert torch.backends.mkldnn.enabled
