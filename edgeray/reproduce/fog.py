"""Network-aware learning again: costs computed, models trained; Tables II and III, and Figs. 4 to 8.

Source: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, "Network-Aware Optimization of Distributed Learning for Fog Computing",
sec. V.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgeray.reproduce.fog_accuracies import (
    LOSSES,
    PUBLISHED_NODES,
    PUBLISHED_SCHEMES,
    PUBLISHED_SETTINGS,
    accuracy_aims,
    accuracy_claims,
    scheme,
)
from edgeray.reproduce.fog_claims import fog_aims, fog_claims
from edgeray.reproduce.fog_rows import (
    CONNECTIVITY,
    COSTS,
    DRAWN,
    ERRORS,
    LINEAR,
    NODES,
    PARTS,
    PERIOD,
    PUBLISHED,
    SETTINGS,
    TABLE,
    TABLE_TIMES,
    TOPOLOGIES,
    TOPOLOGY,
    VARIANTS,
    FogRow,
    FogTable,
    FogTrial,
    compute,
    fog_trials,
    name_of,
    setting_key,
)
from edgeray.reproduce.fog_training import (
    ANEW,
    LITERAL,
    MODEL,
    MODELS,
    PASSES,
    QUICK_PASSES,
    SAME,
    SCHEME_POLICIES,
    SCHEMES,
    compute_trained,
    training_trials,
)
from edgeray.reproduce.paper_page import Drawing, Line
from edgeray.reproduce.paper_run import Paper, exact, line, told_lines
from edgeray.reproduce.rules import Claim
from edgeray.reproduce.table import Estimate

SEEDS, QUICK_SEEDS = 10, 4


def trials(seeds: int, *, quick: bool) -> list[FogTrial]:
    return [*training_trials(seeds, quick=quick), *fog_trials(seeds, quick=quick)]


def row(trial: FogTrial) -> FogRow:
    return compute_trained(trial) if trial.model else compute(trial)


def claims(table: FogTable) -> list[Claim | None]:
    return [*fog_claims(table), *accuracy_claims(table)]


def aims(table: FogTable) -> list[Claim | None]:
    return [*fog_aims(table), *accuracy_aims(table)]


def _drawings(table: FogTable) -> list[Drawing]:
    """Those that have anything in them."""
    drawn = [*_scheme_drawings(table), *_cost_drawings(table), *_accuracy_drawings(table)]
    return [drawing for drawing in drawn if drawing.lines]


def _cost_drawings(table: FogTable) -> list[Drawing]:
    lines = [
        line(DRAWN[costs], ((x, table.setting(costs, name)) for x, name in SETTINGS.items()))
        for costs in COSTS
    ]
    lines.append(line("published", ((x, exact(PUBLISHED[name])) for x, name in SETTINGS.items())))
    drawn = [
        Drawing(
            name="table",
            figure=TABLE,
            title="Table III: unit cost by setting",
            axis="setting: 1 is A, nothing moves; 2 B, perfect information; 3 C, estimates; 4 D, and capacities",
            what="cost a point",
            lines=told_lines(lines),
        )
    ]
    drawn += [
        Drawing(
            name=f"table-{costs}",
            figure=TABLE,
            title=f"Table III: parts of the unit cost, costs {DRAWN[costs]}",
            axis="setting: 1 is A, 2 B, 3 C, 4 D",
            what="cost a point",
            lines=told_lines(
                line(title, ((x, table.setting(costs, name, column)) for x, name in SETTINGS.items()))
                for column, title in PARTS.items()
            ),
        )
        for costs in COSTS
    ]
    for figure, axis in AXES.items():
        drawn += [_rates(table, figure, axis)]
        drawn += [_parts(table, figure, axis, costs, policy) for costs, policy in VARIANTS]
    return drawn


AXES = {
    NODES: "devices n",
    PERIOD: "aggregation period tau",
    CONNECTIVITY: "rho",
    TOPOLOGY: "topology: " + ", ".join(f"{x:g} {name}" for x, name in TOPOLOGIES.items()),
}
"""Of the figures whose place varies."""
_CORRECT = "part of the test set that is recognised"


def _scheme_drawings(table: FogTable) -> list[Drawing]:
    names = ", ".join(f"{x:g} {policy}" for x, policy in SCHEME_POLICIES.items())
    ways = {SCHEMES: "ours", SAME: "each point once", LITERAL: "a step an interval"}
    return [
        Drawing(
            name=f"schemes-{model}",
            figure=SCHEMES,
            title=f"Table II: accuracy of {model.upper()}",
            axis=f"scheme: {names}",
            what=_CORRECT,
            lines=told_lines(
                [
                    *(
                        line(way, ((x, table.accuracy(model, *scheme(figure, x))) for x in SCHEME_POLICIES))
                        for figure, way in ways.items()
                    ),
                    _published(dict(zip(SCHEME_POLICIES, PUBLISHED_SCHEMES[model], strict=True))),
                ]
            ),
        )
        for model in MODELS
        if model in table.trained
    ]


def _accuracy_drawings(table: FogTable) -> list[Drawing]:
    if MODEL not in table.trained:
        return []
    settings = [
        line(
            DRAWN[costs],
            ((x, table.accuracy(MODEL, *setting_key(costs, name))) for x, name in SETTINGS.items()),
        )
        for costs in COSTS
    ]
    settings.append(_published({x: PUBLISHED_SETTINGS[name] for x, name in SETTINGS.items()}))
    drawn = [
        _accuracies(
            "table-accuracy",
            TABLE,
            "Table III: accuracy by setting",
            "setting: 1 is A, 2 B, 3 C, 4 D",
            settings,
        )
    ]
    for figure, axis in AXES.items():
        ours = ((x, table.accuracy(MODEL, figure, ANEW, LINEAR, x)) for x in table.places(figure))
        lines = [line(name_of((ANEW, LINEAR)), ours)]
        if figure == NODES:
            lines.append(_published(PUBLISHED_NODES))
        drawn.append(_accuracies(f"{figure}-accuracy", figure, f"Fig. {figure}: accuracy", axis, lines))
    return [_loss_drawing(table), *drawn]


def _accuracies(name: str, figure: str, title: str, axis: str, lines: Iterable[Line]) -> Drawing:
    return Drawing(
        name=name,
        figure=figure,
        title=title,
        axis=axis,
        what=_CORRECT,
        lines=told_lines(lines),
        from_zero=False,
    )


def _loss_drawing(table: FogTable) -> Drawing:
    trained, key = table.trained[MODEL], setting_key(ANEW, "B")
    periods = max((len(each.losses) for each in trained.by_seed(key).values()), default=0)

    def told(which: int, period: int) -> Estimate | None:
        return trained.told([key], lambda each: each.losses[period][which])

    return Drawing(
        name="losses",
        figure=LOSSES,
        title="Fig. 4: training loss of the devices, network-aware, costs drawn anew",
        axis="intervals of the aggregation period, last",
        what="cross-entropy",
        lines=told_lines(
            line(name, ((10.0 * (period + 1), told(which, period)) for period in range(periods)))
            for which, name in enumerate(("mean of the devices", "deviation among them"))
        ),
    )


def _published(accuracies: Mapping[float, float]) -> Line:
    return line("published", ((x, exact(value)) for x, value in accuracies.items()))


def _rates(table: FogTable, figure: str, axis: str) -> Drawing:
    return Drawing(
        name=f"{figure}-rate",
        figure=figure,
        title=f"Fig. {figure}: offloading rate",
        axis=axis,
        what="part of collected points",
        lines=told_lines(
            line(name_of(v), ((x, table.value(figure, *v, x, "sent")) for x in table.places(figure)))
            for v in VARIANTS
        ),
    )


def _parts(table: FogTable, figure: str, axis: str, costs: str, policy: str) -> Drawing:
    return Drawing(
        name=f"{figure}-{costs}-{'linear' if policy == LINEAR else 'sqrt'}",
        figure=figure,
        title=f"Fig. {figure}: costs {DRAWN[costs]}, {ERRORS[policy]} errors",
        axis=axis,
        what="cost a point",
        lines=told_lines(
            line(title, ((x, table.value(figure, costs, policy, x, column)) for x in table.places(figure)))
            for column, title in PARTS.items()
        ),
    )


NOTES = (
    "n = 10 and T = 100 where they do not vary, fully connected; data, costs, capacities and topologies are drawn as the "
    "paper states them. It does not state whether costs are drawn once or anew in each interval: both are computed. The "
    "same seed gives every policy the same data and costs.",
    "Errors are linear, at f = 1 a discarded point, or f / sqrt(G) of what a device processes in an interval (Lemma 1), "
    "with f = 30, where ten devices process two thirds of all; the paper states no f. Table III is of linear errors.",
    f"Table III has {TABLE_TIMES} times as many draws as the figures: with costs drawn once, few tell little.",
    "Estimates are the averages over the ten intervals before; in the first ten, everything is kept.",
    "Unit costs are a collected point's. Small world: links of n / 5 neighbours, of which a tenth lead elsewhere; "
    "hierarchy: two devices for each of the n / 3 cheapest.",
    "Figure 6: f falls as 1 / sqrt(k) in the k-th interval after an aggregation, as Lemma 1's error does with what was "
    "collected since; the paper only says that data can be discarded at a lower cost towards the end of each period.",
    "Figure 8's costs of LTE and WiFi were measured by the authors and are not published; its topologies are shown with "
    "synthetic costs.",
    "Accuracies are of models really trained on the points that a plan has each device process (eqs. 3, 4 and 6), at the "
    "stated eta = 0.01, without momentum; of CNN where the paper names no other. MNIST is not among the data sets that "
    "EdgeRay can get. Trained is on handwritten digits all the same, 5,000 of them (mnist-5k), rather than on the 60,000 "
    "pictures of clothes of Fashion-MNIST: a run collects 4,000 on average, all that there are to train on (and some "
    "again, if more), about as many as Table III's costs are of (2,078 at 0.48 a point); 1,000 others are tested on.",
    "Eq. 3 makes one step an interval, of all its points. At eta = 0.01 the 100 steps of T = 100 teach next to nothing "
    "(the line `a step an interval` below Table II), so that cannot be what was run: here a step is of one point, and "
    "there are as many as points.",
    f"Table II: all pass the same intervals {PASSES} times ({QUICK_PASSES} with --quick), the points dealt out anew, "
    "until they have converged, or nearly; federated learning is averaged in each interval, as the paper says, the "
    "others in each tenth. `each point once` is of one pass, all averaged in each tenth. Settings A to D are of one "
    "pass; A is averaged as the others are. Where costs are not said to be drawn once, they are drawn anew.",
)

FOG = Paper(
    title="Network-aware learning again: its costs, and what is learnt",
    source="Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, Network-Aware Optimization of Distributed Learning for Fog "
    "Computing, Tables II and III, Figs. 4 to 8",
    seeds=SEEDS,
    quick_seeds=QUICK_SEEDS,
    trials=trials,
    compute=row,
    table=FogTable,
    claims=claims,
    aims=aims,
    drawings=_drawings,
    notes=NOTES,
)
