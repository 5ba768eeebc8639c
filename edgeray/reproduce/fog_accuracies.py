"""What network-aware learning's paper says of accuracies, as rules over rows of training; and of what tau does.

Source: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, sec. V. Words without numbers mean here: a published accuracy is met
within three points; what matches, or is comparable, is no more than a point, or two, less; minor is two points.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from edgeray.reproduce.fog_rows import (
    CONNECTIVITY,
    COSTS,
    DRAWN,
    LINEAR,
    NODES,
    PERIOD,
    TABLE,
    VARIANTS,
    FogTable,
    name_of,
    setting_key,
)
from edgeray.reproduce.fog_training import ANEW, MODEL, MODELS, SAME, SCHEME_POLICIES, SCHEMES
from edgeray.reproduce.paper_page import judged
from edgeray.reproduce.paper_run import because
from edgeray.reproduce.rules import ALL, MOST, Check, Claim, at_least, at_most, flat, within
from edgeray.reproduce.table import Estimate

LOSSES = "4"
PUBLISHED_SCHEMES = {"mlp": (0.9258, 0.9033, 0.9034), "cnn": (0.9839, 0.9681, 0.9649)}
"""Table II, in the order of `SCHEME_POLICIES`."""
PUBLISHED_SETTINGS = {"A": 0.8289, "B": 0.9024, "C": 0.8924, "D": 0.8210}
PUBLISHED_NODES = {5.0: 0.88, 50.0: 0.92}
"""At the ends of Fig. 5, as its text says; the figure's first n is not in it."""
POINT = 0.01
NEAR = 3 * POINT
BEST_TAU, CONNECTED = 20.0, 0.5
QUARTER, SOME = 0.25, 1e-9
CENTRAL, FEDERATED, AWARE = SCHEME_POLICIES


def accuracy_claims(table: FogTable) -> list[Claim | None]:
    return [
        *_scheme_claims(table),
        *_setting_claims(table),
        *_loss_claims(table),
        _node_claim(table),
        *_period_claims(table),
        _connectivity_claim(table),
    ]


def scheme(figure: str, x: float) -> tuple[str, str, str, float]:
    """A scheme's key in a FogTable."""
    return (figure, ANEW, SCHEME_POLICIES[x], x)


def _scheme_claims(table: FogTable) -> list[Claim | None]:
    def apart(first: float, second: float) -> list[tuple[str, Estimate | None]]:
        return [
            (model, table.gained(model, scheme(SCHEMES, first), scheme(SCHEMES, second))) for model in MODELS
        ]

    def near(model: str, published: Iterable[float]) -> tuple[Check, ...]:
        return flat(
            within(
                f"{SCHEME_POLICIES[x]} (paper: {100 * paper:g} %)", table.accuracy(model, *scheme(SCHEMES, x)),
                paper - NEAR, paper + NEAR,
            )
            for x, paper in zip(SCHEME_POLICIES, published, strict=True)
        )  # fmt: skip

    return [
        *(
            because(
                judged(
                    f"schemes-{model}", SCHEMES,
                    f"{model.upper()}: {', '.join(f'{100 * paper:g} %' for paper in published)} correct (centralized, "
                    "federated, network-aware).",
                    "within three points of each", "part", near(model, published), ALL,
                ), SCHEME_REASONS[model],
            )
            for model, published in PUBLISHED_SCHEMES.items()
        ),
        because(
            judged(
                "schemes-federated", SCHEMES, "Network-aware learning matches federated learning's accuracy.",
                "no more than a point less", "part",
                flat(at_least(model, value, -POINT, -POINT) for model, value in apart(AWARE, FEDERATED)), ALL,
            ), "Federated learning is averaged in every interval (tau = 1), network-aware learning in every tenth.",
        ),
        because(
            judged(
                "schemes-central", SCHEMES, "It does only 2 % worse than centralized learning.",
                "no more than two and a half points less", "part",
                flat(at_least(model, value, -2.5 * POINT, -2.5 * POINT) for model, value in apart(AWARE, CENTRAL)), ALL,
            ), "After as many passes over 4,000 digits nothing is lost by averaging: it evens out what single points do "
            "to single models.",
        ),
    ]  # fmt: skip


