"""Which samples each client trains on: the same for a client whoever else takes part, and in any process."""

from __future__ import annotations

import numpy as np

from edgeray.errors import BadInputError
from edgeray.training.data import Indices, partition_by_class, partition_iid
from edgeray.training.recipe import Recipe


def share_of(recipe: Recipe, labels: Indices, client: str) -> Indices:
    """The samples of a client, sorted. client: its device. labels: of the whole training set.

    The set is dealt out to all of the recipe's clients; of its part each client has as many, drawn at random, as the
    recipe says. Raises BadInputError where that is more than it got, or it is none of them.
    """
    part = dealt_to(recipe, labels, client)
    if len(part) < recipe.samples:
        raise BadInputError(
            f"{client} has {len(part)} of the {len(labels)} samples of {recipe.dataset}\n"
            f"  expected: {recipe.samples}\n  remedy:   ask for fewer samples, or for fewer clients"
        )
    drawn = np.random.default_rng([recipe.seed, recipe.clients.index(client)])
    return np.sort(drawn.choice(part, recipe.samples, replace=False))


def dealt_to(recipe: Recipe, labels: Indices, client: str) -> Indices:
    """All samples that a client gets where the training set is dealt out to all of the recipe's clients, sorted.

    Raises BadInputError where it is none of them."""
    if client not in recipe.clients:
        raise BadInputError(
            f"{client} is no client of this job\n  expected: one of {', '.join(recipe.clients)}"
        )
    rng = np.random.default_rng(recipe.seed)
    if recipe.classes_per_client is None:
        parts = partition_iid(labels, recipe.clients, rng)
    else:
        parts = partition_by_class(labels, recipe.clients, recipe.classes_per_client, rng)
    return parts[client]


def evaluation_set(recipe: Recipe, samples: int) -> Indices:
    """The samples of the test set that the averaged model is tried on, sorted. samples: that it has."""
    chosen = min(recipe.test_samples, samples)
    return np.sort(np.random.default_rng(recipe.seed).choice(samples, chosen, replace=False))
