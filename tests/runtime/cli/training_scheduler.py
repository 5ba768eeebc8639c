"""A scheduler that is a fake: it plays the views of one job that trains, and serves what its server wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from edgeray import loading
from edgeray.cli import compare, comparing, comparing_training, jobs
from edgeray.errors import BadInputError
from edgeray.results import Output
from edgeray.scheduler.views import JobView
from edgeray.spec import App, Cluster, load_cluster
from policies.model import CutProfile, Profile

ROOT = Path(__file__).parents[3]
CLUSTER = load_cluster(ROOT / "cluster" / "testbed" / "training.yaml")
PLAN = {
    "placement": {"server": "server", "client-c1": "c1", "client-c2": "c2"},
    "rounds": {
        "cuts": {"c1": 0, "c2": 1},
        "cut_names": {"c1": "conv1", "c2": "fc3"},
        "rates_bps": {"c1": 10e6, "c2": 20e6},
        "ceilings_bps": {},
        "micro_batches": 1,
        "round_s": 9.0,
        "predicted_s": 10.0,
        "bound_s": 8.0,
        "server": "server",
        "total": 3,
    },
}
VIEW = JobView(
    job="lenet-7",
    app="lenet",
    policy="edgesplit",
    phase="running",
    detail="",
    reasons=(),
    plan=PLAN,
    submitted_s=0.0,
    started_s=0.0,
    ended_s=None,
    waited_s=0.0,
    items=0,
    dropped=0,
    rate_per_s=0.0,
    latency_p50_s=None,
    latency_p95_s=None,
    mode="loop",
    rounds_total=3,
)
DONE = replace(VIEW, phase="done", rounds_done=3, round_s=12.0)
CUTS = CutProfile(
    names=("conv1", "fc3"),
    layers=(1, 7),
    up_bytes=(1e5, 0.0),
    down_bytes=(1e5, 0.0),
    weights_bytes=(1e3, 2e5),
    forward_s={},
    backward_s={},
    server_s={},
    memory_bytes={},
    send_s_per_byte={},
)


def round_json(number: int, seconds_s: float = 12.0, **changes: Any) -> dict[str, Any]:
    """As a line of rounds.jsonl has it."""
    client = {
        "cut": 0,
        "samples": 10,
        "loss": 1.0,
        "compute_s": 1.0,
        "waiting_s": 1.0,
        "served_s": 0.5,
        "queued_s": 0.5,
        "ended_s": 3.0,
        "up_bytes": 1_000_000,
        "down_bytes": 500_000,
        "server_s": 1.0,
        "transfer_s": 1.0,
        "idle_s": seconds_s - 3.0,
    }
    values: dict[str, Any] = {
        "number": number,
        "clients": [{"client": task, **client} for task in ("client-c1", "client-c2")],
        "dropped": {},
        "seconds_s": seconds_s,
        "busy_s": 1.0,
        "peak_activation_bytes": 1000,
        "peak_half_bytes": 100,
        "loss": 3.0 / number,
        "samples": 20,
        "accuracy": 0.2 * number,
    }
    return {**values, **changes}


def lines(rounds: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in rounds)


@dataclass
class FakeScheduler:
    """In place of a Client. course: what a job's server has written, and its view, each time that somebody looks.

    by_policy: courses of their own. interrupted: a course at whose end its user loses patience.
    """

    course: Sequence[tuple[bytes, JobView]] = ()
    by_policy: dict[str, Sequence[tuple[bytes, JobView]]] = field(default_factory=dict)
    interrupted: bool = False
    profile: Any = None
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    apps: list[App] = field(default_factory=list)
    written: bytes = b""
    stopped: str | None = None

    def __call__(self, folder: Path) -> FakeScheduler:
        """As the class that it stands for is called."""
        return self

    def put_up(self, monkeypatch: pytest.MonkeyPatch) -> FakeScheduler:
        """Make this the scheduler of the cluster that is up."""

        def with_head(network: Any) -> Cluster:
            return replace(CLUSTER, network=network)

        monkeypatch.setattr("edgeray.client.Client", self)
        monkeypatch.setattr(comparing_training, "Client", self)
        monkeypatch.setattr(jobs, "be_on_head", lambda: None)
        monkeypatch.setattr(compare, "be_on_head", lambda: None)
        monkeypatch.setattr(loading, "_with_head", with_head)
        monkeypatch.setattr(comparing, "emulation", lambda: "a fake")
        monkeypatch.setattr(comparing, "merge", profile_of)
        return self

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        self.calls.append((method, *args))
        if method == "read_output":
            _, device, file, offset, size = args
            assert (device, file) == ("server", "rounds.jsonl")
            if not self.written:
                raise BadInputError("the job has no result named 'rounds.jsonl'")
            return self.written[offset : offset + size]
        if method == "stop":
            self.stopped = args[1] if len(args) > 1 else "stopped by its user"
        if method == "job":
            return replace(VIEW, job=args[0], phase="stopped")
        if method == "renew":
            self.written, view = self.course[-1]
            return replace(view, job=args[0])
        return {"network": CLUSTER.network, "planning_s": 0.25, "profile": self.profile}.get(method)

    def package(self, app: App) -> App:
        return app

    def submit(self, app: App, policy: str, *, lease_s: float | None) -> str:
        self.apps.append(app)
        self.course = self.by_policy.get(policy, self.course)
        self.calls.append(("submit", policy, lease_s))
        return f"{app.job.id}-{policy}"

    def watch(self, job: str, *, seen: Callable[[JobView], bool | None]) -> JobView:
        """Play the course; a job that is stopped ends where it is."""
        if self.stopped is not None:
            view = replace(self.course[-1][1], job=job, phase="stopped", detail=self.stopped)
            seen(view)
            return view
        for written, played in self.course:
            self.written, view = written, replace(played, job=job)
            if seen(view):
                return view
        if self.interrupted:
            self.interrupted = False
            raise KeyboardInterrupt
        return view

    def fetch(self, job: str, folder: Path) -> tuple[Output, ...]:
        folder.mkdir(parents=True, exist_ok=True)
        outputs = []
        for part, name, data in (("model", "model.pt", b"weights"), ("rounds", "rounds.jsonl", self.written)):
            (folder / name).write_bytes(data)
            outputs.append(
                Output(task="server", kind="file", file=name, size_bytes=len(data), part=part, within="dict")
            )
        return tuple(outputs)


def profile_of(cuts: CutProfile) -> Profile:
    return Profile(seconds={}, output_bytes={}, peak_memory_bytes={}, cuts=cuts)
