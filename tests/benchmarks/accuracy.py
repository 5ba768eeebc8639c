"""Does split training come to the accuracy of federated learning (vanilla FL) after equal rounds?

    python -m tests.benchmarks.accuracy [--json] [--quick] [--seeds 3] [--clients 6] [--rounds 10] [--samples 1000]

LeNet on Fashion-MNIST, all data alike (IID) and 5 of 10 classes a client. Every client has the whole model (vanilla FL),
or its own cut: conv1, conv2, fc1, fc2, whole, conv1, ...; that again with batches cut into micro-batches, and with
8-bit activations and gradients. Server and clients are threads of this process. accuracy: of the averaged model on
all 10,000 test images, after the last round. off_by: the most that it differs from vanilla FL's of the same seed, to be
compared with seeds_apart, by how much vanilla FL's own accuracies differ between seeds. same_bits: are all weights
those of vanilla FL, bit for bit, for every seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from edgeray.training.build import build_model, cutter, dataset_of, example_of, loss_of, settings_of
from edgeray.training.channel import local_pair
from edgeray.training.compress import Compression
from edgeray.training.data import Images
from edgeray.training.device_data import DeviceData
from edgeray.training.evaluate import accuracy_of
from edgeray.training.recipe import Recipe
from edgeray.training.records import RoundRecord
from edgeray.training.server import Server
from edgeray.training.shares import share_of
from edgeray.training.worker import Worker

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How a model is trained. whole: by every client, else each has a cut of its own."""

    name: str
    whole: bool = False
    micro_batches: int = 1
    compress: Compression | None = None


VANILLA = Case(name="vanilla FL", whole=True)
SPLIT = Case(name="split")
INT8 = Case(name="split, int8", compress="int8")
CASES = (
    VANILLA,
    SPLIT,
    Case(name="split, 4 micro-batches", micro_batches=4),
    INT8,
    Case(name="split, 4 micro-batches, int8", micro_batches=4, compress="int8"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What training came to. accuracies: after each round that was asked for. bytes: a round, up and down."""

    accuracies: tuple[float, ...]
    weights: dict[str, Tensor]
    records: tuple[RoundRecord, ...]
    seconds_s: float

    @property
    def round_bytes(self) -> int:
        return sum(one.up_bytes + one.down_bytes for one in self.records[-1].clients)


def lenet_recipe(*, clients: int, samples: int, rounds: int, classes: int | None, seed: int) -> Recipe:
    return Recipe(
        model="edgeray.training.models:lenet",
        clients=tuple(f"d{number}" for number in range(clients)),
        samples=samples,
        classes_per_client=classes,
        rounds=rounds,
        learning_rate=0.02,
        momentum=0.9,
        seed=seed,
    )


def trained(recipe: Recipe, case: Case, *, every_round: bool = False) -> Outcome:
    """Train with all clients within this process. every_round: the accuracy of each, else that of the last."""
    train, test = dataset_of(recipe, "train"), dataset_of(recipe, "test")
    example = example_of(recipe, train)
    settings = replace(settings_of(recipe), micro_batches=case.micro_batches, compress=case.compress)
    model = build_model(recipe)
    cut_model = cutter(model, example)
    last = len(cut_model.cuts) - 1
    server = Server(model, cut_model, loss=loss_of(recipe), settings=settings)
    threads = []
    for number, client in enumerate(recipe.clients):
        near, far = local_pair()
        indices = share_of(recipe, train.labels, client)
        data = DeviceData(train, indices, batch_size=recipe.batch_size, seed=recipe.seed, device=client)
        cuts = cutter(build_model(recipe), example)
        worker = Worker(client, data, cuts, near, loss=loss_of(recipe))
        threads.append(threading.Thread(target=worker.run))
        threads[-1].start()
        server.join(client, far, last if case.whole else number % (last + 1))
    began_s = time.perf_counter()
    records, accuracies = [], []
    for number in range(recipe.rounds):
        records.append(server.run_round())
        if every_round or number == recipe.rounds - 1:
            accuracies.append(accuracy_of(model, _batches(test)) or 0.0)
    server.finish()
    for thread in threads:
        thread.join()
    return Outcome(
        accuracies=tuple(accuracies),
        weights=dict(server.weights),
        records=tuple(records),
        seconds_s=time.perf_counter() - began_s,
    )


def _batches(images: Images) -> Iterator[tuple[Tensor, Tensor]]:
    for chosen in np.array_split(np.arange(len(images)), 20):
        yield images.batch(chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    data: str
    training: str
    accuracies: tuple[float, ...]
    mean: float
    off_by: float
    seeds_apart: float
    same_bits: bool
    round_bytes: int


def compare(options: argparse.Namespace, say: Say) -> list[Row]:
    rows = []
    for data, classes in (("IID", None), ("5 classes a client", 5)):
        found: dict[Case, list[Outcome]] = {case: [] for case in CASES}
        for seed in range(options.seeds):
            recipe = lenet_recipe(
                clients=options.clients,
                samples=options.samples,
                rounds=options.rounds,
                classes=classes,
                seed=seed,
            )
            for case in CASES:
                found[case].append(trained(recipe, case))
                say(f"{data}, seed {seed}, {case.name}: {found[case][-1].seconds_s:.1f} s")
        rows += [_row(data, case, outcomes, found[VANILLA]) for case, outcomes in found.items()]
    return rows


def _row(data: str, case: Case, outcomes: list[Outcome], vanilla: list[Outcome]) -> Row:
    accuracies = tuple(one.accuracies[-1] for one in outcomes)
    reference = tuple(one.accuracies[-1] for one in vanilla)
    return Row(
        data=data,
        training=case.name,
        accuracies=accuracies,
        mean=statistics.mean(accuracies),
        off_by=max(abs(one - other) for one, other in zip(accuracies, reference, strict=True)),
        seeds_apart=max(reference) - min(reference),
        same_bits=all(
            torch.equal(one.weights[name], other.weights[name])
            for one, other in zip(outcomes, vanilla, strict=True)
            for name in other.weights
        ),
        round_bytes=outcomes[-1].round_bytes,
    )


def table(rows: list[Row]) -> str:
    lines = [
        f"{'data':<20}{'training':<30}{'accuracy':>9}{'off by':>9}{'seeds':>9}{'bits':>8}{'MB/round':>10}"
    ]
    for row in rows:
        bits = "same" if row.same_bits else "others"
        lines.append(
            f"{row.data:<20}{row.training:<30}{row.mean:>9.4f}{row.off_by:>9.4f}{row.seeds_apart:>9.4f}"
            f"{bits:>8}{row.round_bytes / 1e6:>10.1f}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--quick", action="store_true", help="little data, two rounds: does it run at all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--samples", type=int, default=1000, help="of each client")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.rounds, options.samples = 2, 2, 200
    torch.set_num_threads(1)
    rows = compare(options, lambda text: print(text, file=sys.stderr))
    print(json.dumps({"accuracy": [asdict(row) for row in rows]}) if options.json else table(rows))
    return int(any(row.training == SPLIT.name and not row.same_bits for row in rows))


if __name__ == "__main__":
    sys.exit(main())
