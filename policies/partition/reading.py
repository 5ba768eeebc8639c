"""From a job that trains a model to what a policy of split training is asked, beside whatever else runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from policies.flows.graph import Floats, Graph, Route
from policies.makespan.residual import LEAST_PART, Residual
from policies.model import CutProfile, DeviceId, Network, RunningJob, TaskId, Training, Workload, link_id
from policies.partition.instance import Parts, SplitInstance, split_instance
from policies.partition.routes import shared_bps, ways_to
from policies.partition.steps import Steps
from policies.placement.reasons import Refusal, bytes_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A job of split training on a network. instance: its devices stand in the order of Training.clients.

    routes: by client, from it to the server; () where both are on one device.
    """

    instance: SplitInstance
    routes: Mapping[TaskId, tuple[DeviceId, ...]]


def instance_of(workload: Workload, network: Network, running: Sequence[RunningJob] = ()) -> Routed | Refusal:
    """The job's measurements beside what runs, and the ways to the server; or why it cannot be trained.

    A link has what streams and other training leave, a tenth at least; a device's memory is what is free; devices that
    others use compute slower, by a fair share. Rates within total_bps and the caps fit on every link, each way.
    A and C are sums as in Zhang 2024, eq. 4.10, with what sending and receiving computes at either end.
    """
    training = workload.job.training
    cuts = None if workload.profile is None else workload.profile.cuts
    if training is None:
        return Refusal(("it does not say what it trains",))
    if cuts is None:
        return Refusal(("nothing is measured yet of the places where its model can be cut; profile it",))
    members = (training.server, *training.clients)
    pinned = {task.id: task.device for task in workload.job.tasks}
    problems = _unplaced(members, pinned, network)
    if problems:
        return Refusal(problems)
    places = {task: device for task in members if (device := pinned[task]) is not None}
    problems = _unmeasured(training, {task: network.devices[places[task]].type for task in members}, cuts)
    if problems:
        return Refusal(problems)
    return _Reading(workload, network, running, training, cuts, places).routed()


def _unplaced(
    members: Sequence[TaskId], pinned: Mapping[TaskId, DeviceId | None], network: Network
) -> tuple[str, ...]:
    """Tasks without a device of the network, and two clients on one, where neither had the memory measured for it."""
    problems, taken = [], dict[DeviceId, TaskId]()
    for member in members:
        device = pinned.get(member)
        if device is None:
            problems.append(f"task {member} is not pinned to a device; in training each has its own")
        elif device not in network.devices:
            problems.append(f"task {member} is pinned to device {device}, which the network does not have")
        elif member != members[0] and taken.setdefault(device, member) != member:
            problems.append(f"clients {taken[device]} and {member} are both pinned to device {device}")
    return tuple(problems)


def _unmeasured(training: Training, types: Mapping[TaskId, str], cuts: CutProfile) -> tuple[str, ...]:
    problems = []
    if types[training.server] not in cuts.server_s:
        problems.append(
            f"task {training.server}: devices of type {types[training.server]} are not measured yet"
        )
    for client in training.clients:
        if not all(types[client] in table for table in (cuts.forward_s, cuts.backward_s, cuts.memory_bytes)):
            problems.append(f"task {client}: devices of type {types[client]} are not measured yet")
    return tuple(f"{each}; profile the job" for each in problems)


