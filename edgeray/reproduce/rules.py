"""How a claim is judged: by points, each a number of ours against a threshold."""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from edgeray.reproduce.table import Estimate
from edgeray.web.numbers import MISSING, duration, figures, percent, times

Unit = Literal["gain", "ratio", "seconds", "rate", "part"]

MOST = 2 / 3
ALL = 1.0
AGAINST = 1 / 2


class Verdict(enum.Enum):
    """What we say of a claim of the paper; and of an aim of our own, HELD or MISSED."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    REFUTED = "refuted"
    HELD = "held"
    MISSED = "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One point. holds: our mean fits the claim. contradicts: our whole confidence band lies against it."""

    label: str
    value: Estimate
    holds: bool
    contradicts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """said: what the paper says. rule: when a point holds, and how many must. why: one sentence, or two."""

    key: str
    figure: str
    said: str
    rule: str
    unit: Unit
    verdict: Verdict
    checks: tuple[Check, ...]
    why: str

    @property
    def ours(self) -> str:
        """Our numbers in short: the least, the median and the greatest over the points."""
        means = [check.value.mean for check in self.checks if not math.isnan(check.value.mean)]
        if not means:
            return MISSING
        shown = [number(value, self.unit) for value in (min(means), statistics.median(means), max(means))]
        return shown[0] if len(means) == 1 else f"{shown[0]} to {shown[2]}, median {shown[1]}"

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "figure": self.figure,
            "claim": self.said,
            "rule": self.rule,
            "verdict": self.verdict.value,
            "ours": self.ours,
            "why": self.why,
            "points": [
                {
                    "at": check.label,
                    "value": _finite(check.value.mean),
                    "low": _finite(check.value.low),
                    "high": _finite(check.value.high),
                    "holds": check.holds,
                    "contradicts": check.contradicts,
                }
                for check in self.checks
            ],
        }


def at_least(
    label: str, value: Estimate | None, threshold: float, against: float | None = None
) -> list[Check]:
    """The mean is threshold or more; contradicted by a band below against (default: below the threshold)."""
    if value is None:
        return []
    limit = threshold if against is None else against
    return [Check(label=label, value=value, holds=value.mean >= threshold, contradicts=value.high < limit)]


def at_most(
    label: str, value: Estimate | None, threshold: float, against: float | None = None
) -> list[Check]:
    """The mean is threshold or less; contradicted by a band above against (default: above the threshold)."""
    if value is None:
        return []
    limit = threshold if against is None else against
    return [Check(label=label, value=value, holds=value.mean <= threshold, contradicts=value.low > limit)]


def within(label: str, value: Estimate | None, least: float, most: float) -> list[Check]:
    """The mean lies between; contradicted by a band that lies wholly outside."""
    if value is None:
        return []
    return [
        Check(
            label=label,
            value=value,
            holds=least <= value.mean <= most,
            contradicts=value.high < least or value.low > most,
        )
    ]


def judge(checks: Sequence[Check], share: float) -> Verdict:
    """Reproduced when so large a share of the points hold; refuted when more than half contradict; else neither."""
    if sum(check.holds for check in checks) >= share * len(checks) - 1e-9:
        return Verdict.REPRODUCED
    if sum(check.contradicts for check in checks) > AGAINST * len(checks):
        return Verdict.REFUTED
    return Verdict.NOT_REPRODUCED


def without_contradiction(checks: Iterable[Check]) -> tuple[Check, ...]:
    """For a claim whose premise does not come about in our setting: that shows nothing against it."""
    return tuple(replace(check, contradicts=False) for check in checks)


def counted(checks: Sequence[Check]) -> str:
    """How many points hold and how many contradict, as a sentence."""
    held, against = sum(c.holds for c in checks), sum(c.contradicts for c in checks)
    if held == len(checks):
        return f"It holds at {'the one point' if held == 1 else f'all {held} points'}."
    told = f"It holds at {held} of {len(checks)} points"
    return f"{told}; {against} contradict it, confidence bands apart." if against else f"{told}."


def number(value: float, unit: Unit) -> str:
    """A value as the page shows it: +43 %, 1.43×, 250 ms, 0.126."""
    if not math.isfinite(value):
        return MISSING if math.isnan(value) else "∞"
    if unit == "gain":
        return f"{'+' if value > 1 else ''}{percent(value - 1)}"
    shown = {"ratio": times, "seconds": duration, "rate": figures, "part": percent}[unit]
    return shown(value)


def band(value: Estimate, unit: Unit) -> str:
    """The confidence band as the page shows it."""
    return f"{number(value.low, unit)} … {number(value.high, unit)}" if value.known else "one seed: no band"


def flat(checks: Iterable[list[Check]]) -> tuple[Check, ...]:
    return tuple(check for group in checks for check in group)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
