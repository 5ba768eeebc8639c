"""Ray around the plain classes: the one file where ray.remote is applied.

scheduler   on the head; detached, restarted when it is killed
learner     on the head; detached, restarted when it is killed
node:<id>   one a device; detached, made by the scheduler when a device joins
stages      one a job and device; owned by the node, so that they go when it goes
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, RayActorError

from edgeray.errors import ClusterError, StageDied, StageError, one_line
from edgeray.learner.service import LearnerService
from edgeray.network.manager import open_manager
from edgeray.node.host import StageHost
from edgeray.node.service import NodeService, StageEnd
from edgeray.policy_names import policy_named
from edgeray.profiler import ProfileStore
from edgeray.scheduler.journal import Journal
from edgeray.scheduler.service import TICK_S, SchedulerService
from edgeray.telemetry.records import DeviceSample
from edgeray.testbed import device_file
from policies.model import DeviceId, FlowId, JobId, Network

log = logging.getLogger(__name__)

NAMESPACE = "edgeray"
SCHEDULER, LEARNER = "scheduler", "learner"
CALL_TIMEOUT_S = 60.0
ANNOUNCE_TICK_S = 0.5
LEARNER_TIMEOUT_S = 5.0
DEPLOY_TIMEOUT_S = 300.0
PROFILE_TIMEOUT_S = 3600.0  # every cut of a deep model, at a tenth of a core
LONG_CALLS = {"deploy": DEPLOY_TIMEOUT_S, "profile": PROFILE_TIMEOUT_S, "prepare": DEPLOY_TIMEOUT_S}
SHORT_CALLS = {"synced": 3.0, "stored": 3.0}  # of a person who waits; the answer names who did not answer


class _Remote:
    """A plain class's interface over a Ray actor: every call blocks, with a limit, and raises in plain words."""

    def __init__(self, actor: ActorHandle, what: str) -> None:
        self._actor = actor
        self._what = what

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._actor, name)
        limit_s = None if name == "wait" else LONG_CALLS.get(name, CALL_TIMEOUT_S)

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return ray.get(method.remote(*args, **kwargs), timeout=limit_s)
            except GetTimeoutError:
                raise StageError(f"{self._what} did not answer {name} within {limit_s:.0f} s") from None
            except RayActorError as error:
                raise StageDied(f"{self._what} died{_why(error)}") from None

        return call


class _RemoteStage(_Remote):
    def kill(self) -> None:
        ray.kill(self._actor, no_restart=True)


def _why(error: RayActorError) -> str:
    """What Ray knows of a death, in a few words."""
    text = str(error)
    if "OOM" in text or "out of memory" in text.lower():
        return ": out of memory"
    for line in text.splitlines():
        if "exit" in line.lower() and "type" in line.lower():
            return f": {line.strip()}"
    return " (its process was killed or crashed; `edgeray logs` has what it printed)"


class NodeActor:
    """The node of the device that this process runs on."""

    def __init__(self) -> None:
        device = device_file.read(os.environ["EDGERAY_DEVICE_FILE"])
        self._device = device
        self._service = NodeService(
            DeviceId(device.device),
            address=device.address,
            cpus=device.cpus,
            memory_bytes=device.memory_bytes,
            output_root=Path(os.environ["EDGERAY_OUTPUT_ROOT"]),
            network=open_manager(device.network, device.takeover),
            launch=self._launch,
            reports=_SchedulerReports(),
        )
        self._service.reset()

    def address(self) -> str:
        return self._device.address

    def watch(self) -> None:
        """Sample until the scheduler is gone. Never returns while all is well: its caller waits on it."""
        self._service.monitor_forever()

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._service, method)(*args, **kwargs)

    def _launch(self, job: JobId, package: str | None) -> _RemoteStage:
        options: dict[str, Any] = {
            "num_cpus": 0,
            "resources": {f"device:{self._device.device}": 0.001},
            "max_concurrency": 8,
            "max_restarts": 0,
        }
        if package is not None:
            options["runtime_env"] = {"working_dir": package}
        actor = ray.remote(StageHost).options(**options).remote(_Announcer())
        return _RemoteStage(actor, f"the stage of {job} on {self._device.device}")


