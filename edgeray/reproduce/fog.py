"""The costs of network-aware learning, computed again: Table III, and Figs. 5, 7 and 8.

Source: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, "Network-Aware Optimization of Distributed Learning for Fog Computing",
sec. V.
"""

from __future__ import annotations

from edgeray.reproduce.fog_claims import fog_aims, fog_claims
from edgeray.reproduce.fog_rows import (
    CONNECTIVITY,
    COSTS,
    DRAWN,
    ERRORS,
    LINEAR,
    NODES,
    PARTS,
    PUBLISHED,
    SETTINGS,
    TABLE,
    TABLE_TIMES,
    TOPOLOGIES,
    TOPOLOGY,
    VARIANTS,
    FogTable,
    compute,
    fog_trials,
    name_of,
)
from edgeray.reproduce.paper_page import Drawing
from edgeray.reproduce.paper_run import Paper, exact, line, told_lines

SEEDS, QUICK_SEEDS = 10, 4


def _drawings(table: FogTable) -> list[Drawing]:
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
    names = ", ".join(f"{x:g} {name}" for x, name in TOPOLOGIES.items())
    for figure, axis in ((NODES, "devices n"), (CONNECTIVITY, "rho"), (TOPOLOGY, f"topology: {names}")):
        drawn += [_rates(table, figure, axis)]
        drawn += [_parts(table, figure, axis, costs, policy) for costs, policy in VARIANTS]
    return drawn


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
    "Figure 6 (aggregation period tau), Table II, and all accuracies need real training, and are not in it: no cost "
    "computed here depends on tau. Figure 8's costs of LTE and WiFi were measured by the authors and are not published; "
    "its topologies are shown with synthetic costs.",
)

FOG = Paper(
    title="The costs of network-aware learning, computed again",
    source="Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, Network-Aware Optimization of Distributed Learning for Fog "
    "Computing, Table III, Figs. 5, 7 and 8",
    seeds=SEEDS,
    quick_seeds=QUICK_SEEDS,
    trials=fog_trials,
    compute=compute,
    table=FogTable,
    claims=fog_claims,
    aims=fog_aims,
    drawings=_drawings,
    notes=NOTES,
)
