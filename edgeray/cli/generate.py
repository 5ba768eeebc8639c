"""generate network, attributes, layered, fork-join, chain: cluster and job files made from a seed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgeray.cli.console import say
from edgeray.errors import BadInputError
from policies.model import DeviceId, Job, Link, Mode, Network

if TYPE_CHECKING:
    import numpy as np

    from edgeray.generate import Costs, Edge, Kind
    from edgeray.spec.units import Quantity

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
    memory: Annotated[str | None, typer.Option(help="Memory of every device, whatever its type.")] = None,
    name: Name = None,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """A connected network, as a cluster file. Its first device is the head.

    Devices are shared out to the types of the mix in its order, then shuffled. Capacities are normally distributed,
    cut off below a fifth of the mean.
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
    kinds = MIX if mix is None else _mix(mix)
    if memory is not None:
        held = _parsed("memory", BYTES, memory)
        kinds = {kind: one._replace(memory_bytes=held) for kind, one in kinds.items()}
    made = random_network(
        np.random.default_rng(seed),
        devices,
        mbps * 1e6,
        degree=degree,
        deviation=deviation,
        mix=kinds,
        shape=shape,
    )
    made = replace(made, links={id: _rounded(link) for id, link in made.links.items()})
    called = _name(name, out, "network")
    _write(cluster_text(made, next(iter(made.devices)), called, comment=_command(context)), out)


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

    site = _Site.of(cluster, source)
    cameras = site.only_source()

    def make(rng: np.random.Generator, called: str) -> Job:
        job = attributes_job(rng, cameras, called, spread).job
        return replace(job, mode=mode, items_per_s=items_per_s if mode == "stream" else None)

    _write_jobs(context, make, name or "attributes", count, seed, out)


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

    site = _Site.of(cluster, source, mode, items_per_s)
    costs = site.costs(seconds, ccr, spread, beta, memory)

    def make(rng: np.random.Generator, called: str) -> Job:
        return site.job(rng, called, tasks, layered_edges(rng, tasks, alpha=alpha, degree=degree), costs)

    _write_jobs(context, make, name or "layered", count, seed, out)


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
    site = _Site.of(cluster, source, mode, items_per_s)
    costs = site.costs(seconds, ccr, spread, beta, memory)

    def make(rng: np.random.Generator, called: str) -> Job:
        return site.job(rng, called, tasks, fork_join_edges(width, stages), costs)

    _write_jobs(context, make, name or "fork-join", count, seed, out)


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

    site = _Site.of(cluster, source, mode, items_per_s)
    costs = site.costs(seconds, ccr, spread, beta, memory)

    def make(rng: np.random.Generator, called: str) -> Job:
        return site.job(rng, called, tasks, chain_edges(tasks), costs)

    _write_jobs(context, make, name or "chain", count, seed, out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """Where jobs will run, and how. network: None if no cluster is named."""

    network: Network | None
    source: DeviceId | None
    mode: Mode
    items_per_s: float | None

    @classmethod
    def of(
        cls, cluster: Path | None, source: str | None, mode: Mode = "stream", items_per_s: float | None = None
    ) -> _Site:
        from edgeray.spec import load_cluster

        found = None if cluster is None else load_cluster(cluster).network
        if mode == "once" and (source is not None or items_per_s is not None):
            raise BadInputError("--source and --items-per-s are for streams\n  remedy:   add --mode stream")
        if mode == "stream" and found is None and source is None:
            raise BadInputError(
                "a stream's source is on a device, but none is named\n  remedy:   add --source DEVICE or --cluster FILE"
            )
        if found is not None and source is not None and source not in found.devices:
            raise BadInputError(f"--source {source} is no device of {cluster}")
        return cls(
            network=found,
            source=None if source is None else DeviceId(source),
            mode=mode,
            items_per_s=items_per_s,
        )

    def only_source(self) -> Network:
        """The network; of a named source only that device."""
        from policies.model import Device

        if self.source is not None:
            return Network(
                devices={self.source: Device(id=self.source, type="any", memory_bytes=0)}, links={}
            )
        assert self.network is not None
        return self.network

    def costs(
        self, seconds: float | None, ccr: float, spread: float, beta: float | None, memory: str
    ) -> Costs:
        from edgeray.generate import Costs, mean_costs
        from edgeray.spec.units import BYTES

        if beta is not None and self.network is None:
            raise BadInputError("--beta declares seconds by device type\n  remedy:   add --cluster FILE")
        usual = 1.0 if self.mode == "once" else 0.05
        costs = Costs(
            seconds=usual if seconds is None else seconds,
            ccr=ccr,
            spread=spread,
            heterogeneity=beta,
            memory_bytes=_parsed("memory", BYTES, memory),
        )
        return costs if self.network is None else mean_costs(self.network, costs)

    def job(self, rng: np.random.Generator, name: str, tasks: int, edges: list[Edge], costs: Costs) -> Job:
        from edgeray.generate import one_shot_job, stream_job

        if self.mode == "once":
            return one_shot_job(rng, name, tasks, edges, costs)
        devices = sorted(self.only_source().devices)
        source = devices[int(rng.integers(len(devices)))]
        return stream_job(rng, name, tasks, edges, costs, source=source, items_per_s=self.items_per_s)


def _rounded(link: Link) -> Link:
    return replace(link, capacity_bps=float(f"{link.capacity_bps:.4g}"))


def _mix(text: str) -> Mapping[str, Kind]:
    """pi=4,cam=2:5GFLOPS:2GB"""
    from edgeray.generate import MIX, Kind
    from edgeray.spec.schema import is_id
    from edgeray.spec.units import BYTES, FLOP_PER_S

    mix = {}
    for part in text.split(","):
        kind, _, numbers = part.strip().partition("=")
        share, *rest = numbers.split(":")
        known = kind in MIX and not rest
        if not (
            share.isascii() and share.isdigit() and int(share) and is_id(kind) and (known or len(rest) == 2)
        ):
            raise BadInputError(
                f"--mix: '{part}' is no part of a mix\n"
                f"  expected: TYPE=SHARE (TYPE one of {', '.join(MIX)}) or TYPE=SHARE:SPEED:MEMORY\n"
                "  remedy:   write, for example, --mix pi=4,cam=2:5GFLOPS:2GB"
            )
        if known:
            mix[kind] = MIX[kind]._replace(share=int(share))
        else:
            mix[kind] = Kind(int(share), _parsed("mix", FLOP_PER_S, rest[0]), _parsed("mix", BYTES, rest[1]))
    return mix


def _parsed(option: str, quantity: Quantity, text: str) -> float:
    from edgeray.spec.units import UnitError

    try:
        return quantity.parse(text)
    except UnitError as error:
        raise BadInputError(
            f"--{option}: '{text}' {error.problem}\n  expected: {error.expected}\n  remedy:   {error.remedy}"
        ) from None


def _write_jobs(
    context: typer.Context,
    make: Callable[[np.random.Generator, str], Job],
    name: str,
    count: int,
    seed: int,
    out: Path | None,
) -> None:
    import numpy as np

    from edgeray.spec import job_text

    rng = np.random.default_rng(seed)
    comment = _command(context)
    if count == 1:
        given = context.params["name"]
        _write(job_text(make(rng, _name(given, out, name)), comment=comment), out)
        return
    if out is None:
        raise BadInputError(f"--count {count}: {count} jobs need a folder\n  remedy:   add --out FOLDER")
    for number in range(count):
        called = _name(f"{name}-{number:03d}", None, name)
        _write(job_text(make(rng, called), comment=comment), out / f"{called}.yaml", quiet=True)
    say(f"{count} jobs are in {out}/")


def _name(given: str | None, out: Path | None, usual: str) -> str:
    from edgeray.spec.schema import ID_RULE, is_id

    name = given or (out.stem if out is not None else usual)
    if not is_id(name):
        raise BadInputError(
            f"'{name}' is not usable as a name\n  expected: {ID_RULE}\n  remedy:   add --name NAME"
        )
    return name


def _command(context: typer.Context) -> str:
    """The command with all its options, the ones left out too."""
    words = ["edgeray", "generate", context.command.name or ""]
    for parameter in context.command.params:
        value: Any = context.params.get(parameter.name or "")
        if value is not None and parameter.name not in ("out", "help"):
            words += [max(parameter.opts, key=len), str(value)]
    return shlex.join(words)


def _write(text: str, out: Path | None, *, quiet: bool = False) -> None:
    from edgeray.spec.yaml_file import MAX_FILE_BYTES

    if len(text) > MAX_FILE_BYTES:
        raise BadInputError(
            f"the file would be larger than the {MAX_FILE_BYTES // 1_000_000} MB that are read\n"
            "  remedy:   ask for fewer devices, links or tasks"
        )
    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"--out {out}: cannot be written: {error.strerror}") from None
    if not quiet:
        say(f"wrote {out}")