SCHEME_REASONS = {
    "mlp": "The paper does not say what its MLP is; ours is MEL's, with three hidden layers. It learns from 4,000 "
    "digits, again and again, rather than from 30,000.",
    "cnn": "It learns from 4,000 digits, again and again, rather than from 30,000.",
}


def _setting_claims(table: FogTable) -> list[Claim | None]:
    def gained(name: str, other: str) -> list[tuple[str, Estimate | None]]:
        keys = [(costs, setting_key(costs, name), setting_key(costs, other)) for costs in COSTS]
        return [(DRAWN[costs], table.gained(MODEL, mine, theirs)) for costs, mine, theirs in keys]

    published = ", ".join(f"{100 * paper:.1f} %" for paper in PUBLISHED_SETTINGS.values())
    return [
        because(
            judged(
                "accuracies", TABLE, f"Settings A to D: {published} correct.",
                "within three points of each, however costs are drawn", "part",
                flat(
                    within(
                        f"{name}, {DRAWN[costs]} (paper: {100 * paper:.1f} %)",
                        table.accuracy(MODEL, *setting_key(costs, name)), paper - NEAR, paper + NEAR,
                    )
                    for name, paper in PUBLISHED_SETTINGS.items() for costs in COSTS
                ), ALL,
            ), "Layers, batches and the number of points are not published: levels are those of our CNN, steps of one "
            "point and 4,000 digits. The order of the settings is what can be compared.",
        ),
        because(
            judged(
                "accuracy-b", TABLE, "The accuracy improves from A to B.", "more", "part",
                flat(at_least(where, value, SOME, 0.0) for where, value in gained("B", "A")), ALL,
            ), "As the paper says: cheap devices get more points, make more steps, and weigh more in the average.",
        ),
        because(
            judged(
                "accuracy-c", TABLE, "With imperfect information there are only minor changes in accuracy (B to C).",
                "two points or less apart", "part",
                flat(within(where, value, -2 * POINT, 2 * POINT) for where, value in gained("C", "B")), ALL,
            ), "Planned by averages, a device sends to the same one for ten intervals: the fewer devices make the steps "
            "between two averages, the further each comes.",
        ),
        because(
            judged(
                "accuracy-d", TABLE, "The accuracy of D is comparable to that of A.",
                "no more than two points less", "part",
                flat(at_least(where, value, -2 * POINT, -2 * POINT) for where, value in gained("D", "A")), ALL,
            ), "Capacities have D discard some of its points, and those that are left are still moved together.",
        ),
    ]  # fmt: skip


def _loss_claims(table: FogTable) -> list[Claim | None]:
    key = setting_key(ANEW, "B")

    def drop(which: int, since: int) -> list[Check]:
        trained = table.trained.get(MODEL)
        told = (
            trained.told([key], lambda row: row.losses[-1][which] - row.losses[since][which])
            if trained
            else None
        )
        return at_most(f"last period less number {since + 1}", told, -SOME, 0.0)

    return [
        judged(
            "loss", LOSSES, "Devices' training losses drop over time.",
            "their mean is less in the last aggregation period than in the first", "rate", tuple(drop(0, 0)), ALL,
        ),
        because(
            judged(
                "loss-spread", LOSSES, "So does their variance.",
                "their deviation is less in the last aggregation period than in the first", "rate",
                tuple(drop(1, 0)), ALL,
            ), "All begin with the same weights, which know nothing: losses differ little at first, and most while they "
            "fall. Periods have few points of each device.",
        ),
    ]  # fmt: skip


def _node_claim(table: FogTable) -> Claim | None:
    places = table.places(NODES)
    return because(
        judged(
            "nodes-accuracy", NODES, "The accuracy increases slightly as n increases, from 88 to 92 %.",
            "more with the most devices than with the fewest", "part",
            tuple(_gained(table, NODES, places[0], places[-1], SOME, "devices") if places else ()), ALL,
        ), "The same points on more devices are fewer steps each between two averages, which are over more models.",
    )  # fmt: skip


