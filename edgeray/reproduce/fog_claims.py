"""The claims of network-aware learning about costs, as rules over our rows; and aims of our own.

Source: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, sec. V. Words without numbers mean here: a published number is met
within a tenth; minor and robust are within a quarter; significantly lower is three quarters or less; virtually the same
is within a tenth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from edgeray.reproduce.fog_rows import (
    CONNECTIVITY,
    COSTS,
    DRAWN,
    LINEAR,
    NODES,
    PARTS,
    PUBLISHED,
    SETTING_POLICIES,
    TABLE,
    TOPOLOGIES,
    TOPOLOGY,
    VARIANTS,
    FogTable,
    name_of,
)
from edgeray.reproduce.paper_page import judged
from edgeray.reproduce.paper_run import because
from edgeray.reproduce.rules import (
    ALL,
    MOST,
    Check,
    Claim,
    at_least,
    at_most,
    flat,
    within,
    without_contradiction,
)
from edgeray.web.numbers import figures

TENTH, QUARTER, LESS = 0.1, 0.25, 0.75
SAVED = 0.455
"""What is 46 % or more when rounded."""
OFFLOADED = 0.8
TOTAL_A, SHARES_B = 2078.0, {"process": 367 / 1153, "transfer": 620 / 1153, "discard": 166 / 1153}
"""Of Table III."""
EXPECTED, NEAR = {"A": 0.50, "B": 0.13}, 0.05
"""Unit costs that follow from the stated distributions, and how near means of ours are to be, relatively."""
ROBUST_FROM = 0.1
SOME = 1e-9
"""What is more by less has not increased."""


def fog_claims(table: FogTable) -> list[Claim | None]:
    return [*_table_claims(table), *_node_claims(table), *_connectivity_claims(table), _topology_claim(table)]


def _table_claims(table: FogTable) -> list[Claim | None]:
    def each(what: Callable[[str], list[Check]]) -> tuple[Check, ...]:
        return flat(what(costs) for costs in COSTS)

    def near(name: str) -> tuple[Check, ...]:
        paper = PUBLISHED[name]
        return each(lambda costs: within(
            f"{DRAWN[costs]} (paper: {paper})", table.setting(costs, name),
            paper * (1 - TENTH), paper * (1 + TENTH),
        ))  # fmt: skip

    numbers = [
        because(
            judged(
                f"unit-{name.lower()}", TABLE, f"Setting {name} costs {PUBLISHED[name]} a point.",
                "within a tenth of it, however costs are drawn", "rate", near(name), ALL,
            ), f"{UNIT_REASONS[name]}{_spread(table) if name == 'B' else ''}",
        )
        for name in PUBLISHED
    ]  # fmt: skip
    return [
        *numbers,
        because(
            judged(
                "total-a", TABLE, f"Setting A costs {TOTAL_A:g} in all.", "within a tenth of it", "rate",
                each(lambda costs: within(
                    DRAWN[costs], table.told([(TABLE, costs, "local", 1.0)], lambda row: row.unit * row.points),
                    TOTAL_A * (1 - TENTH), TOTAL_A * (1 + TENTH),
                )), ALL,
            ), f"{TOTAL_A:g} / 0.48 are some 4,300 points, while D ~ U(0, 60,000 / (n T)) collects 30,000 on average.",
        ),
        because(
            judged(
                "saves", TABLE, "Moving data reduces the unit cost by 46 % (A to B).",
                "B costs 54.5 % of A or less", "ratio",
                each(lambda costs: at_most(DRAWN[costs], table.settings(costs, "B", "A"), 1 - SAVED, 1.0)), ALL,
            ), "It saves more than published; see settings A and B.",
        ),
        because(
            judged(
                "shares-b", TABLE, "B's cost is 32 % processing, 54 % transfer and 14 % discarding.",
                "within ten points of each", "part",
                each(lambda costs: [
                    check for column, share in SHARES_B.items() for check in within(
                        f"{PARTS[column]}, {DRAWN[costs]} (paper: {share:.0%})", table.share(costs, "B", column),
                        share - TENTH, share + TENTH,
                    )
                ]), ALL,
            ), "With f = 1 no point is discarded for its cost: that of processing it is at most 1.",
        ),
        because(
            judged(
                "imperfect", TABLE, "With imperfect information there are only minor changes in cost (B to C).",
                "C costs as much as B, within a quarter", "ratio",
                each(lambda costs: within(
                    DRAWN[costs], table.settings(costs, "C", "B"), 1 / (1 + QUARTER), 1 + QUARTER
                )), ALL,
            ), ANEW,
        ),
        because(
            judged(
                "capacities", TABLE, "The cost of D is still significantly lower than that of A.",
                "three quarters of it or less", "ratio",
                each(lambda costs: at_most(DRAWN[costs], table.settings(costs, "D", "A"), LESS, 1.0)), ALL,
            ), f"{ANEW} Own data beyond a device's capacity is discarded at f = 1, twice the mean cost of processing.",
        ),
    ]  # fmt: skip


ANEW = "Averages of the past tell something of costs that are drawn once, and nothing of those drawn anew."
UNIT_REASONS = {
    "A": "c ~ U(0, 1) costs 0.5 a point when nothing moves.",
    "B": "The stated distributions give less: the cheapest of ten processing costs, and of links up to 0.1, is about "
    "0.13 a point, whether drawn once or anew, and no f below 1 makes it more.",
    "C": f"{ANEW} Published, estimates cost less than perfect information does (0.23 and 0.26), which no optimum can "
    "of the same costs: the published rows are of different draws, or objectives.",
    "D": "Capacities U(0, 4 max D) are below what some devices collect; what does not fit is discarded at f, which the "
    "paper does not state.",
}


def _spread(table: FogTable) -> str:
    """How far apart single draws are, in words."""
    units = [row.unit for row in table.by_seed((TABLE, "once", SETTING_POLICIES["B"], 2.0)).values()]
    if len(units) < 2:
        return ""
    return f" Drawn once, single draws are {figures(min(units))} to {figures(max(units))}: a mean over few tells little."


def _node_claims(table: FogTable) -> list[Claim | None]:
    steps = list(pairwise(table.places(NODES)))
    ends = _ends(table.places(NODES))

    def grows(column: str) -> tuple[Check, ...]:
        return flat(
            at_least(
                f"{name_of(variant)}, {x:g} to {y:g} devices",
                table.change(NODES, *variant, x, y, column),
                SOME,
                0.0,
            )
            for variant in VARIANTS
            for x, y in ends
        )

    most = ends[0][1] if ends else 0.0
    return [
        because(
            judged(
                "nodes-cost", NODES, "The unit cost steadily decreases with n.",
                "no more than with fewer devices", "ratio",
                flat(
                    at_most(f"{name_of(v)}, {x:g} to {y:g} devices", table.growth(NODES, *v, x, y), 1.0)
                    for v in VARIANTS for x, y in steps
                ), MOST,
            ), "With errors 1 / sqrt(G) it grows: the same data on more devices leaves each with fewer points.",
        ),
        judged(
            "nodes-transfer", NODES, "The transfer cost drives this: it falls.",
            "a point costs no more to move with the most devices than with the fewest", "rate",
            flat(
                at_most(
                    f"{name_of(v)}, {x:g} to {y:g} devices", table.change(NODES, *v, x, y, "transfer"), 0.0
                )
                for v in VARIANTS for x, y in ends
            ), ALL,
        ),
        because(
            judged(
                "nodes-process", NODES, "The processing cost increases with n.",
                "more with the most devices than with the fewest", "rate", grows("process"), ALL,
            ), "By Theorem 3 data goes to the cheapest neighbour, and of more devices the cheapest costs less.",
        ),
        because(
            judged(
                "nodes-discard", NODES, "The discarding cost increases with n.",
                "more with the most devices than with the fewest", "rate", grows("discard"), ALL,
            ), "Linear errors with f = 1 discard next to nothing for cost, with any number of devices.",
        ),
        judged(
            "nodes-rate", NODES, "The offloading rate increases with n.",
            "more with the most devices than with the fewest", "part", grows("sent"), ALL,
        ),
        because(
            judged(
                "nodes-80", NODES, "The offloading rate is over 80 % when n = 50.", "it is 80 % or more", "part",
                flat(
                    at_least(name_of(v), table.value(NODES, *v, most, "sent"), OFFLOADED)
                    for v in VARIANTS if most == 50
                ), ALL,
            ), "With errors 1 / sqrt(G) each device has use for some points of its own.",
        ),
    ]  # fmt: skip


def _connectivity_claims(table: FogTable) -> list[Claim | None]:
    places = table.places(CONNECTIVITY)
    steps, ends = list(pairwise(places)), _ends(places)

    def changes(column: str, spans: Sequence[tuple[float, float]]) -> tuple[Check, ...]:
        return flat(
            at_least(
                f"{name_of(v)}, rho {x:g} to {y:g}", table.change(CONNECTIVITY, *v, x, y, column), SOME, 0.0
            )
            for v in VARIANTS
            for x, y in spans
        )

    return [
        because(
            judged(
                "rho-cost", CONNECTIVITY, "The cost is reasonably robust to rho, for rho > 0.1.",
                "within a quarter of that of the fully connected network", "ratio",
                flat(
                    within(
                        f"{name_of(v)}, rho {x:g}", table.growth(CONNECTIVITY, *v, places[-1], x),
                        1 / (1 + QUARTER), 1 + QUARTER,
                    )
                    for v in VARIANTS for x in places[:-1] if x > ROBUST_FROM
                ), ALL,
            ), "The fewer neighbours, the dearer is the cheapest of them: by Theorem 5 of k neighbours 1 / (k + 2) is.",
        ),
        judged(
            "rho-rate", CONNECTIVITY, "Devices offload less frequently as rho decreases.",
            "the part that is sent is more than with the next smaller rho", "part",
            changes("sent", steps), ALL,
        ),
        judged(
            "rho-discarded", CONNECTIVITY, "The part that is discarded increases slightly with lower rho.",
            "the part that is processed is more with the greatest rho than with the smallest", "part",
            changes("processed", ends), ALL,
        ),
        because(
            judged(
                "rho-discard", CONNECTIVITY, "The discarding cost decreases with lower rho.",
                "more with the greatest rho than with the smallest", "rate",
                changes("discard", ends), ALL,
            ), "The paper's reason is that G, and with it the error, changes over time as in Lemma 1; here an "
            "interval's error is of what was processed in that interval.",
        ),
    ]  # fmt: skip


def _topology_claim(table: FogTable) -> Claim | None:
    social, hierarchy = (next(x for x, name in TOPOLOGIES.items() if name == one) for one in _ALIKE)
    checks = flat(
        within(
            name_of(v), table.growth(TOPOLOGY, *v, social, hierarchy), 1 / (1 + TENTH), 1 + TENTH
        )
        for v in VARIANTS
    )  # fmt: skip
    said = "Social and hierarchical topologies exhibit virtually the same costs (LTE)."
    return because(
        judged(
            "topologies",
            TOPOLOGY,
            said,
            "within a tenth",
            "ratio",
            without_contradiction(checks),
            ALL,
        ),
        "The measured costs of LTE and WiFi are not published: with synthetic ones this refutes nothing, and which cost "
        "dominates on either medium is not judged.",
    )


_ALIKE = ("small-world", "hierarchy")


def fog_aims(table: FogTable) -> list[Claim | None]:
    return [
        judged(
            "expected", TABLE, "Drawn anew, costs are what follows from their distributions: A 0.50, B 0.13.",
            "within a twentieth", "rate",
            flat(
                within(name, table.setting("anew", name), unit * (1 - NEAR), unit * (1 + NEAR))
                for name, unit in EXPECTED.items()
            ), ALL, aim=True,
        ),
        judged(
            "perfect", TABLE, "No estimate costs less than perfect information.",
            "B's unit cost is no more than C's", "ratio",
            flat(at_most(DRAWN[costs], table.settings(costs, "B", "C"), 1.0) for costs in COSTS), ALL, aim=True,
        ),
        judged(
            "least-share", NODES, "With linear errors, and costs drawn anew, the unit cost falls with every device more.",
            "no more than with fewer", "ratio",
            flat(
                at_most(f"{x:g} to {y:g} devices", table.growth(NODES, "anew", LINEAR, x, y), 1.0)
                for x, y in pairwise(table.places(NODES))
            ), ALL, aim=True,
        ),
    ]  # fmt: skip


def _ends(places: Sequence[float]) -> list[tuple[float, float]]:
    """First and last, where they differ."""
    return [(places[0], places[-1])] if len(places) > 1 else []
