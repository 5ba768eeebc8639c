"""Which helper gets an item, simulated: the paper's model of happy and unhappy helpers ("bits").

Source: "Online optimal task offloading with one-bit feedback" (TOOF), sec. 5. Five features of an item at a helper:
task length, complexity and queue length, which it likes little of, CPU frequency and channel quality, which it likes.
Length and complexity are the item's, the frequency the helper's; the rest is drawn. The paper says no more; that is
our specification's reading, by which its curves come out. `offload_queues` has helpers with queues instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from edgeray.errors import BadInputError
from edgeray.simulator.settings import choice, number, truth
from policies.bandit.ecolog import sigmoid
from policies.bandit.hybrid import Hybrid
from policies.bandit.model import Dispatcher, Floats, Offer
from policies.bandit.registry import DISPATCHERS, make_dispatcher
from policies.bandit.toof import Optimal, Toof

SIGNS = np.array([-1.0, -1.0, -1.0, 1.0, 1.0])
LENGTH, COMPLEXITY, QUEUE, FREQUENCY, CHANNEL = range(5)
OPTIMAL, CLAIRVOYANT, THEORY = "optimal", "clairvoyant", "toof-theory"
BIT_POLICIES = (*DISPATCHERS, THEORY, OPTIMAL)
QUEUE_POLICIES = (*DISPATCHERS, THEORY, CLAIRVOYANT)
SITUATIONS = ("steady", "throttled", "stale", "fails-fast")

_MOST_WAITING = 10.0
"""Items at a helper whose queue feature is 1: for dispatchers that reckon with queues."""
_BLOCK = 1000
"""Items drawn at a time."""
_POINTS = 50
"""Of a curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOffload:
    """What is simulated; defaults are the paper's, or our specification's where it says nothing."""

    model: str = choice("bits", "what helpers are like", "bits", "queues")
    helpers: int = number(5, "how many", least=1, most=1000)
    sharpness: float = number(1.0, "bits: the length of theta", least=0, most=100)
    c: float = number(0.03, "TOOF's practical radius", least=0, most=1e6)
    ridge: float = number(3.0, "TOOF's lambda", least=1e-6, most=1e6)
    radius: float = number(1.0, "TOOF's R", least=1e-3, most=100)
    delta: float = number(0.05, "of TOOF's theory radius", least=1e-9, most=1)
    situation: str = choice("steady", "queues: what goes wrong", *SITUATIONS)
    load: float = number(0.7, "queues: arriving work over what helpers can do", least=0.01, most=10)
    rate_per_s: float = number(10.0, "queues: usual items a second of a usual helper", least=1e-3, most=1e6)
    spread: float = number(3.0, "queues: the fastest helper over the slowest", least=1, most=100)
    work_spread: float = number(4.0, "queues: the largest item over the smallest", least=1, most=100)
    item_bytes: float = number(50e3, "queues: of a usual item", least=1, most=1e9)
    link_bps: float = number(50e6, "queues: of a way to a helper", least=1e3, most=1e12)
    deadline_s: float = number(0.6, "queues: from an item's arrival", least=1e-3, most=1e4)
    telemetry_s: float = number(0.2, "queues: helpers tell of themselves so often", least=1e-3, most=1e4)
    delay_s: float = number(0.0, "queues: and are heard so late", least=0, most=1e4)
    stale_s: float = number(3.0, "queues: the delay where telemetry is stale", least=0, most=1e4)
    returns: bool = truth(True, "queues: what came back is taken off old queues (ours)")
    own: bool = truth(True, "queues: work under way and speeds are the dispatcher's own measurement (ours)")
    measured: bool = truth(False, "queues: helpers tell how fast they were, not how fast they are to be")
    jitter: float = number(
        0.0, "queues: deviation of log(work as it turns out / as it is said)", least=0, most=3
    )
    paced: bool = truth(False, "queues: items come at equal distances, not at random")
    from_part: float = number(0.25, "queues: what goes wrong does so after this part", least=0, most=1)
    throttle: float = number(
        0.25, "queues: the throttled helper's rate over what it tells", least=1e-3, most=1
    )
    fail_s: float = number(0.002, "queues: how soon an item fails where it does", least=0, most=1e4)


@dataclass(frozen=True, slots=True, kw_only=True)
class OffloadRun:
    """One policy's run. met: the part of all items whose bit is happy. reward: mean of happy 1, unhappy or refused -1.

    regret: a mean over items; in bits x . theta of the best helper less that of the chosen one, in queues what the
    clairvoyant meets less what this one does. refused, late, failed: items. sent: items by helper. curve: (items,
    regret, reward) so far, of some items.
    """

    policy: str
    seed: int
    items: int
    regret: float
    reward: float
    met: float
    refused: int = 0
    late: int = 0
    failed: int = 0
    sent: tuple[int, ...]
    curve: tuple[tuple[int, float, float], ...] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        told = {
            name: getattr(self, name)
            for name in ("policy", "seed", "items", "regret", "reward", "met", "refused", "late", "failed")
        }
        curve = [{"items": t, "regret": regret, "reward": reward} for t, regret, reward in self.curve]
        return told | {"sent": list(self.sent), "curve": curve}


