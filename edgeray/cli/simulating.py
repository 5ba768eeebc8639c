"""From options and a trace file to what is simulated: who arrives when, and what goes wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeray.errors import BadInputError
from edgeray.planning import distinct, with_sources_on, workload_of
from edgeray.policy_names import check_mode, default_policy, mode_of
from edgeray.profiler import ProfileStore
from edgeray.simulator import Arrival, DeviceFails, DeviceReturns, Disturbance, LinkChanges, Scenario
from edgeray.spec import App, Cluster, TraceEvent, load_app, load_trace
from edgeray.spec.units import BITS_PER_S, ITEMS_PER_S, VIRTUAL_SECONDS, Quantity, UnitError
from edgeray.spec.words import listed, remedy_for_name
from policies.model import DeviceId, LinkId, Mode, Workload

DEFAULT_SECONDS = 60.0
RANDOM = "random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for; the names are those of the options."""

    jobs: tuple[Path, ...]
    count: int | None
    arrivals: str
    sources: str | None
    items: int | None
    job_seconds: float | None
    seconds: float | None
    seed: int
    trace: Path | None
    fail: tuple[str, ...]
    come_back: tuple[str, ...]
    link: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A job that arrives. policy: the one that the trace names for it, else None."""

    at_s: float
    workload: Workload
    policy: str | None
    items: int | None
    seconds: float | None

    @property
    def stream(self) -> bool:
        return self.workload.job.mode == "stream"

    @property
    def endless(self) -> bool:
        return self.stream and self.items is None and self.seconds is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """All that happens, whichever policy decides. until_s: None when everything ends by itself."""

    cluster: Cluster
    visits: tuple[Visit, ...]
    disturbances: tuple[Disturbance, ...]
    until_s: float | None

    def modes(self) -> tuple[Mode, ...]:
        return tuple(sorted({visit.workload.job.mode for visit in self.visits}))

    def scenario(self, policy: str | None) -> Scenario:
        """What to simulate when policy governs the jobs of its mode. Raises BadInputError for an unfitting one."""
        by_mode = policies_by_mode(policy, self.modes())
        return Scenario(
            network=self.cluster.network,
            arrivals=tuple(
                Arrival(
                    at_s=visit.at_s,
                    workload=visit.workload,
                    policy=visit.policy or by_mode[visit.workload.job.mode],
                    items=visit.items if visit.stream else None,
                    seconds=visit.seconds if visit.stream else None,
                )
                for visit in self.visits
            ),
            disturbances=self.disturbances,
            until_s=self.until_s,
        )


def policies_by_mode(named: str | None, modes: Sequence[Mode]) -> dict[Mode, str]:
    """The policy of the jobs of each mode: the named one for those that it is for, the default for others."""
    try:
        own = None if named is None else mode_of(named)
        if named is not None and own is not None and own not in modes:
            check_mode(named, modes[0])
    except ValueError as error:
        raise BadInputError(f"{error}\n  remedy:   correct --policy or --policies") from error
    return {mode: named if named and own in (None, mode) else default_policy(mode) for mode in modes}


def course(options: Options, cluster: Cluster) -> Course:
    """Everything that will happen. Raises BadInputError and its kin for what is wrong with the options or files."""
    trace = load_trace(options.trace) if options.trace is not None else ()
    reader = _Reader(cluster)
    visits = [*_from_options(options, reader), *_from_trace(trace, reader)]
    if not visits:
        raise BadInputError(
            "no job arrives\n  expected: JOB files, or a --trace with `job` events\n  remedy:   name a job file"
        )
    visits.sort(key=lambda visit: visit.at_s)
    names = distinct([visit.workload for visit in visits])
    return Course(
        cluster=cluster,
        visits=tuple(replace(visit, workload=named) for visit, named in zip(visits, names, strict=True)),
        disturbances=tuple(_disturbances(options, trace, cluster)),
        until_s=_until_s(options.seconds, visits),
    )


def _until_s(asked_s: float | None, visits: Sequence[Visit]) -> float | None:
    if asked_s is not None:
        return asked_s
    endless = any(visit.endless for visit in visits)
    return max(visit.at_s for visit in visits) + DEFAULT_SECONDS if endless else None


class _Reader:
    """Job files made into workloads, each once for each place of its sources."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._store = ProfileStore()
        self._apps: dict[Path, App] = {}
        self._workloads: dict[tuple[Path, str | None], Workload] = {}

    def workload(self, file: Path, sources: str | None) -> Workload:
        if (file, sources) not in self._workloads:
            if file not in self._apps:
                self._apps[file] = load_app(file)
            app = self._apps[file]
            app = app if sources is None else with_sources_on(app, DeviceId(sources))
            self._workloads[file, sources] = workload_of(app, self.cluster, self._store)
        return self._workloads[file, sources]


def _from_options(options: Options, reader: _Reader) -> Iterator[Visit]:
    sources = _sources(options.sources, reader.cluster)
    # As `compare` does: each job once for each source device.
    kinds = [(file, source) for source in sources for file in options.jobs]
    if not kinds:
        return
    # A stream of random numbers for each purpose, so that one option does not change what another one draws.
    times = _times(options.arrivals, np.random.default_rng([options.seed, 0]))
    places = np.random.default_rng([options.seed, 1])
    devices = tuple(reader.cluster.network.devices)
    for number in range(options.count or len(kinds)):
        file, source = kinds[number % len(kinds)]
        if source == RANDOM:
            source = devices[int(places.integers(len(devices)))]
        yield Visit(
            at_s=next(times),
            workload=reader.workload(file, source),
            policy=None,
            items=options.items,
            seconds=options.job_seconds,
        )


