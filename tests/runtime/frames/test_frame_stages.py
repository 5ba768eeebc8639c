"""A job of frames as nodes run it: stages, encrypted lines that keep to their rates, this machine's clock, a learner."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import frame_sources
from frame_world import recipe_of

from edgeray.dataplane import FlowSecurity, new_flow_security
from edgeray.frames.server import Server
from edgeray.frames.user import User
from edgeray.learner.service import LearnerService
from edgeray.node.code import LoadedTask
from edgeray.node.online import OnlineStage
from edgeray.scheduler.effects import Inflow, Outflow, StagePlan
from policies.model import DeviceId, FlowId, JobId, TaskId

HERE, SERVER, JOB = "127.0.0.1", TaskId("server"), JobId("frames")
PACKET_BYTES, FRAMES = 4000, 16


def free_ports(count: int) -> list[int]:
    """Others in each process that tests."""
    ports: list[int] = []
    with ExitStack() as stack:
        for port in range(22_000 + os.getpid() % 900 * 10, 32_000):
            taken = stack.enter_context(socket.socket())
            try:
                taken.bind((HERE, port))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                return ports
    raise OSError("no ports are free")


class Office:
    """Does at once what the scheduler would: new rates go to the stages that send."""

    def __init__(self, learner: LearnerService) -> None:
        self.stages: dict[TaskId, OnlineStage] = {}
        self.shared: list[Mapping[FlowId, float]] = []
        self._learner = learner

    def share_flows(self, job: JobId, rates_bps: Mapping[FlowId, float]) -> None:
        self.shared.append(rates_bps)
        for flow, rate_bps in rates_bps.items():
            for stage in self.stages.values():
                stage.pace_flow(flow, rate_bps)

    def learner(self, method: str, *args: Any) -> Any:
        return getattr(self._learner, method)(*args)

    def announce(self, *args: Any) -> None:
        raise AssertionError("nothing of a one-shot job happens here")


class Yard:
    """Stages of a server and its users, in this process."""

    def __init__(self, folder: Path, recipe: Mapping[str, Any], learner: LearnerService) -> None:
        self.recipe, self._folder = recipe, folder
        self.office = Office(learner)
        users = {TaskId(user["task"]): DeviceId(user["device"]) for user in recipe["users"].values()}
        ports = free_ports(2 * len(users))
        flows = [(user, SERVER) for user in users] + [(SERVER, user) for user in users]
        keys = {flow_of(*pair): new_flow_security() for pair in flows}
        numbered = dict(zip(flows, ports, strict=True))
        server = Server(recipe, "server", "djos")
        self._start(SERVER, DeviceId("server"), server, numbered, keys)
        for task, device in users.items():
            self._start(task, device, User(recipe, device), numbered, keys)

    def _start(
        self,
        task: TaskId,
        device: DeviceId,
        agent: Any,
        flows: Mapping[tuple[TaskId, TaskId], int],
        keys: Mapping[FlowId, FlowSecurity],
    ) -> None:
        plan = StagePlan(
            job=JOB,
            device=device,
            tasks=(task,),
            inputs={},
            inflows=tuple(
                Inflow(flow=flow_of(a, b), producer=a, consumer=b, peer=DeviceId(a), port=port)
                for (a, b), port in flows.items()
                if b == task
            ),
            outflows=tuple(
                Outflow(
                    flow=flow_of(a, b),
                    producer=a,
                    consumer=b,
                    peer=DeviceId(b),
                    address=HERE,
                    port=port,
                    rate_bps=self.recipe["link_bps"],
                )
                for (a, b), port in flows.items()
                if a == task
            ),
            sinks=(SERVER,) if task == SERVER else (),
            depth_items=1,
            granted_per_s=None,
            mode="frames",
            policy="djos",
        )
        loaded = LoadedTask(task=task, call=agent, close=lambda: None)
        stage = OnlineStage(
            plan,
            {task: loaded},
            address=HERE,
            security=keys,
            self_paced=task != SERVER,
            output_dir=self._folder / task,
            cpus=1.0,
            office=self.office,
        )
        self.office.stages[task] = stage
        stage.start()

    def wait(self) -> dict[str, Any]:
        """Until the server's stage has ended by itself; then the others are stopped, as the scheduler does."""
        server = self.office.stages[SERVER]
        assert server.stopped.wait(60), "the job does not end"
        server.wait()
        told = server.told()
        assert told is not None
        for stage in self.office.stages.values():
            stage.stop()
            stage.wait()
        return dict(told)


def flow_of(producer: TaskId, consumer: TaskId) -> FlowId:
    return FlowId(f"{producer}->{consumer}")


def test_frames_over_real_lines(tmp_path: Path) -> None:
    """Whatever this machine's speed is, all packets are accounted for, some are done, and users keep within rates."""
    frame_sources.reset()
    frame_s = 0.4
    recipe = recipe_of(
        "abc",
        packets_a_slot=4 * PACKET_BYTES / 1000,
        slots=4,
        slot_s=frame_s / 4,
        M=0.2,
        frames=FRAMES,
        floor_bps=200e3,
        start_s=30.0,
        users={
            name: {
                "source": {
                    "run": "frame_sources:Blocks",
                    "args": {"size": PACKET_BYTES, "at_once": 2},
                    "rate_per_s": 1 / frame_s,
                    "items": None,
                },
                "power": {"idle_w": 0.0, "local_w": 70.0, "send_w": 4.0},
            }
            for name in "abc"
        },
    )
    learner = LearnerService(tmp_path / "learner")
    yard = Yard(tmp_path, recipe, learner)
    told = yard.wait()
    assert told["frames"] == FRAMES and told["meter"] == "declared"
    for user in told["users"].values():
        assert user["arrived"] == user["sent"] + user["local"] + user["dropped"] > 0
    assert told["sent"] + told["local"] > 0
    link_bps = recipe["link_bps"]
    assert all(sum(rates.values()) <= link_bps * (1 + 1e-9) for rates in yard.office.shared)
    kept = learner.open(JOB, {"policy": "djos", "helpers": list("abc"), "dimensions": 0, "seed": 0})
    assert kept is not None and kept["frames"] == FRAMES