class _RemoteNode:
    """NodeHandle over a NodeActor."""

    def __init__(self, actor: ActorHandle, device: DeviceId) -> None:
        self._actor = actor
        self._device = device

    def __getattr__(self, name: str) -> Any:
        limit_s = {**LONG_CALLS, **SHORT_CALLS}.get(name, CALL_TIMEOUT_S)

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return ray.get(self._actor.call.remote(name, *args, **kwargs), timeout=limit_s)
            except GetTimeoutError:
                raise ClusterError(f"{self._device} did not answer {name} within {limit_s:.0f} s") from None
            except RayActorError:
                raise ClusterError(f"the node of {self._device} died") from None

        return call


class _SchedulerReports:
    """Reports of a node to the scheduler."""

    def __init__(self) -> None:
        self._pending: Any = None

    def stage_ended(self, job: JobId, device: DeviceId, end: StageEnd) -> None:
        ray.get(_scheduler().call.remote("stage_ended", job, device, end), timeout=CALL_TIMEOUT_S)

    def telemetry(self, sample: DeviceSample) -> None:
        """Fire and forget, one under way at a time; a scheduler that is being restarted is waited for."""
        try:
            if self._pending is not None:
                done, _ = ray.wait([self._pending], timeout=0)
                if not done:
                    return
                ray.get(self._pending)
            self._pending = _scheduler().call.remote("telemetry", sample)
        except ActorUnavailableError:
            self._pending = None
        except (ActorDiedError, ValueError) as error:
            raise ConnectionError(str(error)) from error


