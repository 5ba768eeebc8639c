"""FedAvg: the weights of many clients become one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from edgeray.errors import FlowError

State = Mapping[str, Tensor]
"""Weights and buffers by their names in the whole model's state_dict."""


def federated_average(parts: Iterable[tuple[State, int]]) -> dict[str, Tensor]:
    """The average of the clients' weights, each client counting by its number of samples.

    Floating-point entries, BatchNorm's running statistics among them: sum of n_k w_k / sum of n_k, summed in
    float64 in the order given and rounded once, so one client's float32 weights come back bit for bit. Other
    entries (num_batches_tracked): the largest of all, the count of who trained most. The parts are taken one at a
    time, so that a generator may read them from disk.
    Raises FlowError when there is no sample at all, or clients disagree about names or shapes.
    Source: McMahan et al. 2017, Communication-efficient learning of deep networks, Alg. 1.
    """
    with torch.no_grad():
        return _averaged(parts)


def _averaged(parts: Iterable[tuple[State, int]]) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    types: dict[str, torch.dtype] = {}
    total = 0
    for state, samples in parts:
        if not sums:
            types = {name: value.dtype for name, value in state.items()}
            sums = {name: _share(value, samples) for name, value in state.items()}
        else:
            _check_same(sums, state)
            for name, value in state.items():
                if value.is_floating_point():
                    sums[name].add_(value, alpha=samples)
                else:
                    torch.maximum(sums[name], value, out=sums[name])
        total += samples
    if total < 1:
        raise FlowError("there are no weights to average: no client trained on any sample")
    return {
        name: (value / total if types[name].is_floating_point else value).to(types[name])
        for name, value in sums.items()
    }


def _share(value: Tensor, samples: int) -> Tensor:
    return value.double() * samples if value.is_floating_point() else value.clone()


def _check_same(sums: State, state: State) -> None:
    if sums.keys() != state.keys():
        raise FlowError(f"clients sent different weights: {sorted(sums.keys() ^ state.keys())}")
    for name, value in state.items():
        if value.shape != sums[name].shape:
            raise FlowError(
                f"clients sent {name} in different shapes: {tuple(sums[name].shape)}, {tuple(value.shape)}"
            )
