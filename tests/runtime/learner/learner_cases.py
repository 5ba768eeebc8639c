"""Bits for learners, policies that saw them, and a process that can be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgeray.learner.messages import Feedback, plain_feedback
from edgeray.learner.service import LearnerService
from policies.bandit.model import Learning, Offer
from policies.bandit.registry import make_dispatcher
from policies.model import JobId

JOB = JobId("job")
HELPERS = ("a", "b", "c")
LEARNING = ("toof", "greedy", "ecolog", "hybrid")
D = 4


def about(policy: str = "hybrid", helpers: Sequence[str] = HELPERS, dimensions: int = D) -> dict[str, Any]:
    return {"policy": policy, "helpers": list(helpers), "dimensions": dimensions, "seed": 0}


def feedback(number: int, helpers: Sequence[str] = HELPERS, dimensions: int = D) -> Feedback:
    """One of a kind for each number; some of what it offers is not known, or not finite."""
    rng = np.random.default_rng(number)
    n = len(helpers)
    x, queue, predicted_s = rng.random((n, dimensions)), 5 * rng.random(n), 0.2 + 2 * rng.random(n)
    if number % 3 == 0:
        x[number % n, 0], queue[number % n], predicted_s[-1] = np.nan, np.nan, np.inf
    offer = Offer(
        features=x,
        queue=queue,
        predicted_s=predicted_s,
        transfer_s=0.1 * predicted_s,
        deadline_s=1.0,
        size=0.5 + rng.random(),
        complexity=0.5 + rng.random(),
    )
    return Feedback(
        number=number,
        helper=helpers[int(rng.integers(n))],
        offer=offer,
        happy=bool(rng.random() < 0.6),
        helpers=tuple(helpers),
        decisions=int(rng.integers(3)),
    )


def bits(first: int, last: int) -> list[dict[str, Any]]:
    """A batch: the bits of these numbers."""
    return [plain_feedback(feedback(number)) for number in range(first, last + 1)]


def policy_that_saw(
    numbers: Sequence[int], policy: str = "hybrid", helpers: Sequence[str] = HELPERS
) -> Learning:
    """A dispatcher that never was anywhere else."""
    made = make_dispatcher(policy, len(helpers), D, np.random.default_rng(0))
    assert isinstance(made, Learning)
    for number in numbers:
        told = feedback(number, helpers)
        for _ in range(told.decisions):
            made.decided()
        made.feedback(told.helpers.index(told.helper), told.offer, told.happy)
    return made


def learner_that_saw(folder: Path, last: int, policy: str = "hybrid", **changes: Any) -> LearnerService:
    learner = LearnerService(folder, **changes)
    learner.open(JOB, about(policy))
    assert learner.merge(JOB, "e", 1, bits(1, last)) == last
    return learner


@contextmanager
def quick_disk() -> Iterator[Path]:
    """A folder in memory, where there is one: what is done hundreds of times need not wait for a disk."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


class Clock:
    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


_MERGER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from learner_cases import JOB, about, bits
from edgeray.learner import service

service.SNAPSHOT_BITS, service.SNAPSHOT_S = 12, 0.0
learner = service.LearnerService(Path(sys.argv[1]))
learner.open(JOB, about())
have = learner.merge(JOB, "life", 1, [])
while True:
    have = learner.merge(JOB, "life", have + 1, bits(have + 1, have + 5))
    print(have, flush=True)
"""


def kill_while_merging(folder: Path, batches: int) -> int:
    """Have a process learn without end, and kill -9 it after so many batches; the last number that it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MERGER, str(folder), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        told = [int(process.stdout.readline()) for _ in range(batches)]
        process.kill()
        rest = process.stdout.read().split("\n")[:-1]  # the last may be half a line
    finally:
        process.kill()
        process.communicate()
    return int(rest[-1]) if rest else told[-1]
