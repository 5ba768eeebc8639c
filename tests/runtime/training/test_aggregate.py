from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeray.errors import FlowError
from edgeray.training.aggregate import federated_average


def _random(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "weight": torch.randn(5, 7, generator=generator) * 10.0 ** torch.randn(5, 1, generator=generator),
        "running_mean": torch.randn(5, generator=generator),
        "num_batches_tracked": torch.tensor(seed),
    }


@pytest.mark.parametrize("samples", [1, 3, 7, 60_000, 2**28 - 1])
def test_one_client_gets_its_own_bits_back(samples: int) -> None:
    state = _random(1)
    found = federated_average([(state, samples)])
    for name, value in state.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_clients_count_by_their_samples() -> None:
    states = [_random(seed) for seed in (4, 9, 2)]
    found = federated_average(zip(states, (1, 5, 2), strict=True))
    for name in ("weight", "running_mean"):
        exact = np.average([state[name].double().numpy() for state in states], axis=0, weights=(1, 5, 2))
        np.testing.assert_array_equal(found[name].numpy(), exact.astype(np.float32))
    assert found["num_batches_tracked"] == 9


def test_a_client_without_samples_does_not_count() -> None:
    found = federated_average([(_random(1), 3), (_random(2), 0)])
    assert torch.equal(found["weight"], _random(1)["weight"])


def test_inputs_are_left_as_they_were() -> None:
    states = [_random(1), _random(2)]
    found = federated_average([(state, 2) for state in states])
    found["weight"].zero_()
    assert torch.equal(states[0]["weight"], _random(1)["weight"])
    assert torch.equal(states[1]["weight"], _random(2)["weight"])


def test_what_cannot_be_averaged_is_named() -> None:
    with pytest.raises(FlowError, match="no weights to average"):
        federated_average([])
    with pytest.raises(FlowError, match="no weights to average"):
        federated_average([(_random(1), 0)])
    with pytest.raises(FlowError, match=r"different weights: \['bias'\]"):
        federated_average([(_random(1), 1), ({**_random(1), "bias": torch.zeros(1)}, 1)])
    with pytest.raises(FlowError, match=r"weight in different shapes: \(5, 7\), \(2,\)"):
        federated_average([(_random(1), 1), ({**_random(1), "weight": torch.zeros(2)}, 1)])
