"""From a job that watches cameras to what a policy of streams is asked: its measurements on the network as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from policies.flows.graph import Floats, Graph, Route, Router
from policies.model import Camera, CameraId, DeviceId, Network, Profile, Streams, TaskId, Workload
from policies.partition.routes import ways_to
from policies.placement.reasons import Refusal
from policies.streams.instance import Ints, StreamInstance, measured_instance
from policies.streams.rates import live_rates

STEPS = ("camera", "encode", "decode", "detect", "identify")
"""What is measured of each camera: read a frame, compress, unpack it, find and follow its people, tell one who it is."""


def step(name: str, camera: CameraId | str) -> TaskId:
    """The name of a step of a camera's stream in profiles."""
    return TaskId(f"{name}/{camera}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A job's cameras on a network. cameras: those whose devices are here, in the order of the instance's streams.

    instance: devices stand in the order of the graph's. routes: between any two devices, by index. at: of each camera
    its device. frame_bits, crop_bits: shape (K,), of a frame as it is sent, and of all crops of a frame on average.
    read_s, encode_s, send_s: shape (K, M), seconds of reading a frame, of compressing it, and of either end of sending
    it; send_crops_s: of either end of sending its crops.
    """

    instance: StreamInstance
    graph: Graph
    routes: Mapping[tuple[int, int], Route]
    cameras: tuple[Camera, ...]
    at: Ints
    frame_bits: Floats
    crop_bits: Floats
    read_s: Floats
    encode_s: Floats
    send_s: Floats
    send_crops_s: Floats

    @property
    def resources(self) -> list[str]:
        """What `feeding_s`, `urgent_s` and `usage_s` have a column of, in words."""
        graph = self.graph
        ways = [(graph.devices[a], graph.devices[b]) for a, b in graph.ends.tolist()]
        there = [f"link {a}-{b}, {a} to {b}" for a, b in ways]
        back = [f"link {a}-{b}, {b} to {a}" for a, b in ways]
        return [f"device {device}" for device in graph.devices] + there + back

    def feeding_s(self, x: Ints) -> Floats:
        """Shape (K, M + 2 links): seconds of its camera's device that reading a frame takes, and sending it if it is."""
        rows, feeding = self._empty()
        sending = (x != self.at) * (self.encode_s + self.send_s)[rows, self.at]
        feeding[rows, self.at] = self.read_s[rows, self.at] + sending
        return feeding

    def urgent_s(self, x: Ints, y: Ints) -> Floats:
        """Shape (K, M + 2 links): seconds of a frame's re-identification, where it is asked for from another device."""
        rows, urgent = self._empty()
        urgent[rows, y] = (x != y) * (self.instance.identify_s + self.send_crops_s)[rows, y]
        return urgent

    def usage_s(self, x: Ints, y: Ints) -> Floats:
        """Shape (K, M + 2 links): seconds of each device and of each direction of each link that all else takes."""
        rows, usage = self._empty()
        M = len(self.graph.devices)
        and_known = np.where(x == y, self.instance.identify_s[rows, x], self.send_crops_s[rows, x])
        usage[rows, x] = self.instance.detect_s[rows, x] + and_known
        for k in rows.tolist():
            self._cross(usage[k, M:], int(self.at[k]), int(x[k]), self.frame_bits[k])
            self._cross(usage[k, M:], int(x[k]), int(y[k]), self.crop_bits[k])
        return usage

    def rates(self, x: Ints, y: Ints) -> Floats:
        """Frames a second that each stream has, shape (K,)."""
        return live_rates(self.feeding_s(x), self.urgent_s(x, y), self.usage_s(x, y), self.most_per_s())

    def together_s(self, x: Ints, y: Ints) -> Floats:
        """Shape (K, M + 2 links): all that a frame takes."""
        return self.feeding_s(x) + self.urgent_s(x, y) + self.usage_s(x, y)

    def _empty(self) -> tuple[Ints, Floats]:
        K = len(self.cameras)
        return np.arange(K), np.zeros((K, len(self.graph.devices) + 2 * len(self.graph.links)))

    def most_per_s(self) -> Floats:
        """The cameras' own rates, shape (K,)."""
        return np.array([camera.items_per_s or np.inf for camera in self.cameras])

    def _cross(self, links_s: Floats, a: int, b: int, bits: float) -> None:
        route = self.routes[a, b]
        for link, (one, other) in zip(route.links, pairwise(route.devices), strict=True):
            way = link if one < other else link + len(self.graph.links)
            links_s[way] += bits / self.graph.capacity_bps[link]


def watched(workload: Workload, network: Network) -> Watched | Refusal:
    """The job's cameras and their measurements, or why they cannot be watched.

    T_ik and D_k / R_ij reckon with the narrowest link of the widest route, as if nobody else used it. Where a device
    cannot detect or re-identify, or is not reached, seconds are infinite. CL2 is what one re-identification takes, times
    how many there are a frame, as measured lately.
    """
    streams, profile = workload.job.streams, workload.profile
    if streams is None:
        return Refusal(("it does not watch cameras (kind: streams)",))
    if profile is None:
        return Refusal(("nothing is measured yet of its cameras; profile it",))
    cameras = tuple(camera for camera in streams.cameras if camera.device in network.devices)
    if not cameras:
        lost = ", ".join(sorted({camera.device for camera in streams.cameras}))
        return Refusal((f"no camera is here: none of the devices {lost} is",))
    return _Reading(workload, network, streams, profile, cameras).watched()


class _Reading:
    def __init__(
        self,
        workload: Workload,
        network: Network,
        streams: Streams,
        profile: Profile,
        cameras: tuple[Camera, ...],
    ) -> None:
        self._workload, self._network, self._streams = workload, network, streams
        self._profile, self._cameras = profile, cameras
        self._graph = Graph.of(network)
        self._types = [network.devices[device].type for device in self._graph.devices]

    def watched(self) -> Watched | Refusal:
        routes = self._routes()
        at = np.array([self._graph.index[camera.device] for camera in self._cameras])
        calls = np.array([self._calls(camera) for camera in self._cameras])
        frame_bits = 8 * self._bytes("encode")
        crop_bits = 8 * self._bytes("detect") * calls
        away = at[:, None] != np.arange(len(self._types))[None, :]
        send_s = self._sending("encode")
        detect_s = self._seconds("detect") + np.where(away, self._seconds("decode") + send_s, 0.0)
        once_s = self._seconds("identify")
        identify_s = np.where(np.isfinite(once_s), once_s, 0.0) * calls[:, None]
        identify_s[~np.isfinite(once_s)] = (
            np.inf
        )  # also where nobody is to be identified: none times that is no number
        workers = np.array([device in self._streams.workers for device in self._graph.devices])
        detect_s[:, ~workers] = identify_s[:, ~workers] = np.inf
        upload_s = self._upload_s(routes, at, frame_bits)
        upload_s[~np.isfinite(detect_s.T)] = np.inf  # where it cannot be watched, nobody is to send it
        if problems := self._unwatchable(detect_s, identify_s):
            return Refusal(problems)
        return Watched(
            instance=measured_instance(
                detect_s,
                identify_s,
                upload_s,
                self._transfer_s(routes, crop_bits),
                memory=np.array([self._network.devices[d].memory_bytes for d in self._graph.devices]),
                R_det=self._streams.detector_bytes or self._memory("detect"),
                R_reid=self._streams.identifier_bytes or self._memory("identify"),
                devices=self._graph.devices,
                streams=[camera.id for camera in self._cameras],
            ),
            graph=self._graph,
            routes=routes,
            cameras=self._cameras,
            at=at,
            frame_bits=frame_bits,
            crop_bits=crop_bits,
            read_s=self._seconds("camera", unknown=0.0),
            encode_s=self._seconds("encode", unknown=0.0),
            send_s=send_s,
            send_crops_s=self._sending("detect") * calls[:, None],
        )

    def _calls(self, camera: Camera) -> float:
        return self._workload.calls_per_frame.get(camera.id, camera.calls_per_frame)

    def _seconds(self, name: str, *, unknown: float = np.inf) -> Floats:
        """Shape (K, M)."""
        known = self._profile.seconds
        return np.array(
            [[known.get((step(name, c.id), kind), unknown) for kind in self._types] for c in self._cameras]
        )

    def _sending(self, name: str) -> Floats:
        """Shape (K, M): seconds of either end of sending what a step gives out."""
        known = self._profile.transfer_seconds
        return np.array(
            [[known.get((step(name, c.id), kind), 0.0) for kind in self._types] for c in self._cameras]
        )

    def _bytes(self, name: str) -> Floats:
        return np.array([self._profile.output_bytes.get(step(name, c.id), 0.0) for c in self._cameras])

    def _memory(self, name: str) -> float:
        peaks = self._profile.peak_memory_bytes
        return max(peaks.get(step(name, camera.id), 0.0) for camera in self._cameras)

    def _routes(self) -> dict[tuple[int, int], Route]:
        """The widest route between any two devices that any leads between; there and back are the same."""
        count = len(self._graph.devices)
        routes = {(device, device): Route() for device in range(count)}
        routers: dict[float, Router] = {}
        for a in range(count):
            ways = ways_to(a, range(a), self._graph, self._graph.capacity_bps, routers)
            for b, way in enumerate(ways):
                if way is not None:
                    routes[b, a] = way
                    routes[a, b] = Route(devices=way.devices[::-1], links=way.links[::-1])
        return routes

    def _width_bps(self, routes: Mapping[tuple[int, int], Route], a: int, b: int) -> float:
        """0: nothing leads there; infinite on the same device."""
        route = routes.get((a, b))
        if route is None:
            return 0.0
        return min((float(self._graph.capacity_bps[link]) for link in route.links), default=np.inf)

    def _upload_s(self, routes: Mapping[tuple[int, int], Route], at: Ints, bits: Floats) -> Floats:
        """Shape (M, K)."""
        count = range(len(self._graph.devices))
        widths = np.array([[self._width_bps(routes, int(c), i) for c in at] for i in count])
        return _over(np.broadcast_to(bits, widths.shape), widths)

    def _transfer_s(self, routes: Mapping[tuple[int, int], Route], bits: Floats) -> Floats:
        """Shape (K, M, M)."""
        count = range(len(self._graph.devices))
        widths = np.array([[self._width_bps(routes, i, j) for j in count] for i in count])
        return _over(
            np.broadcast_to(bits[:, None, None], (len(bits), *widths.shape)),
            np.broadcast_to(widths, (len(bits), *widths.shape)),
        )

    def _unwatchable(self, detect_s: Floats, identify_s: Floats) -> tuple[str, ...]:
        types = ", ".join(sorted(set(self._types)))
        problems = []
        for what, seconds in (("detected", detect_s), ("re-identified", identify_s)):
            for camera, row in zip(self._cameras, seconds, strict=True):
                if not np.isfinite(row).any():
                    problems.append(
                        f"the people of camera {camera.id} can be {what} on no device: nothing is measured on types "
                        f"{types}, or none of {', '.join(self._streams.workers)} is here; profile the job"
                    )
        return tuple(problems)


def _over(bits: Floats, widths_bps: Floats) -> Floats:
    seconds: Floats = np.divide(bits, widths_bps, out=np.full(bits.shape, np.inf), where=widths_bps > 0)
    seconds[np.isinf(widths_bps)] = 0.0
    return seconds


def mapping_of(
    watched: Watched, streams: Mapping[CameraId, tuple[DeviceId, DeviceId]]
) -> tuple[Ints, Ints] | None:
    """x and y of a mapping that was decided before; None: it names a device that is away, or not all cameras."""
    index = watched.graph.index
    pairs: Sequence[tuple[DeviceId, DeviceId] | None] = [streams.get(camera.id) for camera in watched.cameras]
    if any(pair is None or pair[0] not in index or pair[1] not in index for pair in pairs):
        return None
    known = [pair for pair in pairs if pair is not None]
    return np.array([index[a] for a, _ in known]), np.array([index[b] for _, b in known])
