"""simulate, of frames with hard deadlines on one link: policies side by side, in the slides' setting."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from rich.markup import escape

from edgeray import __version__
from edgeray.cli.console import print_json, say, stdout
from edgeray.cli.simulate_offload import progress_bar, side_by_side
from edgeray.errors import BadInputError
from edgeray.simulator.frames import (
    FramesRun,
    PaperFrames,
    check_frames,
    least_frame_energy,
    simulate_frame_policy,
)
from edgeray.simulator.settings import settings_of
from edgeray.web.numbers import finite
from policies.deadline.policy import FRAME_POLICIES

FRAMES = 500_000
RUNS = "frames.csv"


def simulate_frames(
    settings: Mapping[str, Any],
    *,
    policies: Sequence[str] | None,
    frames: int | None,
    seed: int,
    as_json: bool,
    out: Path | None,
) -> list[FramesRun]:
    """Simulate frames under each policy (None: those that know the channels) and print a table, or one JSON object.

    settings: of PaperFrames by name. frames: of all runs together. out: a folder for frames.csv, a line a policy. Raises
    BadInputError for settings and policies that there are not, or that do not go together.
    """
    asked = settings_of(PaperFrames, settings)
    count = FRAMES if frames is None else frames
    if count < asked.runs:
        raise BadInputError(
            f"{count} frames in {asked.runs} runs\n  expected: one for each run at least\n"
            "  remedy:   more frames, or --set runs=1"
        )
    names = list(FRAME_POLICIES) if policies is None else list(policies)
    for name in names:
        check_frames(asked, name)
    with progress_bar() as bar:
        runs = [
            simulate_frame_policy(asked, name, count, seed)
            for name in bar.track(names, description="simulating")
        ]
    bound = least_frame_energy(asked)
    if out is not None:
        say(f"runs: {_write(runs, out)}")
    if as_json:
        told = {
            "edgeray": __version__,
            "settings": asdict(asked),
            "frames": count,
            "seed": seed,
            "least_energy_per_user_frame": bound,
            "runs": [run.as_json() for run in runs],
        }
        print_json(finite(told))
    else:
        _print(runs, asked, bound, seed)
    return runs


def _print(runs: Sequence[FramesRun], settings: PaperFrames, bound: float | None, seed: int) -> None:
    title = f"a user and frame: {settings.users} users, {runs[0].frames} frames, {settings.slots} slots, seed {seed}"
    table = side_by_side(title, ("energy", "over least", "dropped", "queue", "last", ""))
    for run in runs:
        over = "" if not bound else f"{100 * (run.energy_per_user_frame / bound - 1):+.1f} %"
        table.add_row(
            escape(run.policy),
            f"{run.energy_per_user_frame:.4f}",
            over,
            f"{100 * run.drop_rate:.2f} %",
            f"{run.queue:.2f}",
            f"{run.last_queue:.2f}",
            "" if run.infeasible < 0.5 else "rises",
        )
    stdout.print(table)
    if bound is not None:
        stdout.print(f"least energy at {100 * settings.rho:g} % dropped: {bound:.4f}", highlight=False)


def _write(runs: Sequence[FramesRun], folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"--out {folder}: expected a folder, found a file")
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(FramesRun)]
    writer.writerow(names)
    writer.writerows([getattr(run, name) for name in names] for run in runs)
    path = folder / RUNS
    path.write_text(text.getvalue(), encoding="utf-8")
    return path
