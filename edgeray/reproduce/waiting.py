"""The claims of Zhang 2024 about waiting (Fig. 3.11 c, e) as rules over our table: None where its data is missing."""

from __future__ import annotations

from edgeray.reproduce.experiments import DEVICES, JOBS, Cell
from edgeray.reproduce.rules import ALL, MOST, Claim, at_least, at_most, flat, within, without_contradiction
from edgeray.reproduce.table import Estimate, Table, estimate
from edgeray.reproduce.thesis import SPLIT, THESIS, WHOLE, ends, paper_claim
from edgeray.web.numbers import policy_label

TOTAL = "total_waiting_s"
NOT_SCARCE = (
    "No job ever waits for another under LR and BR: the memory of table 3.1 holds all that run at a time, and the "
    "thesis does not say what its jobs hold."
)


def _whole_jobs_wait(table: Table, name: str) -> bool:
    """Whether resources ever are so scarce that a job has to wait for another to end under LR or BR."""
    return any(
        value > 0
        for _, cell in table.points(name)
        for policy in WHOLE
        for value in table.by_seed(cell, policy, "waiting_s").values()
    )


def short_waits_on_few_devices(table: Table) -> Claim | None:
    checks = flat(
        at_most(
            f"{policy_label(p)}, {x:g} devices", table.ratio(cell, p, WHOLE, TOTAL, min), 0.5, against=1.0
        )
        for x, cell in table.points("c")
        if x < DEVICES
        for p in SPLIT
    )
    scarce = _whole_jobs_wait(table, "c")
    if not scarce:
        checks = without_contradiction(checks)
    said = "Below 30 devices jobs wait much less under TP, OTFS and OTFA than under LR and BR."
    return paper_claim(
        "waits-few-devices",
        "c",
        said,
        "half as long as under the better of LR and BR, or less",
        "ratio",
        checks,
        MOST,
        otherwise="" if scarce else NOT_SCARCE,
    )


def planning_dominates(table: Table) -> Claim | None:
    checks = flat(
        at_least(f"{policy_label(policy)}, {x:g} devices", _planning_part(table, cell, policy), 0.5)
        for x, cell in table.points("c")
        if x > DEVICES
        for policy in SPLIT
    )
    said = "Above 30 devices the waiting time is dominated by how long planning takes."
    return paper_claim("planning", "c", said, "half of the waiting or more is planning", "part", checks, MOST)


def _planning_part(table: Table, cell: Cell, policy: str) -> Estimate | None:
    planning, total = table.by_seed(cell, policy, "planning_s"), table.by_seed(cell, policy, TOTAL)
    parts = [planning[seed] / total[seed] for seed in sorted(total) if total[seed] > 0]
    return estimate(parts) if parts else None


def waits_stay_low(table: Table) -> Claim | None:
    checks = flat(
        at_most(
            f"{policy_label(policy)}, {x:g} devices", table.value(cell, policy, TOTAL), 1.0 if x < 50 else 2.5
        )
        for x, cell in table.points("c")
        if x > DEVICES
        for policy in SPLIT
    )
    said = "Above 30 devices jobs wait at most about 1 s below 50 devices, and about 2.5 s at 70."
    rule = "1 s or less below 50 devices, 2.5 s or less from there on"
    return paper_claim("waits-low", "c", said, rule, "seconds", checks, ALL)


def few_jobs_wait_little(table: Table) -> Claim | None:
    checks = flat(
        at_most(f"{policy_label(policy)}, {x:g} jobs", table.value(cell, policy, TOTAL), 0.5)
        for x, cell in table.points("e")
        if x < JOBS
        for policy in THESIS
    )
    said = "With fewer than 50 jobs no policy makes them wait longer than 0.5 s."
    return paper_claim("waits-few-jobs", "e", said, "0.5 s or less", "seconds", checks, ALL)


def whole_jobs_wait_less_when_few(table: Table) -> Claim | None:
    checks = flat(
        at_least(f"{policy_label(p)}, {x:g} jobs", table.ratio(cell, p, WHOLE, TOTAL), 1.0)
        for x, cell in table.points("e")
        if x < JOBS
        for p in SPLIT
    )
    said = "With fewer than 50 jobs they wait less under LR and BR than under TP, OTFS and OTFA."
    return paper_claim(
        "waits-whole-less", "e", said, "no shorter than under LR and BR", "ratio", checks, MOST
    )


def whole_jobs_wait_when_many(table: Table) -> Claim | None:
    checks = flat(
        at_least(
            f"{policy_label(p)}, {x:g} to {y:g} jobs", table.growth(first, last, p, TOTAL), 2.0, against=1.0
        )
        for (x, first), (y, last) in ends(table, "e", JOBS)
        for p in WHOLE
    )
    scarce = _whole_jobs_wait(table, "e")
    if not scarce:
        checks = without_contradiction(checks)
    said = "Above 50 jobs the waiting time of LR and BR increases significantly."
    rule, reason = "with the most jobs twice as long or longer", "" if scarce else NOT_SCARCE
    return paper_claim("waits-whole-grow", "e", said, rule, "ratio", checks, ALL, otherwise=reason)


def split_jobs_wait_alike(table: Table) -> Claim | None:
    points = [(x, cell) for x, cell in table.points("e") if x >= JOBS]
    checks = flat(
        within(
            f"{policy_label(p)}, {points[0][0]:g} to {x:g} jobs",
            table.growth(points[0][1], cell, p, TOTAL),
            1 / 1.5,
            1.5,
        )
        for x, cell in points[1:]
        for p in SPLIT
    )
    said = "Above 50 jobs the waiting time of TP, OTFS and OTFA stays what it was."
    return paper_claim(
        "waits-split-stay", "e", said, "within half of that with 50 jobs", "ratio", checks, MOST
    )