def simulate_bits(settings: PaperOffload, policy: str, items: int, seed: int) -> OffloadRun:
    """One policy in the paper's model. The same seed draws the same items, and the same luck of each helper."""
    theta, frequency = drawn_helpers(settings, seed)
    dispatcher = bit_dispatcher(policy, settings, theta, np.random.default_rng([seed, 2]))
    regret, reward = np.empty(items), np.empty(items)
    sent = np.zeros(settings.helpers, dtype=np.int64)
    for number_, (x, luck) in enumerate(_items(settings, frequency, items, seed)):
        offer = bit_offer(x)
        chosen = dispatcher.choose(offer)
        assert chosen is not None, "nothing is refused where nobody admits"
        scores = np.einsum("nd,nd->n", offer.features, theta)
        happy = bool(luck[chosen] < sigmoid(float(scores[chosen])))
        dispatcher.feedback(chosen, offer, happy)
        regret[number_] = scores.max() - scores[chosen]
        reward[number_] = 1.0 if happy else -1.0
        sent[chosen] += 1
    return OffloadRun(
        policy=policy,
        seed=seed,
        items=items,
        regret=float(regret.mean()),
        reward=float(reward.mean()),
        met=float((reward > 0).mean()),
        sent=tuple(sent.tolist()),
        curve=curve_of(regret, reward),
    )


def drawn_helpers(settings: PaperOffload, seed: int) -> tuple[Floats, Floats]:
    """theta, shape (N, 5), of the paper's signs and length `sharpness`; and CPU frequencies, shape (N,)."""
    rng = np.random.default_rng([seed, 0])
    theta = np.abs(rng.normal(size=(settings.helpers, 5))) * SIGNS
    theta *= settings.sharpness / np.linalg.norm(theta, axis=1)[:, None]
    return theta, rng.random(settings.helpers)


def bit_offer(x: Floats) -> Offer:
    """x: shape (N, 5), in 0 ... 1. Queues and delays are reckoned from the same five, for those that go by them."""
    queue = _MOST_WAITING * x[:, QUEUE]
    with np.errstate(divide="ignore"):
        transfer_s = x[:, LENGTH] / x[:, CHANNEL]
        work_s = (0.5 * queue + x[:, COMPLEXITY]) / x[:, FREQUENCY]
    return Offer(
        features=x / math.sqrt(5),
        queue=queue,
        predicted_s=work_s + transfer_s,
        transfer_s=transfer_s,
        deadline_s=0.5 * _MOST_WAITING,
        size=2 * float(x[0, LENGTH]),
        complexity=2 * float(x[0, COMPLEXITY]),
    )


def bit_dispatcher(
    policy: str, settings: PaperOffload, theta: Floats, rng: np.random.Generator
) -> Dispatcher:
    """Raises BadInputError for a name that is none in this model."""
    if policy == OPTIMAL:
        return Optimal(theta)
    if policy == "hybrid":
        return Hybrid(settings.helpers, admit=0.0)  # each item goes somewhere, in the paper
    return learner(policy, settings, theta.shape[1], rng, BIT_POLICIES)


def learner(
    policy: str, settings: PaperOffload, features: int, rng: np.random.Generator, known: tuple[str, ...]
) -> Dispatcher:
    """A dispatcher that knows no truth; TOOF with the settings' parameters."""
    check_policy(policy, known)
    if policy in ("toof", THEORY):
        rule: Literal["practical", "theory"] = "practical" if policy == "toof" else "theory"
        return Toof(
            settings.helpers,
            features,
            radius_rule=rule,
            c=settings.c,
            ridge=settings.ridge if rule == "practical" else 1.0,
            radius=settings.radius,
            delta=settings.delta,
        )
    return make_dispatcher(policy, settings.helpers, features, rng)


def check_policy(policy: str, known: tuple[str, ...]) -> None:
    if policy not in known:
        raise BadInputError(
            f"'{policy}' is no dispatcher of this model\n  expected: one of {', '.join(known)}\n"
            "  remedy:   name one of these"
        )


def curve_of(regret: Floats, reward: Floats) -> tuple[tuple[int, float, float], ...]:
    """Means of the first t items for some t, the last of all of them."""
    t = np.unique(np.linspace(0, len(regret), min(_POINTS, len(regret)) + 1).astype(np.int64)[1:])
    so_far: Callable[[Floats], Floats] = lambda values: np.cumsum(values)[t - 1] / t  # noqa: E731
    return tuple(zip(t.tolist(), so_far(regret).tolist(), so_far(reward).tolist(), strict=True))


def _items(
    settings: PaperOffload, frequency: Floats, items: int, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """Of each item its features at the helpers, shape (N, 5), and a number in 0 ... 1 for each helper's bit."""
    rng = np.random.default_rng([seed, 1])
    for first in range(0, items, _BLOCK):
        count = min(_BLOCK, items - first)
        x = rng.random((count, settings.helpers, 5))
        x[:, :, LENGTH] = x[:, :1, LENGTH]
        x[:, :, COMPLEXITY] = x[:, :1, COMPLEXITY]
        x[:, :, FREQUENCY] = frequency
        yield from zip(x, rng.random((count, settings.helpers)), strict=True)
