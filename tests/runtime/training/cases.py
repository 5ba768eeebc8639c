"""Small models that can be cut anywhere, small data, training within one process, and the same without any cut."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgeray.errors import FlowError
from edgeray.training.channel import LocalChannel, local_pair
from edgeray.training.cut import Split
from edgeray.training.draws import Draws, batch_seed
from edgeray.training.records import RoundRecord
from edgeray.training.server import Server
from edgeray.training.settings import Settings
from edgeray.training.worker import TrainingData, Worker

CLASSES = 4
BATCH = 5


class Chain(nn.Module):
    """Layers in a row, each from tensors to a tensor or several; a slice names its weights as the whole does."""

    def __init__(self, layers: Mapping[str, nn.Module], *, last: bool) -> None:
        super().__init__()
        self.last = last
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *tensors: Tensor) -> Any:
        for layer in self.children():
            out = layer(*tensors)
            tensors = out if isinstance(out, tuple) else (out,)
        return tensors[0] if self.last else tensors


class First(nn.Module):
    """A layer for the first tensor; the others pass."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, first: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        return (self.layer(first), *others)


class Fork(nn.Module):
    def forward(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        return tensor, tensor


class Join(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.relu(first + second)


def _chain(*layers: nn.Module) -> Chain:
    torch.manual_seed(7)
    for layer in layers:
        for module in layer.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return Chain({f"layer{n}": layer for n, layer in enumerate(layers)}, last=True)


def lenet() -> Chain:
    return _chain(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(6, 12),
        nn.Dropout(0.4),
        nn.Linear(12, CLASSES),
    )


def residual() -> Chain:
    """Two cuts lie inside the residual block, where two tensors cross, and most between two dropouts."""
    return _chain(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Dropout(0.2),
        Fork(),
        First(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))),
        Join(),
        nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, CLASSES)),
    )


def cutter(model: Chain) -> Callable[[int], Split]:
    """Cut n: so many layers are on the device. They share the model's weights."""
    layers = dict(model.named_children())
    names = list(layers)

    def cut(index: int) -> Split:
        def part(chosen: Sequence[str], last: bool) -> Chain:
            return Chain({name: layers[name] for name in chosen}, last=last)

        whole = index == len(names)
        return Split(head=part(names[:index], whole), tail=None if whole else part(names[index:], True))

    return cut


def stages(model: Chain) -> Callable[[int], Sequence[nn.Module]]:
    """Every layer after the cut as a stage of its own."""
    layers = dict(model.named_children())
    names = list(layers)
    return lambda index: [Chain({name: layers[name]}, last=name == names[-1]) for name in names[index:]]


@dataclass(frozen=True)
class Data:
    """Synthetic samples. 13 of them make an odd last batch."""

    number: int
    samples: int = 13
    waited_s: float = 0.0

    @property
    def inputs(self) -> Tensor:
        return torch.randn(self.samples, 1, 8, 8, generator=torch.Generator().manual_seed(self.number))

    @property
    def labels(self) -> Tensor:
        return (self.inputs.mean(dim=(1, 2, 3)) * 20).long() % CLASSES

    def batches(self, round_number: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, labels = self.inputs, self.labels
        for chosen in order("", self.samples, round_number, epoch):
            yield inputs[chosen], labels[chosen]


def order(client: str, samples: int, round_number: int, epoch: int) -> Iterable[Tensor]:
    generator = torch.Generator().manual_seed(100 * round_number + epoch)
    return torch.randperm(samples, generator=generator).split(BATCH)


def federated_learning(
    model: nn.Module, data: Mapping[str, TrainingData], settings: Settings, rounds: int
) -> dict[str, Tensor]:
    """What training must come to: FedAvg of whole models in plain torch, one client after the other.

    With micro-batches: gradients accumulated over the pieces of each batch.
    """
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    locals_ = {client: deepcopy(model) for client in data}
    optimizers = {client: _optimizer(local, settings) for client, local in locals_.items()}
    for number in range(1, rounds + 1):
        for client, local in locals_.items():
            local.load_state_dict(weights)
            if not settings.keep_optimizer:
                optimizers[client] = _optimizer(local, settings)
            for epoch in range(settings.epochs):
                for batch, (inputs, labels) in enumerate(data[client].batches(number, epoch)):
                    optimizers[client].zero_grad()
                    losses = []
                    pieces = min(settings.micro_batches, len(labels))
                    parts = zip(inputs.tensor_split(pieces), labels.tensor_split(pieces), strict=True)
                    for piece, (some, their_labels) in enumerate(parts):
                        with Draws(batch_seed(settings.seed, number, epoch, client, batch, piece)).drawing():
                            logits = local(some)
                        loss = nn.functional.cross_entropy(logits, their_labels)
                        losses.append((loss, len(some) / len(inputs)))
                    for loss, share in losses:
                        loss.backward(torch.full_like(loss, share))
                    optimizers[client].step()
        weights = {name: _mean(name, locals_, data) for name in weights}
    return weights


def _optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=rate, weight_decay=decay)
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=settings.momentum, weight_decay=decay)


def _mean(name: str, models: Mapping[str, nn.Module], data: Mapping[str, TrainingData]) -> Tensor:
    values = [model.state_dict()[name] for _, model in sorted(models.items())]
    samples = [data[client].samples for client in sorted(models)]
    if not values[0].is_floating_point():
        return torch.stack(values).amax(dim=0)
    total = sum(value.double() * n for value, n in zip(values, samples, strict=True))
    return (total / sum(samples)).to(values[0].dtype)


class Client:
    """A worker in a thread. error: what it ended with."""

    def __init__(self, name: str, data: Data, model: Chain, channel: LocalChannel) -> None:
        self.channel = channel
        self.error: Exception | None = None
        self.worker = Worker(name, data, cutter(model), channel, loss=nn.functional.cross_entropy)
        self.thread = threading.Thread(target=self._run, name=f"test-{name}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except FlowError as error:
            self.error = error


def worker_thread(worker: Worker) -> threading.Thread:
    """Runs it; how it ends does not matter."""

    def run() -> None:
        with contextlib.suppress(FlowError):
            worker.run()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def make_server(make: Callable[[], Chain], settings: Settings, **options: Any) -> Server:
    model = make()
    options.setdefault("patience_s", 60.0)
    if options.get("mode") == "splitpipe-bf":
        options.setdefault("stages_of", stages(model))
    loss = options.pop("loss", nn.functional.cross_entropy)
    return Server(model, cutter(model), loss=loss, settings=settings, order=order, **options)


def join(server: Server, make: Callable[[], Chain], name: str, data: Data, cut: int) -> Client:
    near, far = local_pair()
    client = Client(name, data, make(), near)
    server.join(name, far, cut)
    return client


def train(
    make: Callable[[], Chain],
    data: Mapping[str, Data],
    cuts: Mapping[str, int],
    settings: Settings,
    *,
    rounds: int = 2,
    **options: Any,
) -> tuple[dict[str, Tensor], list[RoundRecord]]:
    """The trained weights and the records; all threads have ended."""
    server = make_server(make, settings, **options)
    clients = [join(server, make, name, data[name], cuts[name]) for name in data]
    records = [server.run_round() for _ in range(rounds)]
    server.finish()
    for client in clients:
        client.thread.join(30)
        assert not client.thread.is_alive()
        assert client.error is None
    return server.weights, records


def assert_equal_bits(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    different = [name for name in expected if not torch.equal(found[name], expected[name])]
    assert not different
