"""Which samples cycles share out, and who gets which of them in a cycle: the same live and simulated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeray.errors import BadInputError
from edgeray.training.data import Indices
from edgeray.training.recipe import Recipe


def chosen_samples(recipe: Recipe, wanted: int, there: int) -> Indices:
    """Those of the training set that are shared out, by the recipe's seed, sorted. there: that it has.

    Raises BadInputError for more than that.
    """
    if wanted > there:
        raise BadInputError(
            f"{recipe.dataset} has {there} samples to train on, not {wanted}\n"
            f"  expected: at most {there}\n  remedy:   deal out fewer samples"
        )
    return np.sort(np.random.default_rng(recipe.seed).choice(there, wanted, replace=False))


def deal(pool: Indices, batches: Mapping[str, int], *, seed: int, number: int) -> dict[str, Indices]:
    """The samples of each learner in a cycle of this number, sorted: drawn from the pool at random, none for two."""
    shuffled = np.random.default_rng([seed, number]).permutation(pool)
    ends = np.cumsum(list(batches.values()))
    return {
        learner: np.sort(shuffled[end - count : end])
        for (learner, count), end in zip(batches.items(), ends, strict=True)
    }
