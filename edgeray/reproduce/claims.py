"""The claims of Zhang 2024, sec. 3.6.2, as rules over our table: a function each, None where its data is missing.

"Much", "significantly" and "similar" have no numbers in the thesis. Here: much better is the least gain that it claims,
1.43 times; much shorter is half; dramatically less is half; significantly more is twice, where it is of waiting, and a
tenth, where it is of throughput; similar is within a quarter.
"""

from __future__ import annotations

from collections.abc import Callable

from edgeray.reproduce import throughput, waiting
from edgeray.reproduce.rules import Claim
from edgeray.reproduce.table import Table

Rule = Callable[[Table], Claim | None]
RULES: tuple[Rule, ...] = (
    throughput.gain_over_lr,
    throughput.gain_over_br,
    throughput.gain_over_tp,
    throughput.tp_beats_whole_jobs,
    throughput.otfs_beats_whole_jobs,
    throughput.otfa_beats_whole_jobs,
    throughput.otfa_best_by_devices,
    throughput.whole_jobs_below_one,
    throughput.dips_on_thin_links,
    throughput.no_dips_on_wide_links,
    throughput.linear_on_wide_links,
    waiting.short_waits_on_few_devices,
    waiting.planning_dominates,
    waiting.waits_stay_low,
    throughput.few_jobs_similar,
    throughput.whole_jobs_decline,
    throughput.otfa_declines_less,
    throughput.otfa_best_with_many_jobs,
    waiting.few_jobs_wait_little,
    waiting.whole_jobs_wait_less_when_few,
    waiting.whole_jobs_wait_when_many,
    waiting.split_jobs_wait_alike,
    throughput.otfa_ahead_on_thin_links,
    throughput.all_similar_on_wide_links,
    throughput.br_over_lr,
    throughput.slightly_better_on_wide_links,
    throughput.grows_with_bandwidth,
)


def judge_all(table: Table) -> list[Claim]:
    """Every claim that the table has data for, in the order of the figures."""
    return [claim for rule in RULES if (claim := rule(table)) is not None]