def _sources(text: str | None, cluster: Cluster) -> list[str | None]:
    if text is None:
        return [None]
    names: list[str | None] = []
    for name in (part.strip() for part in text.split(",")):
        names.append(name if name == RANDOM else _device(name, cluster, f"--sources {text}"))
    return names


def _times(text: str, rng: np.random.Generator) -> Iterator[float]:
    """When jobs arrive, one after the other, without end."""
    kind, _, value = text.partition(":")
    if kind == "every" and value:
        gap_s = _quantity(VIRTUAL_SECONDS, value, f"--arrivals {text}")
        return (number * gap_s for number in itertools.count())
    if kind == "poisson" and value:
        return _poisson(_quantity(ITEMS_PER_S, value, f"--arrivals {text}"), rng)
    if text == "together":
        return itertools.repeat(0.0)
    raise BadInputError(
        f"--arrivals {text}: no such way to arrive\n"
        "  expected: together, every:SECONDS (every:2s), or poisson:JOBS_PER_SECOND (poisson:0.5)"
    )


def _poisson(rate_per_s: float, rng: np.random.Generator) -> Iterator[float]:
    at_s = 0.0
    while True:
        at_s += float(rng.exponential(1 / rate_per_s))
        yield at_s


def _from_trace(trace: Sequence[TraceEvent], reader: _Reader) -> Iterator[Visit]:
    for event in trace:
        if event.what == "job":
            if event.sources is not None:
                _device(event.sources, reader.cluster, event.where)
            workload = reader.workload(Path(event.subject), event.sources)
            _check_policy(event, workload.job.mode)
            yield Visit(
                at_s=event.at_s,
                workload=workload,
                policy=event.policy,
                items=event.items,
                seconds=event.seconds,
            )


def _check_policy(event: TraceEvent, mode: Mode) -> None:
    try:
        if event.policy is not None:
            check_mode(event.policy, mode)
    except ValueError as error:
        raise BadInputError(f"{event.where}: {error}\n  remedy:   correct `policy`") from error


def _disturbances(options: Options, trace: Sequence[TraceEvent], cluster: Cluster) -> Iterator[Disturbance]:
    events = [event for event in trace if event.what != "job"]
    events += [_at("fails", f"--fail {text}", text) for text in options.fail]
    events += [_at("returns", f"--return {text}", text) for text in options.come_back]
    events += [_link_at(f"--link {text}", text) for text in options.link]
    for event in events:
        if event.what == "fails":
            yield DeviceFails(at_s=event.at_s, device=_device(event.subject, cluster, event.where))
        elif event.what == "returns":
            yield DeviceReturns(at_s=event.at_s, device=_device(event.subject, cluster, event.where))
        else:
            assert event.capacity_bps is not None
            link = _link(event.subject, cluster, event.where)
            yield LinkChanges(at_s=event.at_s, link=link, capacity_bps=event.capacity_bps)


def _at(what: str, where: str, text: str) -> TraceEvent:
    """e2@30"""
    subject, at, time = text.rpartition("@")
    if not at or not subject:
        raise BadInputError(f"{where}: expected WHAT@SECONDS, such as e2@30s")
    return TraceEvent(
        at_s=_quantity(VIRTUAL_SECONDS, time, where), what=what, subject=subject.strip(), where=where
    )


def _link_at(where: str, text: str) -> TraceEvent:
    """e1-e2=1Mbps@20"""
    event = _at("link", where, text)
    link, equals, capacity = event.subject.partition("=")
    if not equals:
        raise BadInputError(f"{where}: expected LINK=CAPACITY@SECONDS, such as e1-e2=1Mbps@20s")
    return replace(event, subject=link.strip(), capacity_bps=_quantity(BITS_PER_S, capacity, where))


def _quantity(quantity: Quantity, text: str, where: str) -> float:
    try:
        return quantity.parse(text)
    except UnitError as error:
        raise BadInputError(
            f"{where}: '{text}' {error.problem}\n  expected: {error.expected}\n  remedy:   {error.remedy}"
        ) from error


def _device(name: str, cluster: Cluster, where: str) -> DeviceId:
    if name not in cluster.network.devices:
        raise _unknown("device", name, list(cluster.network.devices), cluster, where)
    return DeviceId(name)


def _link(name: str, cluster: Cluster, where: str) -> LinkId:
    for link in cluster.network.links.values():
        if name in (link.id, "-".join(reversed(link.ends))):
            return link.id
    raise _unknown("link", name, list(cluster.network.links), cluster, where)


def _unknown(what: str, name: str, known: Sequence[str], cluster: Cluster, where: str) -> BadInputError:
    return BadInputError(
        f"{where}: '{name}' is no {what} of cluster '{cluster.name}' ({cluster.file})\n"
        f"  expected: one of {listed(known)}\n"
        f"  remedy:   {remedy_for_name(name, known, f'name one of these {what}s')}"
    )
