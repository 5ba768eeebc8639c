"""Policies of kinds of jobs that do not run yet: how fast they decide, and how good they are.

    python -m tests.benchmarks.early [--json] [--seeds 20] [--quick]

batch: one decision for 1,000 learners. bandit: decisions with their updates a second, at 100 helpers and 10 features; and
mean regret in TOOF's setting after 10^4 items. frames: DJOS for 1,000 users and 10 slots. Medians; ms unless said.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from policies.bandit.model import Offer
from policies.bandit.registry import make_dispatcher
from policies.batch.allocation import mel_exact
from policies.batch.instance import batch_instance
from policies.deadline.frame import frame_of
from policies.deadline.policy import djos, jos

SIGNS = np.array([-1, -1, -1, 1, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--seeds", type=int, default=20, help="of the regret")
    parser.add_argument("--quick", action="store_true", help="two seeds of the regret")
    options = parser.parse_args()
    rows = {**batches(), **frames(), **bandits(2 if options.quick else options.seeds)}
    if options.json:
        print(json.dumps(rows))
        return
    for name, value in rows.items():
        print(f"{name}: {value:.4g}")


def batches() -> dict[str, float]:
    rng = np.random.default_rng(0)
    instance = batch_instance(
        rng.uniform(0.001, 0.02, 1000), rng.uniform(0, 0.03, 1000), rng.uniform(0, 5, 1000), 60_000, 30.0
    )
    return {"mel-exact, ms": _median_ms(lambda: mel_exact(instance), 50)}


def frames() -> dict[str, float]:
    rng = np.random.default_rng(0)
    frame = frame_of(
        rng.uniform(0, 20, 1000), rng.integers(0, 9, 1000), rng.choice([0, 4], 1000), 1.0,
        T=10, e_local=7.0, e_send=4.0, M=3.0,
    )  # fmt: skip
    return {"djos, ms": _median_ms(lambda: djos(frame), 30), "jos, ms": _median_ms(lambda: jos(frame), 5)}


def bandits(seeds: int) -> dict[str, float]:
    rows = {f"{name}, decisions/s": decisions_per_s(name) for name in ("toof", "ecolog", "hybrid")}
    for helpers in (5, 10):
        for name in ("toof", "greedy", "round-robin"):
            found = [regret(name, helpers, seed) for seed in range(seeds)]
            rows[f"{name}, regret at {helpers} helpers"] = statistics.fmean(found)
            rows[f"{name}, its standard error at {helpers}"] = statistics.stdev(found) / len(found) ** 0.5
    return rows


def decisions_per_s(name: str, items: int = 5000) -> float:
    rng, ones = np.random.default_rng(0), np.ones(100)
    dispatcher = make_dispatcher(name, 100, 10, rng)
    offers = [
        Offer(
            features=rng.random((100, 10)) / 10**0.5,
            queue=ones,
            predicted_s=ones,
            transfer_s=ones,
            deadline_s=1.0,
        )
        for _ in range(100)
    ]
    began_s = time.perf_counter()
    for number in range(items):
        chosen = dispatcher.choose(offers[number % 100])
        if chosen is not None:
            dispatcher.feedback(chosen, offers[number % 100], number % 3 > 0)
    return items / (time.perf_counter() - began_s)


def regret(name: str, helpers: int, seed: int, items: int = 10_000) -> float:
    """Mean of the best x . theta less the chosen one's: shared length and complexity, a frequency fixed by helper."""
    rng, zeros = np.random.default_rng(seed), np.zeros(helpers)
    theta = np.abs(rng.normal(size=(helpers, 5))) * SIGNS
    theta /= np.linalg.norm(theta, axis=1)[:, None]
    frequency, lost = rng.random(helpers), 0.0
    dispatcher = make_dispatcher(name, helpers, 5, rng)
    for _ in range(items):
        x = rng.random((helpers, 5))
        x[:, 0], x[:, 1], x[:, 3] = x[0, 0], x[0, 1], frequency
        offer = Offer(features=x / 5**0.5, queue=zeros, predicted_s=zeros, transfer_s=zeros, deadline_s=1.0)
        chosen = dispatcher.choose(offer)
        assert chosen is not None
        scores = (offer.features * theta).sum(axis=1)
        lost += float(scores.max() - scores[chosen])
        dispatcher.feedback(chosen, offer, bool(rng.random() < 1 / (1 + np.exp(-scores[chosen]))))
    return lost / items


def _median_ms(call: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        call()
        times.append(time.perf_counter() - began_s)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    main()
