"""simulate, of split training: rounds under a virtual clock, and where each client's time goes in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from edgeray import __version__
from edgeray.cli.console import print_json, say, seconds_text, stderr, stdout
from edgeray.errors import BadInputError

if TYPE_CHECKING:
    from edgeray.simulator import SimulatedTraining
    from edgeray.spec import Cluster

MOST_ROWS = 40
"""Of more devices the first are shown."""


def simulate_rounds(
    jobs: Sequence[Path],
    cluster: Cluster,
    policies: Sequence[str | None],
    rounds: int | None,
    *,
    as_json: bool,
) -> bool:
    """Simulate the one job of split training by each policy (None: the default). Whether all of them had a plan."""
    from edgeray.planning import chosen_policy, workload_of
    from edgeray.profiler import ProfileStore
    from edgeray.simulator import simulate_training
    from edgeray.spec import load_on

    if len(jobs) > 1:
        raise BadInputError(
            f"{len(jobs)} jobs, of which one is split training\n"
            "  expected: a job of split training alone: its rounds are simulated on an idle network\n"
            "  remedy:   a call for each"
        )
    with stderr.status("reading"):
        app = load_on(jobs[0], cluster)
        workload = workload_of(app, cluster, ProfileStore())
    names = [chosen_policy(policy, app.job.mode) for policy in policies]
    runs = [simulate_training(workload, cluster.network, name, rounds) for name in names]
    if as_json:
        print_json(
            {
                "edgeray": __version__,
                "scenario": {"job": app.job.id, "cluster": str(cluster.file), "rounds": runs[0].rounds},
                "runs": [run.as_json() for run in runs],
            }
        )
    else:
        _print(runs, app.job.id, cluster.name)
    return all(run.plan is not None for run in runs)


def refuse_options(given: Mapping[str, bool]) -> None:
    """given: options of other kinds of jobs, and whether they were used."""
    used = [option for option, asked in given.items() if asked]
    if used:
        raise BadInputError(
            f"{', '.join(used)}: not for split training\n"
            "  expected: --cluster, --policy or --policies, --rounds, --json\n"
            "  remedy:   leave the others out; a job of split training is simulated alone, round by round"
        )


def _print(runs: Sequence[SimulatedTraining], job: str, cluster: str) -> None:
    for run in runs:
        if run.plan is None:
            for reason in run.reasons:
                stdout.print(
                    f"{job} cannot be trained by {run.policy}: {reason}", markup=False, highlight=False
                )
    done = [run for run in runs if run.timeline is not None]
    if len(runs) == 1 and done:
        _print_devices(done[0], f"{job} on {cluster} by {done[0].policy}")
    elif done:
        _print_side_by_side(done, f"{job} on {cluster}, {runs[0].rounds} rounds")


def _print_devices(run: SimulatedTraining, title: str) -> None:
    told = run.as_json()
    say(
        f"{title}: {told['rounds']} rounds in {seconds_text(run.total_s)}, {seconds_text(told['round_s'])} each"
        f"{_bound(told['round_s'], told['bound_s'])}; the server computes {seconds_text(told['server']['busy_s'])} "
        f"of each; bottleneck: {told['bottleneck']}"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("device", "type", "cut: layer"):
        table.add_column(heading)
    for heading in ("computing", "server", "transfers", "queued", "idle"):
        table.add_column(heading, justify="right")
    for row in told["devices"][:MOST_ROWS]:
        table.add_row(
            escape(row["device"]),
            escape(row["type"]),
            f"{row['cut']}: {escape(row['layer'])}",
            *(seconds_text(row[f"{part}_s"]) for part in ("compute", "served", "transfer", "queued", "idle")),
        )
    if len(told["devices"]) > MOST_ROWS:
        table.add_row(f"{len(told['devices']) - MOST_ROWS} more")
    stdout.print(table)


def _print_side_by_side(runs: Sequence[SimulatedTraining], title: str) -> None:
    """The slowest device's share of each round, by policy."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("policy")
    for heading in ("a round", "of bound", "all rounds", "server busy", "idle, mean"):
        table.add_column(heading, justify="right")
    for run in runs:
        told = run.as_json()
        idle_s = sum(row["idle_s"] for row in told["devices"]) / len(told["devices"])
        bound_s = told["bound_s"]
        table.add_row(
            escape(run.policy),
            seconds_text(told["round_s"]),
            f"{told['round_s'] / bound_s:.2f}" if bound_s else "",
            seconds_text(run.total_s),
            seconds_text(told["server"]["busy_s"]),
            seconds_text(idle_s),
        )
    stdout.print(table)


def _bound(round_s: float, bound_s: float | None) -> str:
    return f" ({round_s / bound_s:.2f} times the bound)" if bound_s else ""