class _Announcer:
    """A stage's word to the scheduler, straight from its process; repeated until it was heard."""

    def transfer_ready(self, job: JobId, flow: FlowId, *, stop: threading.Event) -> None:
        self._tell("transfer_ready", job, flow, stop)

    def transfer_done(self, job: JobId, flow: FlowId, *, stop: threading.Event) -> None:
        self._tell("transfer_done", job, flow, stop)

    def share_flows(self, job: JobId, rates_bps: Mapping[FlowId, float]) -> None:
        try:
            ray.get(_scheduler().call.remote("share_flows", job, rates_bps), timeout=CALL_TIMEOUT_S)
        except (RayActorError, ValueError, GetTimeoutError) as error:
            raise ConnectionError(f"the scheduler does not answer: {one_line(error)}") from error

    def learner(self, method: str, *args: Any) -> Any:
        return _ask_learner(method, *args)

    def _tell(self, method: str, job: JobId, flow: FlowId, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                heard = _scheduler().call.remote(method, job, flow)
                while not stop.is_set():
                    if ray.wait([heard], timeout=ANNOUNCE_TICK_S)[0]:
                        ray.get(heard)
                        return
            except (RayActorError, ValueError):  # it is being started again, or there is none any more
                stop.wait(ANNOUNCE_TICK_S)


def _scheduler() -> ActorHandle:
    return ray.get_actor(SCHEDULER, namespace=NAMESPACE)


def _ask_learner(method: str, *args: Any) -> Any:
    """Raises ConnectionError when it does not answer in time."""
    try:
        actor = ray.get_actor(LEARNER, namespace=NAMESPACE)
        return ray.get(actor.call.remote(method, *args), timeout=LEARNER_TIMEOUT_S)
    except (RayActorError, ValueError, GetTimeoutError) as error:
        raise ConnectionError(f"the learner does not answer: {one_line(error)}") from error


class _RemoteLearner:
    """The learner, as the scheduler asks it."""

    def views(self, jobs: Collection[JobId]) -> Mapping[JobId, Mapping[str, Any]]:
        found: Mapping[JobId, Mapping[str, Any]] = _ask_learner("views", list(jobs))
        return found

    def forget(self, job: JobId) -> bool:
        return bool(_ask_learner("forget", job))


class LearnerActor:
    """What jobs have learned that decide while they run."""

    def __init__(self, folder: str) -> None:
        self._service = LearnerService(Path(folder))

    def call(self, method: str, *args: Any) -> Any:
        return getattr(self._service, method)(*args)


class SchedulerActor:
    """The scheduler, and the thread that finds nodes."""

    def __init__(self, network: Network, state_root: str) -> None:
        self._network = network
        self._service = SchedulerService(
            network,
            policy_named=policy_named,
            profiles=ProfileStore(),
            journal=Journal(Path(state_root) / "jobs.jsonl"),
            learner=_RemoteLearner(),
        )
        self._watched: dict[DeviceId, Any] = {}
        threading.Thread(target=self._look_after_nodes, name="nodes", daemon=True).start()

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._service, method)(*args, **kwargs)

    def _look_after_nodes(self) -> None:
        joining: dict[DeviceId, threading.Thread] = {}
        while True:
            try:
                alive = _alive_devices()
                away = set(self._network.devices) - set(self._watched) | self._service.returned()
                for device in sorted(alive & away):
                    thread = joining.get(device)
                    if thread is None or not thread.is_alive():
                        joining[device] = threading.Thread(target=self._join, args=(device,), daemon=True)
                        joining[device].start()
                self._drop_the_dead(alive)
                self._service.tick()
            except Exception:
                log.exception("looking after nodes failed")
            time.sleep(TICK_S)

    def _join(self, device: DeviceId) -> None:
        """Make the device's node actor, or take an earlier scheduler's over with nothing running on it."""
        try:
            actor = (
                ray.remote(NodeActor)
                .options(
                    name=f"node:{device}",
                    namespace=NAMESPACE,
                    lifetime="detached",
                    get_if_exists=True,
                    num_cpus=0,
                    resources={f"device:{device}": 0.001},
                    max_concurrency=32,
                    max_restarts=0,
                )
                .remote()
            )
            address = ray.get(actor.address.remote(), timeout=DEPLOY_TIMEOUT_S)
            ray.get(actor.call.remote("reset"), timeout=DEPLOY_TIMEOUT_S)
            if device not in self._watched:  # one that was only cut off is watched still
                self._watched[device] = actor.watch.remote()
            self._service.node_joined(device, address, _RemoteNode(actor, device))
        except Exception as error:
            log.warning("device %s: no node yet: %s", device, one_line(error))

    def _drop_the_dead(self, alive: set[DeviceId]) -> None:
        for device, watch in tuple(self._watched.items()):
            reason = _ended(watch) or (None if device in alive else "its raylet is gone")
            if reason is not None:
                del self._watched[device]
                self._service.node_lost(device, reason)


def _ended(watch: Any) -> str | None:
    """Why a node's watch is over; None while it goes on."""
    ended, _ = ray.wait([watch], timeout=0)
    if not ended:
        return None
    try:
        ray.get(watch)
    except RayActorError:
        return "its node process was killed or crashed"
    except Exception as error:
        return f"its node failed: {one_line(error)}"
    return "its node gave up"


def _alive_devices() -> set[DeviceId]:
    found = set()
    for node in ray.nodes():
        if node["Alive"]:
            found |= {DeviceId(r.partition(":")[2]) for r in node["Resources"] if r.startswith("device:")}
    return found


def start_learner(head: DeviceId, state_root: str) -> ActorHandle:
    """The cluster's learner: the one that runs, or a new one on the head device."""
    return (
        ray.remote(LearnerActor)
        .options(
            name=LEARNER,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            resources={f"device:{head}": 0.001},
            max_concurrency=1,
            max_restarts=-1,
        )
        .remote(str(Path(state_root) / "learner"))
    )


def start_scheduler(network: Network, head: DeviceId, state_root: str) -> ActorHandle:
    """The cluster's scheduler: the one that runs, or a new one on the head device."""
    return (
        ray.remote(SchedulerActor)
        .options(
            name=SCHEDULER,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            resources={f"device:{head}": 0.001},
            max_concurrency=64,
            max_restarts=5,
        )
        .remote(network, state_root)
    )