def _period_claims(table: FogTable) -> list[Claim | None]:
    places = table.places(PERIOD)
    steps, ends = list(pairwise(places)), [(places[0], places[-1])] if len(places) > 1 else []

    def less(column: str) -> tuple[Check, ...]:
        return flat(
            at_most(f"{name_of(v)}, tau {x:g} to {y:g}", table.change(PERIOD, *v, x, y, column), -SOME, 0.0)
            for v in VARIANTS for x, y in ends
        )  # fmt: skip

    around = [*_gained(table, PERIOD, places[0], BEST_TAU, SOME, "tau")] if places else []
    around += [*_gained(table, PERIOD, places[-1], BEST_TAU, SOME, "tau")] if places else []
    return [
        because(
            judged(
                "tau-cost", PERIOD, "A larger tau yields a smaller unit cost.", "no more than with the next smaller tau",
                "ratio",
                flat(
                    at_most(f"{name_of(v)}, tau {x:g} to {y:g}", table.growth(PERIOD, *v, x, y), 1.0)
                    for v in VARIANTS for x, y in steps
                ), MOST,
            ), TAU_REASON,
        ),
        because(
            judged(
                "tau-discard", PERIOD, "The cost of discarding decreases with tau.",
                "less with the greatest tau than with the smallest", "rate", less("discard"), ALL,
            ), "Data that costs less to discard is discarded more: with linear errors its cost rises from nothing.",
        ),
        judged(
            "tau-process", PERIOD, "The processing cost decreases with tau.",
            "less with the greatest tau than with the smallest", "rate", less("process"), ALL,
        ),
        because(
            judged(
                "tau-transfer", PERIOD, "The transmission cost stays relatively constant.",
                "with the greatest tau within a quarter of that with the smallest", "ratio",
                flat(
                    within(
                        f"{name_of(v)}, tau {x:g} to {y:g}",
                        table.quotient((PERIOD, *v, y), (PERIOD, *v, x), lambda row: row.transfer),
                        1 / (1 + QUARTER), 1 + QUARTER,
                    )
                    for v in VARIANTS for x, y in ends
                ), ALL,
            ), "What is discarded rather than processed elsewhere is not sent either.",
        ),
        because(
            judged(
                "tau-accuracy", PERIOD, "The accuracy improves with tau until roughly 20, and then no more.",
                "more at 20 than at the smallest, and than at the greatest", "part", tuple(around), ALL,
            ), "Points are as many whatever tau is: rarer averages only keep models apart for longer, and of longer "
            "periods more is discarded.",
        ),
    ]  # fmt: skip


TAU_REASON = (
    "The paper's reason is that data can be discarded at a lower cost towards the end of each period. It does not say "
    "how much lower: here f falls as 1 / sqrt(k) in the k-th interval after an aggregation, as Lemma 1's error does with "
    "what was collected since. With f constant no cost depends on tau."
)


def _connectivity_claim(table: FogTable) -> Claim | None:
    places = [x for x in table.places(CONNECTIVITY) if x > CONNECTED]
    checks = _gained(table, CONNECTIVITY, places[0], places[-1], SOME, "rho") if len(places) > 1 else []
    return because(
        judged(
            "rho-accuracy", CONNECTIVITY, "The accuracy tends to benefit from higher connectivity (for rho > 0.5).",
            "more when fully connected than at the least rho above 0.5", "part", tuple(checks), ALL,
        ), "Little depends on it: costs are drawn anew in each interval, so the cheapest device is another each time.",
    )  # fmt: skip


def _gained(table: FogTable, figure: str, first: float, last: float, least: float, what: str) -> list[Check]:
    """Of accuracy from one place to another of a figure."""
    to, than = ((figure, ANEW, LINEAR, x) for x in (last, first))
    value = table.gained(MODEL, to, than)
    return at_least(f"{what} {first:g} to {last:g}", value, least, 0.0)


def accuracy_aims(table: FogTable) -> list[Claim | None]:
    return [
        judged(
            "same-points", SCHEMES,
            "Of the same points, averaged as often, network-aware learning is no less accurate than federated learning.",
            "no more than two points less", "part",
            flat(
                at_least(model, table.gained(model, scheme(SAME, AWARE), scheme(SAME, FEDERATED)), -2 * POINT)
                for model in MODELS
            ), ALL, aim=True,
        )
    ]  # fmt: skip
