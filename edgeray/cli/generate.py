"""generate network, attributes, layered, fork-join, chain: cluster and job files made from a seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgeray.cli.generating import Site, command_of, mix_of, name_of, parsed, rounded, write, write_jobs
from edgeray.errors import BadInputError
from policies.model import Job, Mode

if TYPE_CHECKING:
    import numpy as np

MAX_DEVICES = 10_000
MAX_LINKS = 50_000
MAX_TASKS = 20_000

group = typer.Typer(
    help="Write cluster and job files made from a seed: the same options give the same bytes anywhere.",
    no_args_is_help=True,
)

Seed = Annotated[int, typer.Option(min=0, help="Other seeds give other networks and jobs of the same sort.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="File to write; a folder for --count above 1. Without it: stdout."),
]
Name = Annotated[str | None, typer.Option(help="Default: the file's name, or the command's.")]
Count = Annotated[
    int, typer.Option(min=1, max=10_000, help="So many jobs, NAME-000.yaml and on, in a folder.")
]
ModeOption = Annotated[
    Mode, typer.Option(help="once: each task runs once. stream: every task runs per item of a source.")
]
ClusterFile = Annotated[
    Path | None,
    typer.Option(
        "--cluster", help="Costs fit this network's mean speed and capacity; sources are devices of it."
    ),
]
Source = Annotated[
    str | None, typer.Option(help="Streams: the source's device. Default: a random one of the cluster.")
]
Pace = Annotated[
    float | None,
    typer.Option("--items-per-s", help="Streams: the source's own pace. Default: as fast as it can."),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        min=0, help="Mean time of a task on a device of mean speed. Default: 1 for once, 0.05 for stream."
    ),
]
Ccr = Annotated[
    float, typer.Option(min=0, help="Mean time of a flow over the mean link, as a part of --seconds.")
]
Spread = Annotated[
    float, typer.Option(min=0, max=1, help="Costs are uniform in mean x (1 - SPREAD) to mean x (1 + SPREAD).")
]
Memory = Annotated[str, typer.Option(help="Memory of each task, such as 200MB.")]
Beta = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=2,
        help="Declare seconds by device type, up to BETA / 2 off the task's mean whatever the devices' speeds. "
        "Without it: declare work, so that a device of twice the speed takes half the time.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    group.command()(network)
    for command in (attributes, layered, fork_join, chain):
        group.command()(command)
    app.add_typer(group, name="generate")


def network(
    context: typer.Context,
    devices: Annotated[int, typer.Option(min=1, max=MAX_DEVICES, help="How many.")] = 10,
    shape: Annotated[
        Literal["random", "line", "star", "grid", "clique"],
        typer.Option(help="random: a random tree and further random links, up to --degree."),
    ] = "random",
    degree: Annotated[
        float, typer.Option(min=0, help="Mean number of links of a device (shape random).")
    ] = 3.0,
    mbps: Annotated[float, typer.Option(min=0.001, max=1e6, help="Mean capacity of a link.")] = 10.0,
    deviation: Annotated[
        float, typer.Option(min=0, max=10, help="Standard deviation of capacities, as a part of the mean.")
    ] = 0.3,
    mix: Annotated[
        str | None,
        typer.Option(
            help="TYPE=SHARE or TYPE=SHARE:SPEED:MEMORY, with commas between; pi, nano, nx, server-1 and server-2 "
            "are known. Default: pi=4,nano=2,nx=2,server-1=1,server-2=1 (Zhang 2024, table 3.1)."
        ),
    ] = None,
    draw: Annotated[
        bool, typer.Option("--draw", help="Draw each device's type by itself, with the shares as odds.")
    ] = False,
    memory: Annotated[str | None, typer.Option(help="Memory of every device, whatever its type.")] = None,
    name: Name = None,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """A connected network, as a cluster file. Its first device is the head.

    Without --draw, devices are shared out to the types of the mix in its order, then shuffled. Capacities are normally
    distributed, cut off below a fifth of the mean.
    """
    import numpy as np

    from edgeray.generate import MIX, random_network
    from edgeray.spec import cluster_text
    from edgeray.spec.units import BYTES

    links = devices * (devices - 1) // 2 if shape == "clique" else round(devices * degree / 2)
    if links > MAX_LINKS:
        raise BadInputError(
            f"a network of {links:,} links; expected at most {MAX_LINKS:,}\n  remedy:   ask for fewer devices or links"
        )
    kinds = MIX if mix is None else mix_of(mix)
    if memory is not None:
        held = parsed("memory", BYTES, memory)
        kinds = {kind: one._replace(memory_bytes=held) for kind, one in kinds.items()}
    made = random_network(
        np.random.default_rng(seed),
        devices,
        mbps * 1e6,
        degree=degree,
        deviation=deviation,
        mix=kinds,
        shape=shape,
        drawn=draw,
    )
    made = replace(made, links={id: rounded(link) for id, link in made.links.items()})
    called = name_of(name, out, "network")
    write(cluster_text(made, next(iter(made.devices)), called, comment=command_of(context, called)), out)


def attributes(
    context: typer.Context,
    cluster: ClusterFile = None,
    source: Source = None,
    spread: Annotated[
        float, typer.Option(min=0, max=1, help="By what part each number may lie off the thesis' value.")
    ] = 0.0,
    items_per_s: Annotated[float, typer.Option("--items-per-s", help="Streams: the camera's pace.")] = 30.0,
    mode: ModeOption = "stream",
    count: Count = 1,
    name: Name = None,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """The thesis' job: frames of 6 MB, a detector, seven networks for attributes, a tracker.

    Zhang 2024, Fig. 3.9. The camera's device is random in the cluster, or --source.
    """
    from edgeray.generate import attributes_job

    site = Site.of(cluster, source)
    cameras = site.only_source()

    def make(rng: np.random.Generator, called: str) -> Job:
        job = attributes_job(rng, cameras, called, spread).job
        return replace(job, mode=mode, items_per_s=items_per_s if mode == "stream" else None)

    write_jobs(context, make, name or "attributes", count, seed, out)


def layered(
    context: typer.Context,
    tasks: Annotated[int, typer.Option(min=1, max=MAX_TASKS, help="How many.")] = 50,
    alpha: Annotated[
        float,
        typer.Option(
            min=0.01, max=100, help="Shape: sqrt(TASKS) x ALPHA tasks wide, sqrt(TASKS) / ALPHA deep."
        ),
    ] = 1.0,
    degree: Annotated[float, typer.Option(min=1, max=100, help="Mean number of inputs of a task.")] = 3.0,
    cluster: ClusterFile = None,
    source: Source = None,
    items_per_s: Pace = None,
    seconds: Seconds = None,
    ccr: Ccr = 1.0,
    spread: Spread = 1.0,
    beta: Beta = None,
    memory: Memory = "0",
    mode: ModeOption = "once",
    count: Count = 1,
    name: Name = None,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Layered random DAGs, with the parameters of Topcuoglu, Hariri and Wu (HEFT, 2002)."""
    from edgeray.generate import layered_edges

    site = Site.of(cluster, source, mode, items_per_s)
    costs = site.costs(seconds, ccr, spread, beta, memory)

    def make(rng: np.random.Generator, called: str) -> Job:
        return site.job(rng, called, tasks, layered_edges(rng, tasks, alpha=alpha, degree=degree), costs)

    write_jobs(context, make, name or "layered", count, seed, out)


