"""The claims of Zhang 2024 about throughput (Fig. 3.11 a, b, d, f) as rules over our table: None without data."""

from __future__ import annotations

from itertools import pairwise

from edgeray.reproduce.rules import ALL, MOST, Claim, at_least, at_most, flat, within
from edgeray.reproduce.table import Estimate, Table, estimate
from edgeray.reproduce.thesis import FEW_JOBS, LEAST_GAIN, SIMILAR, SPLIT, THESIS, WHOLE, ends, paper_claim
from edgeray.web.numbers import policy_label

ONE_RATE = (
    "Eq. 3.15 gives all jobs on a link one rate, and flows more than their jobs can compute; under equal shares small "
    "flows go faster."
)
CROWDED = (
    "Alg. 1 gives each task the device that computes it soonest, however many tasks compute there already, so that on "
    "few devices or wide links all crowd on the fastest."
)
FRAMES = "LR and BR send frames of 6 MB over the network however few jobs there are."


def gain_over_lr(table: Table) -> Claim | None:
    return _gain(table, "lr")


def gain_over_br(table: Table) -> Claim | None:
    return _gain(table, "br")


def gain_over_tp(table: Table) -> Claim | None:
    return _gain(table, "tp")


def _gain(table: Table, base: str) -> Claim | None:
    checks = flat(
        at_least(
            f"{x:g} devices, {cell.mean_bps / 1e6:g} Mbps", table.ratio(cell, "otfa", [base]), LEAST_GAIN
        )
        for name in "ab"
        for x, cell in table.points(name)
    )
    said = f"OTFA's mean throughput is 43 to 220 % above {policy_label(base)}'s."
    return paper_claim(
        f"gain-{base}",
        "a, b",
        said,
        "OTFA's mean is 1.43 times the other's or more",
        "gain",
        checks,
        MOST,
        otherwise=ONE_RATE if base == "tp" else CROWDED,
    )


def tp_beats_whole_jobs(table: Table) -> Claim | None:
    return _beats_whole_jobs(table, "tp")


def otfs_beats_whole_jobs(table: Table) -> Claim | None:
    return _beats_whole_jobs(table, "otfs")


def otfa_beats_whole_jobs(table: Table) -> Claim | None:
    return _beats_whole_jobs(table, "otfa")


def _beats_whole_jobs(table: Table, policy: str) -> Claim | None:
    checks = flat(
        at_least(f"{x:g} devices", table.ratio(cell, policy, WHOLE), LEAST_GAIN, against=1.0)
        for x, cell in table.points("a")
    )
    said = (
        f"At 1 Mbps {policy_label(policy)}, which splits jobs, is much better than LR and BR, which do not."
    )
    rule = "its mean is 1.43 times that of the better of LR and BR"
    return paper_claim(f"split-{policy}", "a", said, rule, "ratio", checks, MOST)


def otfa_best_by_devices(table: Table) -> Claim | None:
    checks = flat(
        at_least(f"over {policy_label(other)}, {x:g} devices", table.ratio(cell, "otfa", [other]), 1.0)
        for x, cell in table.points("a")
        for other in ("tp", "otfs")
    )
    said = "OTFA is the best of TP, OTFS and OTFA."
    return paper_claim(
        "otfa-best-devices", "a", said, "OTFA's mean is no less", "ratio", checks, ALL, otherwise=ONE_RATE
    )


def whole_jobs_below_one(table: Table) -> Claim | None:
    checks = flat(
        at_most(f"{policy_label(policy)}, {x:g} devices", table.value(cell, policy), 1.0)
        for x, cell in table.points("a")
        for policy in WHOLE
    )
    said = "The mean throughput of LR and BR does not exceed 1 item/s."
    return paper_claim("below-one", "a", said, "the mean is 1 item/s or less", "rate", checks, ALL)


def dips_on_thin_links(table: Table) -> Claim | None:
    cells = dict(table.points("a"))
    checks = flat(
        at_most(f"{policy_label(policy)}, {x} to {y} devices", table.growth(cells[x], cells[y], policy), 1.0)
        for x, y in ((10, 20), (30, 40))
        if x in cells and y in cells
        for policy in SPLIT
    )
    said = "At 1 Mbps the throughput falls slightly from 10 to 20 devices and from 30 to 40."
    return paper_claim("dips", "a", said, "the mean is no higher after the step", "ratio", checks, MOST)


def no_dips_on_wide_links(table: Table) -> Claim | None:
    checks = flat(
        at_least(f"{policy_label(policy)}, {x:g} to {y:g} devices", table.growth(first, last, policy), 1.0)
        for (x, first), (y, last) in pairwise(table.points("b"))
        for policy in SPLIT
    )
    said = "At 10 Mbps no such dip remains."
    return paper_claim("no-dips", "b", said, "the mean is no lower after the step", "ratio", checks, ALL)


def linear_on_wide_links(table: Table) -> Claim | None:
    checks = flat(at_least(policy_label(policy), _straightness(table, "b", policy), 0.9) for policy in SPLIT)
    said = "At 10 Mbps the throughput grows linearly with the number of devices."
    rule = "a rising straight line explains 90 % of the variance of the means"
    return paper_claim("linear", "b", said, rule, "part", checks, ALL)


