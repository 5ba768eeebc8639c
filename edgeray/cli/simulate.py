"""simulate: the live system's scheduler and policies on a cluster file, under a virtual clock."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edgeray import __version__
from edgeray.cli.compare import distinct_names
from edgeray.cli.console import print_json, say, stderr
from edgeray.cli.jobs import Json, PolicyName
from edgeray.errors import BadInputError

if TYPE_CHECKING:
    from edgeray.cli.outcomes import Run
    from edgeray.cli.simulating import Course, Options
    from edgeray.simulator import Scenario
    from edgeray.spec import Cluster
    from policies.model import Mode

MOST_ITEMIZED = 20
"""Jobs; of more, `--detail auto` follows rates and not each item."""
MOST_BOUNDED = 50 * 100
"""Jobs times links; beyond, the upper bound takes too long to work out."""


def add_commands(app: typer.Typer) -> None:
    app.command()(simulate)


def simulate(
    jobs: Annotated[
        list[Path] | None, typer.Argument(metavar="JOB...", help="Job files or folders; they need no code.")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="Cluster file; else that of the cluster that is up.")
    ] = None,
    policy: PolicyName = None,
    policies: Annotated[
        str | None, typer.Option(help="Several, separated by commas: one simulation each, side by side.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="Virtual seconds. Default: until the last job has ended; where streams do not end, 60 after the "
            "last arrival."
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--jobs", min=1, max=100_000, help="How many jobs arrive: the JOBs again and again."),
    ] = None,
    arrivals: Annotated[
        str, typer.Option(help="together, every:2s, or poisson:0.5 (jobs a second).")
    ] = "together",
    items: Annotated[int | None, typer.Option(min=1, help="A stream ends after so many items.")] = None,
    job_seconds: Annotated[
        float | None, typer.Option(help="A stream ends so many virtual seconds after it started.")
    ] = None,
    sources: Annotated[
        str | None,
        typer.Option(
            help="Devices, separated by commas: each job arrives once for each, with its sources there. "
            "random: anywhere."
        ),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="YAML or CSV file of arrivals, failures and changes of links.")
    ] = None,
    fail: Annotated[list[str] | None, typer.Option(help="A device is lost: e2@30s. Repeatable.")] = None,
    come_back: Annotated[
        list[str] | None, typer.Option("--return", help="A lost device is back: e2@60s. Repeatable.")
    ] = None,
    link: Annotated[
        list[str] | None, typer.Option(help="A link's capacity changes: e1-e2=1Mbps@20s. Repeatable.")
    ] = None,
    detail: Annotated[
        str,
        typer.Option(
            help="items: every item through every queue. rates: jobs go at their predicted rates, for "
            f"thousands of them. auto: items for up to {MOST_ITEMIZED} jobs."
        ),
    ] = "auto",
    sharing: Annotated[
        str,
        typer.Option(
            help="granted: flows have their granted rates. max-min: they share links, as TCP about does."
        ),
    ] = "granted",
    seed: Annotated[
        int, typer.Option(min=0, help="Of random arrivals and sources; the same gives the same.")
    ] = 0,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, max=1_000_000, help="Of split training; default: as many as the job says."),
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option(
            help="CSV file (seconds,camera,people) for cameras: people to be re-identified a frame, from then on."
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Of kind frames: so many frames, all runs together.")
    ] = None,
    topology: Annotated[
        str | None,
        typer.Option(help="Of fog training, who may send to whom: full, small-world, hierarchy or random."),
    ] = None,
    devices: Annotated[
        int | None, typer.Option("--n", help="Of fog training: so many devices; default 10.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Of kinds offload and frames and of fog training: a setting of the paper's model, such as helpers=10, "
            "M=2 or tau=5; an unknown one has them listed. Repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for jobs.csv, one row a job; of kinds offload and frames and of fog training for their curves."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run jobs on a cluster file under a virtual clock: the very scheduler and policies, no device needed.

    Of kinds offload, frames and fog-training the papers' models are simulated, which need no cluster file: helpers that
    are drawn from the seed, users on ON/OFF channels, and devices that really train on the points that they move.
    """
    from edgeray.cli import outcomes
    from edgeray.cli.simulating import Options, course
    from edgeray.spec import is_split_training, is_streams, load_cluster
    from edgeray.spec.fog_job import is_fog
    from edgeray.testbed import require_current

    _check_choices(detail=detail, sharing=sharing, seconds=seconds, job_seconds=job_seconds)
    options = Options(
        jobs=tuple(jobs or ()),
        count=count,
        arrivals=arrivals,
        sources=sources,
        items=items,
        job_seconds=job_seconds,
        seconds=seconds,
        seed=seed,
        trace=trace,
        fail=tuple(fail or ()),
        come_back=tuple(come_back or ()),
        link=tuple(link or ()),
    )
    others = _used(options) | {"--detail": detail != "auto", "--sharing": sharing != "granted"}
    elsewhere = {
        "--people": people is not None,
        "--rounds": rounds is not None,
        "--cluster": cluster is not None,
    }
    if any(is_fog(job) for job in options.jobs):
        from edgeray.cli.simulate_fog import merged, refuse, simulate_fog

        refuse(len(options.jobs), others | elsewhere | {"--frames": frames is not None})
        names = [name for name in _chosen(policy, policies) if name is not None] or None
        told = merged({"topology": topology, "n": devices}, settings or [])
        simulate_fog(options.jobs[0], told, policies=names, seed=seed, as_json=as_json, out=out)
        return
    if topology is not None or devices is not None:
        raise BadInputError(
            "--topology and --n: for jobs of fog training with a model (kind: fog-training) only"
        )
    if (mode := _online_mode(options.jobs)) is not None:
        others |= elsewhere
        _simulate_online(
            mode, options, _chosen(policy, policies), frames, settings or [], out, others, as_json
        )
        return
    if frames is not None or settings:
        raise BadInputError(
            "--frames and --set: for jobs of kind offload and frames, --set for fog-training, only"
        )
    loaded = load_cluster(cluster if cluster is not None else Path(require_current().cluster_file))
    others["--out"] = out is not None
    if any(is_split_training(job) for job in options.jobs):
        others["--people"] = people is not None
        _simulate_training(options.jobs, loaded, _chosen(policy, policies), rounds, others, as_json)
        return
    if any(is_streams(job) for job in options.jobs):
        others["--rounds"] = rounds is not None
        _simulate_cameras(options, loaded, _chosen(policy, policies), people, others, as_json)
        return
    if people is not None:
        raise BadInputError("--people: for jobs that watch cameras (kind: streams) only")
    if rounds is not None:
        raise BadInputError("--rounds: for jobs of split training (kind: split-training) only")
    planned = course(options, loaded)
    named = _named(policy, policies, planned)
    scenarios = [(name, planned.scenario(name or policy)) for name in named]
    if detail == "auto":
        detail = "items" if len(planned.visits) <= MOST_ITEMIZED else "rates"
    bound_per_s = _bound_per_s(planned)
    runs = [_run(name, scenario, bound_per_s, detail, sharing) for name, scenario in scenarios]
    if out is not None:
        say(f"jobs: {outcomes.write_csv(runs, out)}")
    if as_json:
        asked = asdict(options) | {"cluster": str(loaded.file), "detail": detail, "sharing": sharing}
        del asked["seed"]
        print_json(
            {
                "edgeray": __version__,
                "seed": seed,
                "scenario": asked | {"until_s": planned.until_s},
                "runs": [outcomes.run_json(run) for run in runs],
            }
        )
    else:
        _print(runs, planned, detail)


