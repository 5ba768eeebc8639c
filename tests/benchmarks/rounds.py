"""What a round of split training takes by each policy, in the setting of Zhang 2024, table 4.4.

    python -m tests.benchmarks.rounds [--json] [--quick] [--models lenet,vgg16] [--cores thesis,0.035,1]

Eight devices of 1, 1, 1, 1, 3, 3, 5 and 5 cores and a server of 20, behind one link of 30 Mbps (each way); batches of
128, one local epoch of 60,000 images shared out. The layers of each model are measured here in one thread, by CPU time;
where 128 images would take long, fewer are measured and the seconds scaled in proportion. --cores: how much of this
machine's thread a core is; 0.035: as in cluster/testbed/training.yaml; thesis: as slow, for each model, as makes vanilla
FL take what the thesis says, which names neither its cores' speed nor how many batches it ran.
Rounds are those of the timeline (`simulate_round`); rates are ceilings but for edgesplit-overlap. of_bound is over T_LB,
which leaves out that weights go before the first batch and after the last.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import torch

from edgeray.training.cut import Cut
from edgeray.training.cutting import CutTimes, candidate_cuts, measure_cuts
from edgeray.training.models import lenet, resnet50, resnet101, vgg16
from policies.model import CutProfile, Snapshot
from policies.registry import TRAINING_POLICIES, load_policy
from tests.policies.partition.jobs import KINDS, star, training_job

BATCH, IMAGES, SHARED_BPS = 128, 60_000, 30e6
CORES = {"pi": 1.0, "nano": 3.0, "nx": 5.0}
SHORT = 10
"""Images a batch with --quick."""
FLOAT_BYTES, LABEL_BYTES = 4, 8


@dataclass(frozen=True, slots=True)
class Case:
    """measured: images of a batch that is measured. pieces: micro-batches that leave alone what is learned: a model
    with BatchNorm has none."""

    make: Any
    side: int
    measured: int
    pieces: int
    published_s: tuple[float, float, float, float]


CASES: Mapping[str, Case] = {
    "lenet": Case(lenet, 28, BATCH, 4, (237.9, 234.2, 164.3, 134.8)),
    "vgg16": Case(partial(vgg16, 10, 1, "cifar"), 32, 32, 4, (969.6, 953.2, 384.2, 243.4)),
    "resnet50": Case(partial(resnet50, 10, 1, "cifar"), 32, 16, 1, (1806, 1800.4, 696.6, 330.2)),
    "resnet101": Case(partial(resnet101, 10, 1, "cifar"), 32, 16, 1, (1355.7, 1352.3, 693.6, 308.1)),
}
PUBLISHED = ("vanilla-fl", "adaptive-fl", "edgesplit-fix", "edgesplit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--quick", action="store_true", help=f"measure {SHORT} images, once")
    parser.add_argument("--models", default=",".join(CASES))
    parser.add_argument("--cores", default="thesis,0.035,1")
    parser.add_argument(
        "--server-cores", type=float, default=20.0, help="as in cluster/testbed/training.yaml"
    )
    options = parser.parse_args()
    cores = options.cores.split(",")
    if any(each != "thesis" and not _above_0(each) for each in cores):
        parser.error(f"--cores {options.cores}: expected thesis, or numbers above 0")
    names = options.models.split(",")
    if unknown := set(names) - set(CASES):
        parser.error(f"--models: {', '.join(sorted(unknown))}: expected some of {', '.join(CASES)}")
    torch.set_num_threads(1)
    results: list[dict[str, Any]] = []
    for name in names:
        made = measured(CASES[name], options.quick)
        for core in cores:
            results.append(result(name, made, core, options.server_cores))
            if not options.json:
                _print(results[-1])
    if options.json:
        print(json.dumps({"server_cores": options.server_cores, "quick": options.quick, "results": results}))


@dataclass(frozen=True, slots=True)
class Measured:
    """images: of a batch that was measured."""

    cuts: tuple[Cut, ...]
    times: tuple[CutTimes, ...]
    images: int

    @property
    def batch_s(self) -> float:
        """Of BATCH images through all of the model and back."""
        return (self.times[-1].head_forward_s + self.times[-1].head_backward_s) * BATCH / self.images


def result(name: str, made: Measured, core: str, server_cores: float) -> dict[str, Any]:
    case, weights_bytes = CASES[name], made.cuts[-1].head_bytes
    batches = ceil(IMAGES / len(KINDS) / BATCH)
    if core == "thesis":
        weights_s = 2 * 8 * weights_bytes * len(KINDS) / SHARED_BPS
        part = batches * made.batch_s / (case.published_s[0] - weights_s)
    else:
        part = float(core)
    cores = {kind: part * count for kind, count in (CORES | {"server": server_cores}).items()}
    profile = profile_of(made, cores)
    rows = [row(policy, profile, batches, case.pieces) for policy in TRAINING_POLICIES]
    if case.pieces == 1:
        asked = row("edgesplit-overlap", profile, batches, 4)
        rows.append({**asked, "policy": "edgesplit-overlap, with micro_batches: 4"})
    published = dict(zip(PUBLISHED, case.published_s, strict=True))
    for each in rows:
        each["times_vanilla"] = rows[0]["round_s"] / each["round_s"]
        thesis_s = published.get(each["policy"])
        each["thesis_times_vanilla"] = None if thesis_s is None else case.published_s[0] / thesis_s
    return {
        "model": name,
        "images_measured": made.images,
        "core": part,
        "batch_s": made.batch_s / part,
        "weights_bytes": weights_bytes,
        "cuts": len(made.cuts),
        "batches": batches,
        "bound_s": rows[0]["bound_s"],
        "policies": rows,
    }


def measured(case: Case, quick: bool) -> Measured:
    """Seconds of a batch do not depend on what is in it, so noise stands in for Fashion-MNIST."""
    images = min(case.measured, SHORT) if quick else case.measured
    print(f"measuring {images} images", file=sys.stderr)
    torch.manual_seed(0)
    model, batch = case.make(), torch.randn(images, 1, case.side, case.side)
    cuts = candidate_cuts(model, batch[:2])
    return Measured(
        cuts, measure_cuts(model, cuts, batch, 1 if quick else 3, clock=time.process_time), images
    )


def profile_of(made: Measured, cores: Mapping[str, float]) -> CutProfile:
    """Of batches of BATCH images. Bytes are those of the tensors and the labels."""
    cuts, times, scale = made.cuts, made.times, BATCH / made.images

    def by_kind(seconds: Sequence[float]) -> dict[str, tuple[float, ...]]:
        return {kind: tuple(scale * each / count for each in seconds) for kind, count in cores.items()}

    down = [cut.output_bytes / 2 * BATCH for cut in cuts]  # the example has two samples
    return CutProfile(
        names=tuple(cut.name for cut in cuts),
        layers=tuple(cut.layers for cut in cuts),
        up_bytes=tuple(
            sent + (0 if cut.whole else LABEL_BYTES * BATCH) for sent, cut in zip(down, cuts, strict=True)
        ),
        down_bytes=tuple(down),
        weights_bytes=tuple(float(cut.head_bytes) for cut in cuts),
        forward_s=by_kind([each.head_forward_s for each in times]),
        backward_s=by_kind([each.head_backward_s for each in times]),
        server_s=by_kind([each.tail_forward_s + each.tail_backward_s for each in times]),
        memory_bytes=dict.fromkeys(cores, (0.0,) * len(cuts)),
        send_s_per_byte={},
    )


def row(policy: str, profile: CutProfile, batches: int, pieces: int) -> dict[str, Any]:
    workload = training_job(profile, batches=batches, micro_batches=pieces)
    began_s = time.perf_counter()
    decision = load_policy(policy).decide(Snapshot(network=star(shared_bps=SHARED_BPS)), [workload])
    took_s = time.perf_counter() - began_s
    plan = decision.plans[workload.job.id]
    rounds = plan.rounds
    assert rounds is not None and rounds.bound_s is not None
    return {
        "policy": policy,
        "round_s": rounds.predicted_s,
        "planned_s": rounds.round_s,
        "bound_s": rounds.bound_s,
        "of_bound": rounds.predicted_s / rounds.bound_s,
        "layers": [profile.layers[cut] for cut in rounds.cuts.values()],
        "micro_batches": rounds.micro_batches,
        "weights_s": 8 * sum(profile.weights_bytes[cut] for cut in rounds.cuts.values()) / SHARED_BPS,
        "bottleneck": plan.bottleneck,
        "decision_s": took_s,
    }


def _above_0(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def _print(told: Mapping[str, Any]) -> None:
    print(
        f"\n{told['model']}, a core is {told['core']:.3g} of a thread here: {told['cuts']} cuts, {told['batches']} "
        f"batches of {told['batch_s']:.2f} s on one core ({told['images_measured']} images measured), "
        f"{told['weights_bytes'] / 1e6:.1f} MB of weights, T_LB {told['bound_s']:.1f} s"
    )
    print(
        f"  {'policy':44}{'round':>9}{'vanilla /':>11}{'thesis':>8}{'/ T_LB':>8}{'planned':>9}{'weights':>9}  layers"
    )
    for each in told["policies"]:
        thesis = each["thesis_times_vanilla"]
        pieces = f", in {each['micro_batches']} pieces" if each["micro_batches"] > 1 else ""
        print(
            f"  {each['policy']:44}{each['round_s']:8.1f}s{each['times_vanilla']:10.2f}x"
            f"{'' if thesis is None else f'{thesis:.2f}x':>8}{each['of_bound']:8.2f}{each['planned_s']:8.1f}s"
            f"{each['weights_s']:8.1f}s  {each['layers']}{pieces}, {each['bottleneck']}"
        )


if __name__ == "__main__":
    main()