def _straightness(table: Table, name: str, policy: str) -> Estimate | None:
    """R² of the straight line through the means, negative where it falls; None for fewer than three points."""
    told = [(x, value.mean) for x, cell in table.points(name) if (value := table.value(cell, policy))]
    if len(told) < 3:
        return None
    xs, ys = [x for x, _ in told], [y for _, y in told]
    x0, y0 = sum(xs) / len(xs), sum(ys) / len(ys)
    across = sum((x - x0) * (y - y0) for x, y in told)
    spread = sum((x - x0) ** 2 for x in xs) * sum((y - y0) ** 2 for y in ys)
    return estimate([across * abs(across) / spread if spread > 0 else 0.0])


def few_jobs_similar(table: Table) -> Claim | None:
    checks = flat(
        within(f"{policy_label(policy)}, {x:g} jobs", table.ratio(cell, policy, WHOLE), 1 / SIMILAR, SIMILAR)
        for x, cell in table.points("d")
        if x <= FEW_JOBS
        for policy in ("otfs", "otfa")
    )
    said = "With 30 jobs or fewer OTFS and OTFA do about as well as the baselines."
    return paper_claim(
        "few-jobs",
        "d",
        said,
        "within a quarter of the better of LR and BR",
        "ratio",
        checks,
        MOST,
        otherwise=FRAMES,
    )


def whole_jobs_decline(table: Table) -> Claim | None:
    checks = flat(
        at_most(f"{policy_label(p)}, {x:g} to {y:g} jobs", table.growth(first, last, p), 0.5, against=1.0)
        for (x, first), (y, last) in ends(table, "d", FEW_JOBS)
        for p in WHOLE
    )
    said = "With more than 30 jobs the throughput of LR and BR declines dramatically."
    return paper_claim("decline", "d", said, "with the most jobs half the mean or less", "ratio", checks, ALL)


def otfa_declines_less(table: Table) -> Claim | None:
    checks = flat(
        at_least(
            f"over {policy_label(p)}, {x:g} to {y:g} jobs", table.growth(first, last, "otfa", over=p), 1.0
        )
        for (x, first), (y, last) in ends(table, "d", FEW_JOBS)
        for p in WHOLE
    )
    said = "OTFA makes better use of the resources when there are more jobs."
    rule = "its mean over the other's is no less with the most jobs than with few"
    return paper_claim("declines-less", "d", said, rule, "ratio", checks, ALL)


def otfa_best_with_many_jobs(table: Table) -> Claim | None:
    checks = flat(
        at_least(f"over {policy_label(other)}, {x:g} jobs", table.ratio(cell, "otfa", [other]), 1.0)
        for x, cell in table.points("d")
        if x > FEW_JOBS
        for other in (*WHOLE, "tp", "otfs")
    )
    said = "With more than 30 jobs OTFA performs best of the five."
    return paper_claim(
        "otfa-best-jobs", "d", said, "OTFA's mean is no less", "ratio", checks, ALL, otherwise=ONE_RATE
    )


def otfa_ahead_on_thin_links(table: Table) -> Claim | None:
    checks = flat(
        at_least(f"over {policy_label(o)}, {x:g} Mbps", table.ratio(cell, "otfa", [o]), 1.1, against=1.0)
        for x, cell in table.points("f")
        if x <= 5
        for o in (*WHOLE, "tp", "otfs")
    )
    said = "Up to 5 Mbps OTFA outperforms the other four significantly."
    return paper_claim(
        "otfa-thin",
        "f",
        said,
        "OTFA's mean is 1.1 times the other's or more",
        "ratio",
        checks,
        ALL,
        otherwise=ONE_RATE,
    )


def all_similar_on_wide_links(table: Table) -> Claim | None:
    checks = flat(
        within(f"{policy_label(p)} to OTFA, {x:g} Mbps", table.ratio(cell, p, ["otfa"]), 1 / SIMILAR, SIMILAR)
        for x, cell in table.points("f")
        if x > 10
        for p in (*WHOLE, "tp", "otfs")
    )
    said = "Above 10 Mbps all five have similar throughput."
    return paper_claim(
        "similar-wide", "f", said, "within a quarter of OTFA's mean", "ratio", checks, MOST, otherwise=CROWDED
    )


def br_over_lr(table: Table) -> Claim | None:
    checks = flat(
        at_least(f"{x:g} Mbps", table.ratio(cell, "br", ["lr"]), 1.0) for x, cell in table.points("f")
    )
    return paper_claim("br-over-lr", "f", "BR outperforms LR.", "BR's mean is no less", "ratio", checks, MOST)


def slightly_better_on_wide_links(table: Table) -> Claim | None:
    checks = flat(
        at_least(f"{policy_label(policy)}, {x:g} Mbps", table.ratio(cell, policy, WHOLE), 1.0)
        for x, cell in table.points("f")
        if x > 10
        for policy in ("otfs", "otfa")
    )
    said = "Above 10 Mbps OTFS and OTFA are still slightly better than LR and BR."
    rule = "its mean is no less than that of the better of LR and BR"
    return paper_claim("better-wide", "f", said, rule, "ratio", checks, MOST, otherwise=CROWDED)


def grows_with_bandwidth(table: Table) -> Claim | None:
    checks = flat(
        at_least(f"{policy_label(policy)}, {x:g} to {y:g} Mbps", table.growth(first, last, policy), 0.99)
        for (x, first), (y, last) in pairwise(table.points("f"))
        for policy in THESIS
    )
    said = "The throughput of all five grows with the bandwidth."
    return paper_claim(
        "bandwidth", "f", said, "the mean falls by 1 % at most", "ratio", checks, ALL, otherwise=CROWDED
    )
