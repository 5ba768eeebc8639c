"""The built-in parts together: a model cut by torch.export, real batches' order, workers and server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeray.training.channel import local_pair
from edgeray.training.cut import Split
from edgeray.training.cutting import candidate_cuts, split
from edgeray.training.data import Images, partition_iid
from edgeray.training.device_data import DeviceData, order_on_server
from edgeray.training.models import lenet
from edgeray.training.modes import MODES
from edgeray.training.server import Server
from edgeray.training.settings import Settings
from edgeray.training.worker import Worker
from tests.runtime.training.cases import assert_equal_bits, federated_learning, worker_thread

SIZE = 8
SETTINGS = Settings(learning_rate=0.1, momentum=0.9, seed=2, labels_once=True)


@pytest.fixture(scope="module")
def images() -> Images:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (42, 28, 28), dtype=np.uint8)
    return Images(pixels, rng.integers(0, 10, 42), mean=0.5, deviation=0.3)


def _run(
    model: nn.Module, data: dict[str, DeviceData], cuts: dict[str, int], cutter: _Cutter, mode: str
) -> dict[str, Tensor]:
    loss = nn.functional.cross_entropy
    order = order_on_server(batch_size=SIZE, seed=SETTINGS.seed)
    server_model = deepcopy(model)
    server = Server(
        server_model,
        cutter(server_model),
        loss=loss,
        settings=SETTINGS,
        mode=mode,
        order=order,
        patience_s=60,
    )
    threads = []
    for device, own in data.items():
        near, far = local_pair()
        threads.append(worker_thread(Worker(device, own, cutter(deepcopy(model)), near, loss=loss)))
        server.join(device, far, cuts[device])
    for _ in range(2):
        server.run_round()
    server.finish()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return dict(server.weights)


_Cutter = Callable[[nn.Module], Callable[[int], Split]]


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 5, stride=3), nn.BatchNorm2d(4), nn.ReLU())
        self.first = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        out = self.stem(inputs)
        out = torch.relu(out + self.second(self.first(out)))
        return self.head(torch.nn.functional.dropout(out.mean(dim=(2, 3)), 0.1))


@pytest.mark.parametrize("make", [lenet, _Residual])
def test_cut_by_export_trains_as_federated_learning(make: Callable[[], nn.Module], images: Images) -> None:
    torch.manual_seed(1)
    model = make()
    devices = ("a", "b", "c")
    shares = partition_iid(images.labels, devices, np.random.default_rng(3))
    shares["a"] = np.concatenate([shares["a"], shares["b"][:3]])
    data = {
        device: DeviceData(images, shares[device], batch_size=SIZE, seed=SETTINGS.seed, device=device)
        for device in devices
    }
    cuts = candidate_cuts(model, images.batch(np.arange(2))[0])

    def cutter(one: nn.Module) -> Callable[[int], Split]:
        return lambda index: split(one, cuts[index])

    expected = federated_learning(model, data, SETTINGS, 2)
    found_cuts: Sequence[int] = range(len(cuts))
    for number, mode in zip(found_cuts, MODES * len(cuts), strict=False):
        chosen = {"a": number, "b": (number + 1) % len(cuts), "c": len(cuts) - 1}
        assert_equal_bits(_run(model, data, chosen, cutter, mode), expected)
