"""How `edgeray generate` reads its options and writes its files."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgeray.cli.console import say
from edgeray.errors import BadInputError
from policies.model import DeviceId, Job, Link, Mode, Network

if TYPE_CHECKING:
    import numpy as np

    from edgeray.generate import Costs, Edge, Kind
    from edgeray.spec.units import Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where jobs will run, and how. network: None if no cluster is named."""

    network: Network | None
    source: DeviceId | None
    mode: Mode
    items_per_s: float | None

    @classmethod
    def of(
        cls, cluster: Path | None, source: str | None, mode: Mode = "stream", items_per_s: float | None = None
    ) -> Site:
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
            memory_bytes=parsed("memory", BYTES, memory),
        )
        return costs if self.network is None else mean_costs(self.network, costs)

    def job(self, rng: np.random.Generator, name: str, tasks: int, edges: list[Edge], costs: Costs) -> Job:
        from edgeray.generate import one_shot_job, stream_job

        if self.mode == "once":
            return one_shot_job(rng, name, tasks, edges, costs)
        devices = sorted(self.only_source().devices)
        source = devices[int(rng.integers(len(devices)))]
        return stream_job(rng, name, tasks, edges, costs, source=source, items_per_s=self.items_per_s)


def rounded(link: Link) -> Link:
    """With a capacity of four digits."""
    return replace(link, capacity_bps=float(f"{link.capacity_bps:.4g}"))


def mix_of(text: str) -> Mapping[str, Kind]:
    """The mix that "pi=4,cam=2:5GFLOPS:2GB" describes. Raises BadInputError."""
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
            mix[kind] = Kind(int(share), parsed("mix", FLOP_PER_S, rest[0]), parsed("mix", BYTES, rest[1]))
    return mix


def parsed(option: str, quantity: Quantity, text: str) -> float:
    """The number that an option's text gives. Raises BadInputError."""
    from edgeray.spec.units import UnitError

    try:
        return quantity.parse(text)
    except UnitError as error:
        raise BadInputError(
            f"--{option}: '{text}' {error.problem}\n  expected: {error.expected}\n  remedy:   {error.remedy}"
        ) from None


def write_jobs(
    context: typer.Context,
    make: Callable[[np.random.Generator, str], Job],
    name: str,
    count: int,
    seed: int,
    out: Path | None,
) -> None:
    """One job as a file, or several as a folder of files; all from one generator."""
    import numpy as np

    from edgeray.spec import job_text

    rng = np.random.default_rng(seed)
    if count == 1:
        called = name_of(context.params["name"], out, name)
        write(job_text(make(rng, called), comment=command_of(context, called)), out)
        return
    if out is None:
        raise BadInputError(f"--count {count}: {count} jobs need a folder\n  remedy:   add --out FOLDER")
    for number in range(count):
        called = name_of(f"{name}-{number:03d}", None, name)
        text = job_text(make(rng, called), comment=command_of(context, name))
        write(text, out / f"{called}.yaml", quiet=True)
    say(f"{count} jobs are in {out}/")


def name_of(given: str | None, out: Path | None, usual: str) -> str:
    """The name given, that of the file, or the usual one. Raises BadInputError if it is not usable."""
    from edgeray.spec.schema import ID_RULE, is_id

    name = given or (out.stem if out is not None else usual)
    if not is_id(name):
        raise BadInputError(
            f"'{name}' is not usable as a name\n  expected: {ID_RULE}\n  remedy:   add --name NAME"
        )
    return name


def command_of(context: typer.Context, name: str) -> str:
    """The command with all its options, the ones left out too; name: of what it makes."""
    given = context.params | {"name": name}
    words = ["edgeray", "generate", context.command.name or ""]
    for parameter in context.command.params:
        value: Any = given.get(parameter.name or "")
        if value is None or value is False or parameter.name in ("out", "help"):
            continue
        words.append(max(parameter.opts, key=len))
        if value is not True:  # a flag says all by its name
            words.append(str(value))
    return shlex.join(words)


def write(text: str, out: Path | None, *, quiet: bool = False) -> None:
    """To the file, or to stdout. Raises BadInputError for a file that cannot be written, or would not be read."""
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
