"""What split training costs: memory and seconds by server mode, coordination, 8-bit activations.

    python -m tests.benchmarks.training [--json] [--quick] [--check] [--only modes,overhead,int8]

modes: the server's work on one batch of 16 of each of 8 clients that have all come: ResNet-50 with the CIFAR stem, cut
behind its first convolution, in one thread. Peak bytes saved for backward, peak bytes of weights in memory, and the
least seconds of five runs, by the wall and of CPU: what else runs on this machine only adds to them.
overhead: a round of a model that computes next to nothing: of 10 clients, and of 100 that have 4 MB of weights each.
Server and clients in one process, and in two that talk through flows over loopback, as devices do, with and without
encryption; and Ray tasks on one machine, which get the weights out of the object store, and give as much back.
int8: LeNet on Fashion-MNIST after equal rounds, with activations and gradients as they are and as 8-bit integers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeray.training.cutting import candidate_cuts, split
from edgeray.training.draws import Draws
from edgeray.training.half import Piece
from edgeray.training.halves import HalfMaker
from edgeray.training.messages import Forward
from edgeray.training.models import lenet, resnet50
from edgeray.training.modes import MODES, make_mode
from edgeray.training.saved import SavedActivations
from edgeray.training.settings import Settings
from edgeray.training.stages import stages_of
from edgeray.training.weights import weights_of
from tests.benchmarks.accuracy import INT8, SPLIT, lenet_recipe, trained
from tests.benchmarks.training_exchange import in_process, over_loopback, with_ray

Row = dict[str, Any]
CLIENTS, BATCH = 8, 16
MOST_MEMORY, MOST_TIME = 1.05 / CLIENTS, 1.02
MOST_ROUND_S = {"10 clients": 0.05, "100 clients, 4 MB": 0.5}


def modes(quick: bool) -> list[Row]:
    torch.manual_seed(0)
    model, images = (lenet(), torch.randn(BATCH, 1, 28, 28)) if quick else _deep()
    repeats = 5
    runs: dict[str, list[Row]] = {name: [] for name in MODES}
    for number in range(repeats):
        turn = number % len(MODES)
        for name in (*MODES[turn:], *MODES[:turn]):
            runs[name].append(_work(name, model, images))
            print(f"modes: {name} took {runs[name][-1]['seconds_s']:.2f} s", file=sys.stderr)
    rows = []
    for name, found in runs.items():
        row: Row = {"mode": name}
        row |= {what: found[0][what] for what in ("peak_activation_bytes", "peak_weights_bytes")}
        row |= {what: min(one[what] for one in found) for what in ("seconds_s", "cpu_s")}
        row["memory_of_nonpipe"] = _ratio(found, runs["nonpipe"], "peak_activation_bytes")
        row["seconds_of_nonpipe"] = _ratio(found, runs["nonpipe"], "seconds_s")
        row["cpu_of_nonpipe"] = _ratio(found, runs["nonpipe"], "cpu_s")
        if name == "run-to-completion":
            row["met"] = row["memory_of_nonpipe"] <= MOST_MEMORY and row["seconds_of_nonpipe"] <= MOST_TIME
        rows.append(row)
    return rows


def _ratio(runs: list[Row], others: list[Row], what: str) -> float:
    return float(min(one[what] for one in runs) / min(one[what] for one in others))


def _deep() -> tuple[nn.Module, Tensor]:
    return resnet50(10, 3, "cifar"), torch.randn(BATCH, 3, 32, 32)


def _work(name: str, model: nn.Module, images: Tensor) -> Row:
    """All clients' batches through the server, which has them when it starts."""
    cuts = candidate_cuts(model, images[:2])
    sent = [one.detach() for one in split(model, cuts[0]).head(images)]
    labels = torch.arange(BATCH) % 10
    saved = SavedActivations()
    maker = HalfMaker(
        stages_of(model, cuts),
        loss=nn.functional.cross_entropy,
        settings=Settings(momentum=0.9),
        saved=saved,
    )
    with tempfile.TemporaryDirectory() as folder:
        mode, halves = make_mode(name, maker, Path(folder))
        weights = weights_of([model])
        for number in range(CLIENTS):
            halves.open(f"c{number}", 0, weights, None)
            message = Forward(
                epoch=0,
                batch=0,
                activations=tuple(one.clone() for one in sent),
                differentiable=(True,) * len(sent),
                labels=None,
                draws=None,
            )
            mode.add(f"c{number}", Piece(message, labels, Draws(number)))
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        while mode.pending:
            mode.step()
        return {
            "seconds_s": time.perf_counter() - began_s,
            "cpu_s": time.process_time() - began_cpu_s,
            "peak_activation_bytes": saved.peak_bytes,
            "peak_weights_bytes": halves.peak_bytes,
        }


def overhead(quick: bool) -> list[Row]:
    rounds = 3 if quick else 10
    rows = []
    for label, clients, weights_bytes in (("10 clients", 10, 0), ("100 clients, 4 MB", 100, 4_000_000)):
        ways: dict[str, Callable[[], list[float]]] = {
            "in process": lambda c=clients, w=weights_bytes: in_process(c, w, rounds),
            "loopback, not encrypted": lambda c=clients, w=weights_bytes: over_loopback(c, w, rounds, encrypted=False),
            "loopback, encrypted": lambda c=clients, w=weights_bytes: over_loopback(c, w, rounds, encrypted=True),
            "Ray tasks": lambda c=clients, w=weights_bytes: with_ray(c, w, rounds),
        }  # fmt: skip
        for way, call in ways.items():
            seconds = call()
            row: Row = {
                "round": label,
                "way": way,
                "median_s": statistics.median(seconds),
                "worst_s": max(seconds),
            }
            if way != "Ray tasks":
                row["most_s"] = MOST_ROUND_S[label]
                row["met"] = row["median_s"] <= MOST_ROUND_S[label]
            rows.append(row)
            print(f"overhead: {label}, {way}: {row['median_s'] * 1e3:.1f} ms", file=sys.stderr)
    return rows


def int8(quick: bool) -> list[Row]:
    rounds, samples = (2, 200) if quick else (10, 1500)
    recipe = lenet_recipe(clients=4, samples=samples, rounds=rounds, classes=None, seed=0)
    rows = []
    for case in (SPLIT, INT8):
        outcome = trained(recipe, case, every_round=True)
        rows.append(
            {
                "training": case.name,
                "accuracies": outcome.accuracies,
                "loss": outcome.records[-1].loss,
                "round_bytes": outcome.round_bytes,
            }
        )
    return rows


PARTS: dict[str, Callable[[bool], list[Row]]] = {"modes": modes, "overhead": overhead, "int8": int8}


def table(results: dict[str, list[Row]]) -> str:
    lines = []
    for part, rows in results.items():
        for row in rows:
            lines.append(
                f"{part}: " + ", ".join(f"{name} {_shown(name, value)}" for name, value in row.items())
            )
    return "\n".join(lines)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(_shown("", one) for one in value)
    if name.endswith("_bytes"):
        return f"{value / 1e6:.1f} MB"
    if name.endswith("_s"):
        return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--quick", action="store_true", help="LeNet, few rounds: does it run at all")
    parser.add_argument("--check", action="store_true", help="exit 1 if an aim is missed")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {','.join(PARTS)}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {part: PARTS[part](options.quick) for part in options.only.split(",")}
    print(json.dumps(results) if options.json else table(results))
    missed = any(row.get("met") is False for rows in results.values() for row in rows)
    return int(options.check and missed)


if __name__ == "__main__":
    sys.exit(main())
