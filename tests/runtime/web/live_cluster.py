"""A cluster that only talks: ten devices with jobs of every kind and cameras, as the scheduler would tell of them.

usage: python live_cluster.py CONTROL_FILE: answers like edgeray.web.live.bridge. The file says what goes wrong:
{"lost": [devices that fall silent], "away": [devices], "hang": [methods that never answer], "unlearned": true, "down":
true, "die": true}. unlearned: the learner is away.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeray.errors import BadInputError, ClusterError
from edgeray.scheduler.views import DeviceView, JobView, StreamView
from edgeray.telemetry.records import DeviceSample, FlowSample, LinkSample, StageSample, TaskSample
from edgeray.web.live import bridge
from policies.model import Device, DeviceId, Link, Network, link_id

TYPES = ("server", "jetson-nx", "jetson-nano", "pi4")
EVIL = "<img src=x onerror=alert(1)>"
SEEN_S = 1_700_000_000.0


def network_of(devices: int) -> Network:
    """A ring with chords: twice as many links as devices."""
    names = [DeviceId(f"e{number}") for number in range(1, devices + 1)]
    pairs = {
        tuple(sorted((names[n], names[(n + step) % devices]))) for n in range(devices) for step in (1, 3)
    }
    pairs = {(a, b) for a, b in pairs if a != b}
    return Network(
        devices={
            name: Device(
                id=name, type=TYPES[min(n, 3)], memory_bytes=8e9 / 2 ** min(n, 2), cpus=1.0 / (1 + min(n, 3))
            )
            for n, name in enumerate(names)
        },
        links={link_id(a, b): Link(ends=(a, b), capacity_bps=20e6) for a, b in sorted(pairs)},
    )


class FakeCluster:
    """Answers as the scheduler does. at: the second of its life; trouble: see the module's docstring."""

    def __init__(
        self,
        *,
        devices: int = 5,
        flows: int = 6,
        cameras: int = 4,
        at: Callable[[], float] = time.time,
        trouble: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.network_told = network_of(devices)
        self.names = list(self.network_told.devices)
        self.stopped: list[str] = []
        self._flows = flows
        self._cameras = cameras
        self._at = at
        self._trouble = trouble
        self._heard: dict[str, float] = {}

    def __call__(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        trouble = self._trouble()
        if trouble.get("die"):
            os._exit(3)
        if trouble.get("down"):
            raise ClusterError("the scheduler died while it was asked\n  remedy:   see `edgeray jobs`")
        if method in trouble.get("hang", ()):
            threading.Event().wait()
        return getattr(self, method)(*args)

    def network(self) -> Network:
        return self.network_told

    def devices(self) -> list[DeviceView]:
        living = self._living()
        return [self._device(name, number, living) for number, name in enumerate(self.names)]

    def jobs(self) -> list[JobView]:
        return [*self._living(), self._ended()]

    def stop(self, job: str, reason: str) -> None:
        self.stopped.append(job)

    def view(self, job: str, camera: str) -> dict[str, Any] | None:
        number = int(camera.rpartition("-")[2])
        # No box ever covers another: tests click on them.
        left = 75 + 105 * (0.5 + 0.5 * math.sin(self._at() / 3 + number))
        boxes = [[left, 90.0, left + 60, 250.0], [250.0, 60.0, 300.0, 180.0], [20.0, 120.0, 66.0, 250.0]]
        return {
            **{"jpeg": picture(boxes, number), "width": 384, "height": 288, "at_s": self._at()},
            **{"boxes": boxes, "tracks": [1, 2, 3], "persons": [7, 12 + number, None]},
        }

    def query(self, job: str, person: int | None) -> dict[str, Any]:
        if job == "poster-2":
            raise BadInputError(f"job {job} watches no cameras")
        missing = [{"device": name, "synced_s": SEEN_S + 30} for name in self._trouble().get("lost", ())]
        rest = {"job": job, "complete": not missing, "missing": missing}
        if person is None:
            return {"persons": [_person(n) for n in range(1, 15)], **rest}
        return {"person": person, "visits": [self._visit(person, n) for n in range(5)], **rest}

    def _visit(self, person: int, number: int) -> dict[str, Any]:
        from_s = SEEN_S + 40 * number
        return {
            "person": person,
            "camera": f"gate-{number % self._cameras}",
            "device": self.names[number % len(self.names)],
            "from_s": from_s,
            "to_s": from_s + 25,
            "frames": 120 + number,
        }

    def _device(self, name: str, number: int, living: list[Any]) -> DeviceView:
        device, trouble, at = self.network_told.devices[DeviceId(name)], self._trouble(), self._at()
        away, lost = name in trouble.get("away", ()), name in trouble.get("lost", ())
        if not lost:
            self._heard[name] = at
        return DeviceView(
            device=name,
            type=device.type,
            cpus=device.cpus,
            memory_bytes=device.memory_bytes,
            address=None if away else f"10.0.0.{number + 1}",
            joined=not away,
            enforcement="tc" if number != 4 else "pacing",
            sample=asdict(self._sample(name, number)),
            sample_age_s=at - self._heard.get(name, at) + 0.2,
            jobs=() if away else tuple(job.job for job in living if name in (job.plan or {})["placement"].values()),
        )  # fmt: skip

    def _sample(self, name: str, number: int) -> DeviceSample:
        wave = 0.5 + 0.5 * math.sin(self._at() / 7 + number)
        load = wave * (0.98 if number == 1 else 0.5)
        links = [link for link in self.network_told.links.values() if name in link.ends]
        return DeviceSample(
            device=name,
            at_s=self._at(),
            window_s=1.0,
            cpu_fraction=0.35 + 0.6 * wave,
            memory_bytes=int(4e8 + 2e8 * wave),
            enforcement="tc",
            links=tuple(_link_sample(link, name, load) for link in links),
            stages=(self._stage(name, wave),),
        )

    def _stage(self, name: str, wave: float) -> StageSample:
        flows = [f"reid-3/{a}->{b}" for a, b, route in self._routes() if route[0] == name]
        return StageSample(
            job="reid-3",
            device=name,
            at_s=self._at(),
            window_s=1.0,
            pid=7,
            cpu_s=0.4,
            memory_bytes=10**8,
            tasks=(_task_sample(f"edge-{name}", wave),),
            flows=tuple(_flow_sample(flow, wave) for flow in flows),
        )

    def _routes(self) -> list[tuple[str, str, list[str]]]:
        found = []
        for n in range(self._flows):
            passed = [self.names[(n + step) % len(self.names)] for step in range(2 + n % 2)]
            found.append((f"edge-{passed[0]}", f"part-{n}", passed))
        return found

    def _living(self) -> list[JobView]:
        rounds = {
            "placement": {"server": "e1", "client-1": "e2"},
            "throughput_per_s": 0.25,
            "bottleneck": "device e2",
            "rounds": {"round_s": 3.9},
        }
        flows = [
            {"from": a, "to": b, "route": route, "rate_bps": 2e6, "ceil_bps": 8e6}
            for a, b, route in self._routes()
        ]
        watching = {
            "placement": {f"edge-{name}": name for name in self.names},
            "flows": flows,
            "throughput_per_s": 8.0,
            "bottleneck": "device e2",
        }
        jobs = [
            self._job("attributes-1", mode="stream", detail=EVIL, replicas={"detect": self._dealt()}),
            self._job("split-2", mode="loop", rounds_done=3, rounds_total=20, round_s=4.1, plan=rounds),
            self._job("reid-3", mode="cameras", plan=watching, streams=self._streams()),
            self._job(
                "offload-4", mode="offload", policy="hybrid", online=self._online(), learner=self._learner()
            ),
        ]
        return [job for job in jobs if job.job not in self.stopped]

    def _job(self, job: str, **changes: Any) -> JobView:
        plan = {
            "placement": {"camera": "e1", "detect": "e2"},
            "throughput_per_s": 12.0,
            "bottleneck": "link e1-e2",
            "flows": [],
        }
        values: dict[str, Any] = {
            **{"job": job, "app": job.rpartition("-")[0], "policy": "joint", "phase": "running"},
            **{"detail": "", "reasons": (), "plan": plan, "items": 1234, "dropped": 3},
            **{"submitted_s": SEEN_S, "started_s": SEEN_S + 1, "ended_s": None, "waited_s": 1.0},
            "rate_per_s": 11.2 + math.sin(self._at() / 5),
            **{"latency_p50_s": 0.12, "latency_p95_s": 0.31},
        }
        return JobView(**{**values, **changes})

    def _online(self) -> dict[str, Any]:
        arm = {"sent": 20, "met": 18, "late": 1, "failed": 1, "lost": 0, "queue": 2, "probability": 0.875}
        helpers = {name: {**arm, "away": name == self.names[-1]} for name in self.names[1:]}
        counts = {"items": 100, "met": 80, "late": 5, "refused": 10, "failed": 5, "lost": 0, "delivered": 80}
        return {
            "policy": "hybrid",
            **counts,
            "regret_proxy": 3.25,
            "decision_us_p50": 60.0,
            "helpers": helpers,
        }

    def _dealt(self) -> dict[str, Any]:
        """How the items of a task's replicas are dealt out."""
        told = self._online()
        row = {**next(iter(told["helpers"].values())), "away": False}
        return {**told, "policy": "toof", "helpers": {f"detect.{n}": {**row, "sent": 40 + n} for n in (1, 2)}}

    def _learner(self) -> dict[str, Any]:
        """What it holds; also of one who is no helper any more."""
        drift = 0.1 * math.sin(self._at() / 9)
        names = [*self.names[1:], "gone"]
        return {
            **{"policy": "hybrid", "items": 240, "happy": 0.75, "regret_proxy": 6.5},
            "arms": {name: {"seen": 48, "happy": 36, "estimate": 0.62 + drift} for name in names},
            **{"age_s": 12.5, "away": bool(self._trouble().get("unlearned"))},
        }

    def _ended(self) -> JobView:
        ended = {"phase": "failed", "detail": "device e9 was lost", "ended_s": SEEN_S + 60}
        return self._job("poster-0", mode="once", tasks_done=3, tasks_total=9, **ended)

    def _streams(self) -> tuple[StreamView, ...]:
        count = len(self.names)
        return tuple(
            StreamView(
                camera=f"gate-{n}",
                device=self.names[n % count],
                detect_on=self.names[(n + n % 2) % count],
                identify_on=self.names[0],
                frames=900 + n,
                dropped=n,
                fps=7.5 + math.sin(self._at() / 4 + n),
                planned_fps=8.0,
                planned_latency_s=0.14,
                latency_p50_s=0.12 + 0.02 * n,
                latency_p95_s=0.3 + 0.02 * n,
                people=10 / 3,
                asked=21 + n,
                moving=n == 1,
            )
            for n in range(self._cameras)
        )


def _person(number: int) -> dict[str, Any]:
    return {
        "person": number,
        "visits": 1 + number % 3,
        "cameras": ["gate", "yard", "door", "north"][: 1 + number % 4],
        "first_s": SEEN_S,
        "last_s": SEEN_S + 9 * number,
    }


def _link_sample(link: Link, device: str, load: float) -> LinkSample:
    return LinkSample(
        link=str(link.id),
        peer=next(str(end) for end in link.ends if end != device),
        capacity_bps=link.capacity_bps,
        wire_bytes=int(link.capacity_bps / 8 * load),
        control_bytes=900,
    )


def _flow_sample(flow: str, wave: float) -> FlowSample:
    return FlowSample(
        flow=flow,
        granted_bps=2e6,
        payload_bytes=100_000,
        items=5,
        wire_bytes=int(200_000 + 40_000 * wave),
        backlog_bytes=1500,
        dropped_packets=0,
    )


def _task_sample(task: str, wave: float) -> TaskSample:
    return TaskSample(
        task=task,
        items=8,
        items_total=80,
        dropped_total=0,
        busy_s=0.4 + 0.3 * wave,
        queue=1,
        dropped=0,
        latency_p50_s=0.1,
        latency_p95_s=0.2,
    )


def picture(boxes: list[list[float]], number: int) -> bytes:
    """A JPEG of a court with figures in it."""
    image = np.full((288, 384, 3), (120 + 10 * number, 130, 118), np.uint8)
    cv2.line(image, (0, 110), (384, 96), (150, 150, 150), 2)
    for left, top, right, bottom in boxes:
        middle, head = int((left + right) / 2), int(top + (bottom - top) * 0.12)
        body = (middle, int((top + bottom) / 2) + 10), (int((right - left) / 3), int((bottom - top) / 2.6))
        cv2.ellipse(image, *body, 0, 0, 360, (60, 50, 90), -1)
        cv2.circle(image, (middle, head), int((bottom - top) * 0.1), (130, 160, 200), -1)
    return bytes(cv2.imencode(".jpg", image)[1])


def main(control: Path) -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    bridge.serve(FakeCluster(trouble=lambda: json.loads(control.read_text())), sys.stdin, answers)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
