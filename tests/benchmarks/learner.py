"""Online decisions: how fast helpers are chosen and frames planned, how good the choice is, and what the learner costs.

    python -m tests.benchmarks.learner [--json] [--seeds 20] [--quick]

decisions/s: with their updates, at 100 helpers and 10 features; choosing alone, too. djos: 1,000 users, 10 slots; all
mu = 1, or some that compute more, which takes the DP. regret: TOOF's setting, mean after 10^4 items over the seeds.
merge: 100 bits from one dispatcher, checked, learned and on the disk (a temporary folder); coded: on the dispatcher's
side; load: a learner that was killed with so many bits in its log. Medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgeray.learner.messages import Feedback, plain_feedback
from edgeray.learner.service import LearnerService
from policies.bandit.model import Dispatcher, Offer
from policies.bandit.registry import make_dispatcher
from policies.deadline.frame import Frame, frame_of
from policies.deadline.policy import djos, jos
from policies.model import JobId

SIGNS = np.array([-1, -1, -1, 1, 1])
HELPERS, FEATURES = 100, 10
ITEMS = 5000
MERGES = ((5, 5), (100, 10))
"""Helpers and features of the dispatchers whose bits are merged."""
BATCH = 100
LOADED = 900


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--seeds", type=int, default=20, help="of the regret")
    parser.add_argument("--quick", action="store_true", help="two seeds of the regret")
    options = parser.parse_args()
    rows = {**decisions(), **frames(), **merges(), **regrets(2 if options.quick else options.seeds)}
    if options.json:
        print(json.dumps(rows))
        return
    for name, value in rows.items():
        print(f"{name}: {value:.4g}")


def decisions() -> dict[str, float]:
    rows = {}
    for name in ("toof", "ecolog", "hybrid"):
        offers = drawn_offers(HELPERS, FEATURES)
        rows[f"{name}, decisions/s"] = per_s(name, offers, learn=True)
        rows[f"{name}, choices/s"] = per_s(name, offers, learn=False)
    return rows


def per_s(name: str, offers: list[Offer], *, learn: bool) -> float:
    def run() -> None:
        dispatcher = made(name)
        for number in range(ITEMS):
            offer = offers[number % len(offers)]
            chosen = dispatcher.choose(offer)
            if learn and chosen is not None:
                dispatcher.feedback(chosen, offer, number % 3 > 0)

    return ITEMS / (_median_ms(run, 3) / 1e3)


def made(name: str, helpers: int = HELPERS, features: int = FEATURES) -> Dispatcher:
    return make_dispatcher(name, helpers, features, np.random.default_rng(0))


def drawn_offers(helpers: int, features: int, count: int = 100) -> list[Offer]:
    rng, ones = np.random.default_rng(0), np.ones(helpers)
    return [
        Offer(
            features=rng.random((helpers, features)) / features**0.5,
            queue=ones,
            predicted_s=0.2 + rng.random(helpers),
            transfer_s=0.1 * ones,
            deadline_s=1.0,
        )
        for _ in range(count)
    ]


def frames() -> dict[str, float]:
    greedy, mixed = (
        drawn_frame(np.ones(1000)),
        drawn_frame(np.random.default_rng(1).choice([1.0, 2.0, 3.0], 1000)),
    )
    return {
        "djos, ms": _median_ms(partial(djos, greedy), 30),
        "djos where some compute more, ms": _median_ms(partial(djos, mixed), 30),
        "jos, ms": _median_ms(partial(jos, greedy), 5),
    }


def drawn_frame(mu: np.ndarray) -> Frame:
    rng = np.random.default_rng(0)
    return frame_of(
        rng.uniform(0, 20, 1000), rng.integers(0, 9, 1000), rng.choice([0, 4], 1000), mu,
        T=10, e_local=7.0, e_send=4.0, M=3.0,
    )  # fmt: skip


def merges() -> dict[str, float]:
    rows = {}
    for helpers, features in MERGES:
        told = drawn_bits(helpers, features)
        batch = [plain_feedback(bit) for bit in told]
        size = f"{helpers} helpers"
        rows[f"coded, {BATCH} bits of {size}, ms"] = _median_ms(
            lambda bits=told: [plain_feedback(b) for b in bits], 10
        )
        for policy in ("toof", "hybrid"):
            about = {
                "policy": policy,
                "helpers": list(told[0].helpers),
                "dimensions": features,
                "seed": 0,
            }
            with TemporaryDirectory() as folder:
                rows[f"merge, {policy}, {BATCH} bits of {size}, ms"] = merge_ms(Path(folder), about, batch)
                rows[f"load, {policy}, {LOADED} bits of {size}, ms"] = _median_ms(
                    lambda at=folder: LearnerService(Path(at)), 5
                )
    return rows


def drawn_bits(helpers: int, features: int) -> list[Feedback]:
    names = tuple(f"helper-{number}" for number in range(helpers))
    offers = drawn_offers(helpers, features, BATCH)
    return [
        Feedback(
            number=number, helper=names[number % helpers], offer=offer, happy=number % 3 > 0, helpers=names
        )
        for number, offer in enumerate(offers, 1)
    ]


def merge_ms(folder: Path, about: dict[str, object], batch: list[object]) -> float:
    learner, job, have = LearnerService(folder), JobId("job"), 0
    learner.open(job, about)
    times = []
    while have < LOADED:
        began_s = time.perf_counter()
        have = learner.merge(job, "life", have + 1, batch)
        times.append(time.perf_counter() - began_s)
    return 1e3 * statistics.median(times)


def regrets(seeds: int) -> dict[str, float]:
    rows = {}
    for helpers in (5, 10):
        for name in ("toof", "greedy", "round-robin"):
            found = [regret(name, helpers, seed) for seed in range(seeds)]
            rows[f"{name}, regret at {helpers} helpers"] = statistics.fmean(found)
            rows[f"{name}, its standard error at {helpers}"] = statistics.stdev(found) / len(found) ** 0.5
    return rows


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