def _check_choices(*, detail: str, sharing: str, seconds: float | None, job_seconds: float | None) -> None:
    if detail not in ("items", "rates", "auto"):
        raise BadInputError(f"--detail {detail}: expected items, rates or auto")
    if sharing not in ("granted", "max-min"):
        raise BadInputError(f"--sharing {sharing}: expected granted or max-min")
    for option, value in (("--seconds", seconds), ("--job-seconds", job_seconds)):
        if value is not None and not 0 < value <= 3.6e7:
            raise BadInputError(f"{option} {value}: expected a number above 0, at most 36000000")


def _chosen(policy: str | None, policies: str | None) -> list[str | None]:
    """Those of --policies, else that of --policy; None: the default."""
    if policies is None:
        return [policy]
    if policy is not None:
        raise BadInputError("--policy and --policies exclude each other\n  remedy:   keep one of them")
    return list(distinct_names(policies))


def _used(options: Options) -> dict[str, bool]:
    """Options that say what happens to streams and one-shot jobs, and whether they were given."""
    return {
        "--seconds": options.seconds is not None,
        "--jobs": options.count is not None,
        "--arrivals": options.arrivals != "together",
        "--items": options.items is not None,
        "--job-seconds": options.job_seconds is not None,
        "--sources": options.sources is not None,
        "--trace": options.trace is not None,
        "--fail": bool(options.fail),
        "--return": bool(options.come_back),
        "--link": bool(options.link),
    }


def _simulate_training(
    jobs: Sequence[Path],
    cluster: Cluster,
    policies: Sequence[str | None],
    rounds: int | None,
    others: Mapping[str, bool],
    as_json: bool,
) -> None:
    from edgeray.cli.simulate_training import refuse_options, simulate_rounds

    refuse_options(others)
    if not simulate_rounds(jobs, cluster, policies, rounds, as_json=as_json):
        raise typer.Exit(1)


def _simulate_cameras(
    options: Options,
    cluster: Cluster,
    policies: Sequence[str | None],
    people: Path | None,
    others: Mapping[str, bool],
    as_json: bool,
) -> None:
    from edgeray.cli.simulate_cameras import refuse_options, simulate_streams

    refuse_options({option: used for option, used in others.items() if option != "--seconds"})
    if not simulate_streams(
        options.jobs, cluster, policies, seconds=options.seconds, people=people, as_json=as_json
    ):
        raise typer.Exit(1)


