"""simulate, of fog training: policies of data movement side by side, in the paper's setting, with real training."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from edgeray import __version__
from edgeray.cli.console import print_json, say, stderr, stdout
from edgeray.cli.simulate_offload import side_by_side
from edgeray.errors import BadInputError

if TYPE_CHECKING:
    from edgeray.simulator.fog import FogRun
    from edgeray.simulator.fog_setting import PaperFog
    from edgeray.spec.fog_job import FogJob
    from edgeray.training.recipe import Recipe

POLICIES = (
    "centralized", "local", "federated", "network-aware", "network-aware-estimated", "network-aware-sqrt",
)  # fmt: skip
"""Without --policies. The others plan the same, or are a reference that takes long."""
CURVES = "curves.csv"
NONE = "-"
TEST_SAMPLES = 1000
"""Where the job does not say how many of the test set models are tried on."""


def simulate_fog(
    job: Path,
    settings: Mapping[str, Any],
    *,
    policies: Sequence[str] | None,
    seed: int,
    as_json: bool,
    out: Path | None,
) -> list[FogRun]:
    """Train the job's model by each policy (None: `POLICIES`) and print a table, or one JSON object.

    settings: of PaperFog by name. seed: of all that is random; the job's own is not used. out: a folder for curves.csv,
    accuracy after each aggregation. Raises BadInputError for settings and policies that there are not, and for what is
    wrong with the job.
    """
    from edgeray.simulator.fog import FOG_POLICIES, Learning
    from edgeray.simulator.fog_setting import PaperFog, run_json, simulate_policy
    from edgeray.simulator.settings import settings_of
    from edgeray.spec.fog_job import load_fog
    from edgeray.spec.training_app import imported_from
    from edgeray.spec.words import remedy_for_name

    asked = settings_of(PaperFog, settings)
    names = list(POLICIES if policies is None else policies)
    for name in names:
        if name not in FOG_POLICIES:
            raise BadInputError(
                f"there is no policy '{name}' of fog training\n  expected: one of {', '.join(FOG_POLICIES)}\n"
                f"  remedy:   {remedy_for_name(name, FOG_POLICIES, 'name one of these')}"
            )
    if out is not None and out.exists() and not out.is_dir():
        raise BadInputError(f"--out {out}: expected a folder, found a file")
    loaded = load_fog(job)
    with imported_from(loaded.folder), _bar() as bar:
        learning = Learning(_recipe(loaded, asked, seed))
        runs = []
        for name in names:
            task = bar.add_task(name)

            def show(done: int, total: int, task: Any = task) -> None:
                bar.update(task, completed=done, total=total)

            runs.append(simulate_policy(asked, learning, name, seed, show))
    if out is not None:
        say(f"curves: {_write_curves(runs, out)}")
    if as_json:
        print_json(
            {
                "edgeray": __version__,
                "job": loaded.name,
                "settings": asdict(asked),
                "seed": seed,
                "runs": [run_json(run) for run in runs],
            }
        )
    else:
        _print(runs, loaded, asked, seed)
    return runs


def refuse(jobs: int, others: Mapping[str, bool]) -> None:
    """Raises BadInputError for several jobs, and for options of other kinds; others: whether each was given."""
    if jobs > 1:
        raise BadInputError(
            f"{jobs} jobs, of which one is fog training\n  expected: it alone: its paper's model is simulated\n"
            "  remedy:   a call for each"
        )
    if used := sorted(option for option, was in others.items() if was):
        raise BadInputError(
            f"{', '.join(used)}: not for jobs of kind fog-training\n"
            "  expected: --topology, --n, --seed, --set, --policy, --policies, --out and --json\n"
            "  remedy:   leave it out"
        )


def merged(given: Mapping[str, str | int | None], settings: Sequence[str]) -> dict[str, Any]:
    """Settings of --topology and --n, and those of --set. Raises BadInputError for one that is said by both."""
    from edgeray.simulator.settings import parse_settings

    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    told = parse_settings(settings)
    if twice := sorted(chosen.keys() & told.keys()):
        raise BadInputError(
            f"--{twice[0]} and --set {twice[0]}={told[twice[0]]} say the same\n  expected: one of them\n"
            "  remedy:   leave one out"
        )
    return chosen | told


def _recipe(job: FogJob, asked: PaperFog, seed: int) -> Recipe:
    from edgeray.simulator.fog_setting import names_of
    from edgeray.training.recipe import Recipe

    form = job.form
    return Recipe(
        model=job.model.run,
        model_args=job.model.args,
        dataset=job.dataset.run,
        dataset_args=job.dataset.args,
        loss=form.loss,
        clients=tuple(names_of(asked)),
        samples=0,
        classes_per_client=form.dataset.classes_per_client,
        test_samples=TEST_SAMPLES if form.test_samples is None else form.test_samples,
        batch_size=form.batch_size,
        optimizer=form.optimizer,
        learning_rate=form.learning_rate,
        momentum=form.momentum,
        weight_decay=form.weight_decay,
        seed=seed,
    )


def _bar() -> Progress:
    """A line a policy, over its points; on stderr, and gone when all is done. None where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal)


def _print(runs: Sequence[FogRun], job: FogJob, asked: PaperFog, seed: int) -> None:
    where = f"rho {asked.rho:g}" if asked.topology == "random" else asked.topology
    title = (
        f"{job.name}: {asked.n} devices, {where}, {asked.intervals} intervals, averaged every {asked.tau}, "
        f"{runs[0].collected} points, seed {seed}; costs a point"
    )
    costs = side_by_side(title, ("accuracy", "cost", "process", "transfer", "discard"))
    points = side_by_side("of the points", ("processed", "sent", "discarded", "steps"))
    for run in runs:
        costs.add_row(escape(run.policy), *_costs(run))
        points.add_row(escape(run.policy), *_points(run))
    stdout.print(costs)
    stdout.print(points)


def _costs(run: FogRun) -> list[str]:
    accuracy = NONE if run.accuracy is None else f"{100 * run.accuracy:.1f} %"
    if run.plan is None:
        return [accuracy, NONE, NONE, NONE, NONE]
    parts = (run.plan.total, run.plan.process, run.plan.transfer, run.plan.discard)
    return [accuracy, *(f"{cost / run.collected:.4f}" for cost in parts)]


def _points(run: FogRun) -> list[str]:
    def part(points: float) -> str:
        return f"{100 * points / run.collected:.1f} %"

    moved = [NONE, NONE] if run.plan is None else [part(run.plan.sent.sum()), part(run.plan.discarded.sum())]
    return [part(run.processed), *moved, str(run.trained.steps)]


def _write_curves(runs: Sequence[FogRun], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["policy", "intervals", "accuracy"])
    writer.writerows([run.policy, *point] for run in runs for point in run.trained.accuracy)
    path = folder / CURVES
    path.write_text(text.getvalue(), encoding="utf-8")
    return path