class _Reading:
    """Tasks have their devices, and these their measurements."""

    def __init__(
        self,
        workload: Workload,
        network: Network,
        running: Sequence[RunningJob],
        training: Training,
        cuts: CutProfile,
        places: Mapping[TaskId, DeviceId],
    ) -> None:
        self._training = training
        self._cuts = cuts
        self._places = places
        self._network = network
        self._graph = Graph.of(network)
        self._left = left_beside(network, self._graph, running)
        self._own_bytes = {task.id: task.memory_bytes for task in workload.job.tasks}
        self._server = self._graph.index[places[training.server]]
        self._devices = [self._graph.index[places[client]] for client in training.clients]
        self._types = [network.devices[places[client]].type for client in training.clients]

    def routed(self) -> Routed | Refusal:
        ways = ways_to(self._server, self._devices, self._graph, self._left.capacity_bps)
        problems = [*self._apart(ways), *self._server_memory()]
        if problems:
            return Refusal(tuple(problems))
        routes = [way for way in ways if way is not None]
        return Routed(
            instance=self._instance(self._steps(routes)),
            routes={
                client: self._graph.names(way)
                for client, way in zip(self._training.clients, routes, strict=True)
            },
        )

    def _apart(self, ways: Sequence[Route | None]) -> list[str]:
        names = self._graph.devices
        return [
            f"task {client}: no link with free capacity leads from device {names[device]} to the server on "
            f"device {names[self._server]}"
            for client, device, way in zip(self._training.clients, self._devices, ways, strict=True)
            if way is None
        ]

    def _server_memory(self) -> list[str]:
        task, free = self._training.server, float(self._left.free_bytes[self._server])
        if self._own_bytes[task] <= free:
            return []
        needed, device = bytes_text(self._own_bytes[task]), self._graph.devices[self._server]
        return [f"task {task} needs {needed} of memory; device {device} has {bytes_text(free)} free"]

    def _steps(self, routes: Sequence[Route]) -> Steps:
        """Links by their place among those that are crossed at all."""
        cuts, training = self._cuts, self._training
        used = sorted({link for route in routes for link in route.links})
        place = {link: number for number, link in enumerate(used)}
        away = np.array([bool(route.links) for route in routes])[:, None]
        stretch = self._left.stretch[self._devices][:, None]
        slower = float(self._left.stretch[self._server])
        up_bytes, down_bytes, weights_bytes = (
            np.where(away, np.array([values]), 0.0)
            for values in (cuts.up_bytes, cuts.down_bytes, cuts.weights_bytes)
        )
        server_type = self._network.devices[self._graph.devices[self._server]].type
        sending = np.array([cuts.send_s_per_byte.get(kind, 0.0) for kind in self._types])[:, None] * stretch
        serving = cuts.send_s_per_byte.get(server_type, 0.0) * slower

        unmeasured = (0.0,) * len(cuts.layers)

        def measured(table: Mapping[str, tuple[float, ...]]) -> Floats:
            return np.array([table.get(kind, unmeasured) for kind in self._types]) * stretch

        return Steps(
            batches=np.array([training.batches[client] for client in training.clients], dtype=np.int64),
            forward_s=measured(cuts.forward_s) + sending * up_bytes,
            backward_s=measured(cuts.backward_s) + sending * down_bytes,
            server_s=np.array([cuts.server_s[server_type]]) * slower + serving * (up_bytes + down_bytes),
            piece_s=measured(cuts.piece_s),
            server_piece_s=np.broadcast_to(
                np.array(cuts.server_piece_s.get(server_type, unmeasured)) * slower, up_bytes.shape
            ),
            up_bits=8 * up_bytes,
            down_bits=8 * down_bytes,
            weights_bits=8 * weights_bytes,
            weights_s=sending * weights_bytes,
            server_weights_s=serving * weights_bytes,
            links_bps=self._left.capacity_bps[used],
            crossed=tuple(tuple(place[link] for link in route.links) for route in routes),
            link_names=tuple(self._graph.links[link] for link in used),
        )

    def _instance(self, steps: Steps) -> SplitInstance:
        total_bps, caps_bps = shared_bps(steps)
        parts = Parts(
            device_s=steps.device_total_s(),
            server_s=steps.server_total_s(),
            up_bits=steps.up_total_bits(),
            down_bits=steps.down_total_bits(),
            full_duplex=True,
            micro_batches=self._training.micro_batches,
        )
        needs = [
            np.maximum(self._cuts.memory_bytes[kind], self._own_bytes[client])
            for kind, client in zip(self._types, self._training.clients, strict=True)
        ]
        return split_instance(
            parts.device_s + parts.server_s,
            parts.up_bits + parts.down_bits,
            total_bps,
            devices=[self._graph.devices[device] for device in self._devices],
            rate_caps_bps=caps_bps,
            memory_bytes=np.maximum(self._left.free_bytes[self._devices], 0.0),
            needs_bytes=np.array(needs),
            layers=self._cuts.layers,
            parts=parts,
            steps=steps,
        )


def left_beside(network: Network, graph: Graph, running: Sequence[RunningJob]) -> Residual:
    """What streams and other training leave. Training takes its guaranteed rates, of a link the fuller direction;
    the memory of its parts; and a fair share of the computing of its devices."""
    left = Residual.of(network, graph, running)
    free, stretch = left.free_bytes.copy(), left.stretch.copy()
    index = {link: number for number, link in enumerate(graph.links)}
    carried = np.zeros((2, len(graph.links)))
    for run in running:
        if run.workload.job.mode != "loop":
            continue
        for task, needed in _part_bytes(run, network).items():
            free[graph.index[run.plan.placement[task]]] -= needed
        for device in sorted(set(run.plan.placement.values()) & set(graph.index)):
            stretch[graph.index[device]] += 1
        for flow, route in run.plan.routes.items():
            for a, b in pairwise(route):
                if (link := link_id(a, b)) in index:
                    carried[int(a < b), index[link]] += run.plan.rates_bps.get(flow, 0.0)
    capacity = np.maximum(left.capacity_bps - carried.max(axis=0), LEAST_PART * graph.capacity_bps)
    return replace(left, capacity_bps=capacity, stretch=stretch, free_bytes=free)


def _part_bytes(run: RunningJob, network: Network) -> dict[TaskId, float]:
    """Memory of the clients' parts of the model, above what their tasks hold anyway."""
    profile, rounds = run.workload.profile, run.plan.rounds
    if rounds is None or profile is None or profile.cuts is None:
        return {}
    tasks = {task.id: task for task in run.workload.job.tasks}
    found = {}
    for client, cut in rounds.cuts.items():
        device = network.devices.get(run.plan.placement[client])
        if device is not None and device.type in profile.cuts.memory_bytes:
            needed = profile.cuts.memory_bytes[device.type][cut]
            found[client] = max(0.0, needed - run.workload.memory_bytes(tasks[client]))
    return found