def _online_mode(jobs: Sequence[Path]) -> Mode | None:
    """The mode of jobs that decide while they run; None for all others. Raises BadInputError for several jobs."""
    from edgeray.spec import online_mode

    modes = [mode for job in jobs if (mode := online_mode(job)) is not None]
    if modes and len(jobs) > 1:
        raise BadInputError(
            f"{len(jobs)} jobs, of which some are of kind {modes[0]}\n"
            "  expected: one such job, alone: its paper's model is simulated\n"
            "  remedy:   a call for each"
        )
    return modes[0] if modes else None


def _simulate_online(
    mode: Mode,
    options: Options,
    policies: Sequence[str | None],
    frames: int | None,
    settings: Sequence[str],
    out: Path | None,
    others: Mapping[str, bool],
    as_json: bool,
) -> None:
    from edgeray.cli.simulate_frames import simulate_frames
    from edgeray.cli.simulate_offload import simulate_offload
    from edgeray.simulator.settings import parse_settings
    from edgeray.spec import load_online

    counted = "--items" if mode == "offload" else "--frames"
    given = {**others, "--frames": frames is not None}
    if used := sorted(option for option, was in given.items() if was and option != counted):
        raise BadInputError(
            f"{', '.join(used)}: not for jobs of kind {mode}\n"
            f"  expected: {counted}, --seed, --set, --policy, --policies, --out and --json\n"
            "  remedy:   leave it out"
        )
    load_online(options.jobs[0])  # what is wrong with the file is said
    named = [name for name in policies if name is not None] or None
    chosen = parse_settings(settings)
    if mode == "offload":
        simulate_offload(
            chosen, policies=named, items=options.items, seed=options.seed, as_json=as_json, out=out
        )
    else:
        simulate_frames(chosen, policies=named, frames=frames, seed=options.seed, as_json=as_json, out=out)


def _named(policy: str | None, policies: str | None, planned: Course) -> list[str | None]:
    """The policies of --policies; one None without it."""
    chosen = _chosen(policy, policies)
    if policies is None:
        return [None]
    if any(visit.policy is not None for visit in planned.visits):
        raise BadInputError(
            "--policies with a trace whose jobs name policies of their own would compare nothing\n"
            "  remedy:   remove `policy` from the trace, or --policies"
        )
    return chosen


def _bound_per_s(planned: Course) -> float | None:
    """An upper bound on the streams' mean items/s, where one can be told at all: when all of them run together to
    the end on a cluster that gets no better."""
    from edgeray.simulator import LinkChanges
    from policies.bound import throughput_bound

    network = planned.cluster.network
    streams = [visit for visit in planned.visits if visit.stream]
    better = any(
        isinstance(one, LinkChanges) and one.capacity_bps > network.links[one.link].capacity_bps
        for one in planned.disturbances
    )
    if not streams or better or any(visit.at_s > 0 or not visit.endless for visit in streams):
        return None
    if len(streams) * len(network.links) > MOST_BOUNDED:
        return None
    try:
        return throughput_bound(network, [visit.workload for visit in streams]) / len(streams)
    except ValueError:  # a job that cannot run at all, or that nothing bounds
        return None


def _run(name: str | None, scenario: Scenario, bound_per_s: float | None, detail: str, sharing: str) -> Run:
    from edgeray.cli.outcomes import Run
    from edgeray.simulator import simulate as run_scenario

    with _progress(name or "simulating", scenario.until_s) as show:
        outcome = run_scenario(scenario, detail=detail, sharing=sharing, progress=show)  # type: ignore[arg-type]
    if outcome.planning_s:
        say(
            f"{name or 'simulated'}: {len(outcome.planning_s)} decisions, median "
            f"{statistics.median(outcome.planning_s) * 1e3:.1f} ms, at most {max(outcome.planning_s) * 1e3:.0f} ms"
        )
    return Run(policy=name, outcome=outcome, bound_per_s=bound_per_s)


@contextmanager
def _progress(what: str, until_s: float | None) -> Iterator[Callable[[float], None]]:
    """A bar over virtual time."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} virtual s"))
    hidden = not stderr.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=stderr, transient=True, disable=hidden) as bar:
        task = bar.add_task(what, total=until_s)
        yield lambda now_s: bar.update(task, completed=now_s)


def _print(runs: list[Run], planned: Course, detail: str) -> None:
    from edgeray.cli import outcomes

    count = len(runs[0].outcome.jobs)
    if count < len(planned.visits):
        say(f"{len(planned.visits) - count} jobs would arrive after the end; --seconds moves it")
    where = f"on {planned.cluster.name}, by {detail}"
    if len(runs) > 1:
        outcomes.print_side_by_side(runs, f"{count} job{'s'[: count - 1]} {where}")
    else:
        outcomes.print_run(runs[0], f"{where}, {runs[0].outcome.end_s:g} virtual s")
