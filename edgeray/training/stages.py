"""The server's layers of a client as several stages, between which other clients' work can go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from edgeray.training.cut import Cut


def stages_of(model: nn.Module, cuts: Sequence[Cut], most: int = 4) -> Callable[[int], tuple[nn.Module, ...]]:
    """The layers behind a cut, in so many stages at most: for the server mode splitpipe-bf.

    They are cut where the model can be cut, so that each has about as much to keep for its backward: a stage counts by
    the bytes that go into its layers. They share the model's weights, and run one behind the other they are the
    tail, bit for bit. A model that is cut at its modules has one stage, and so has a cut with no other behind it.
    cuts: all of the model, as `candidate_cuts` gives them.
    """

    def stages(index: int) -> tuple[nn.Module, ...]:
        if cuts[index].whole:
            return ()
        positions = [cuts[number].position for number in (index, *_inner(cuts, index, most))]
        return cuts[index].trace.stages(model, positions)

    return stages


def _inner(cuts: Sequence[Cut], index: int, most: int) -> list[int]:
    """Where the layers behind a cut are cut again: as near as can be to equal parts."""
    behind = [cut.index for cut in cuts[index + 1 :] if not cut.whole]
    if len(behind) < most:
        return behind
    taken_bytes = np.cumsum([cuts[number].output_bytes for number in (index, *behind)])
    goals_bytes = taken_bytes[-1] * np.arange(1, most) / most
    nearest = np.abs(taken_bytes[:-1] - goals_bytes[:, None]).argmin(axis=1)
    return [behind[at] for at in np.unique(nearest)]