def fork_join(
    context: typer.Context,
    width: Annotated[int, typer.Option(min=1, max=MAX_TASKS, help="Tasks side by side.")] = 8,
    stages: Annotated[int, typer.Option(min=1, max=MAX_TASKS, help="Forks, one after the other.")] = 1,
    cluster: ClusterFile = None,
    source: Source = None,
    items_per_s: Pace = None,
    seconds: Seconds = None,
    ccr: Ccr = 1.0,
    spread: Spread = 0.0,
    beta: Beta = None,
    memory: Memory = "0",
    mode: ModeOption = "once",
    count: Count = 1,
    name: Name = None,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Fork-join: one task gives to WIDTH tasks, which give to one task, STAGES times."""
    from edgeray.generate import fork_join_edges

    tasks = stages * (width + 1) + 1
    if tasks > MAX_TASKS:
        raise BadInputError(
            f"--width {width} --stages {stages}: {tasks:,} tasks; expected at most {MAX_TASKS:,}"
        )
    site = Site.of(cluster, source, mode, items_per_s)
    costs = site.costs(seconds, ccr, spread, beta, memory)

    def make(rng: np.random.Generator, called: str) -> Job:
        return site.job(rng, called, tasks, fork_join_edges(width, stages), costs)

    write_jobs(context, make, name or "fork-join", count, seed, out)


def chain(
    context: typer.Context,
    tasks: Annotated[int, typer.Option(min=1, max=MAX_TASKS, help="How many.")] = 5,
    cluster: ClusterFile = None,
    source: Source = None,
    items_per_s: Pace = None,
    seconds: Seconds = None,
    ccr: Ccr = 1.0,
    spread: Spread = 0.0,
    beta: Beta = None,
    memory: Memory = "0",
    mode: ModeOption = "once",
    count: Count = 1,
    name: Name = None,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Chains: each task gives to the next."""
    from edgeray.generate import chain_edges

    site = Site.of(cluster, source, mode, items_per_s)
    costs = site.costs(seconds, ccr, spread, beta, memory)

    def make(rng: np.random.Generator, called: str) -> Job:
        return site.job(rng, called, tasks, chain_edges(tasks), costs)

    write_jobs(context, make, name or "chain", count, seed, out)
