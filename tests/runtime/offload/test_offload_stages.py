"""A dispatcher and a helper in stages as devices have them, over encrypted flows, with the learner on its disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import offload_code
import pytest
from line_ends import HERE, A, B, ends_of, free_ports, new_keys
from offload_world import recipe_of, until

from edgeray.learner.service import LearnerService
from edgeray.node.code import TaskCode, load_task
from edgeray.node.online import OnlineStage, online_code
from edgeray.scheduler.effects import StagePlan
from policies.model import DeviceId, FlowId, JobId, TaskId


@pytest.fixture(autouse=True)
def fresh_code() -> Iterator[None]:
    offload_code.reset()
    yield
    offload_code.reset()


class Bureau:
    def __init__(self, folder: Path) -> None:
        self.service = LearnerService(folder)

    def transfer_ready(self, job: JobId, flow: FlowId, *, stop: Any) -> None:
        raise AssertionError("nothing is transferred")

    transfer_done = transfer_ready

    def share_flows(self, job: JobId, rates_bps: Mapping[FlowId, float]) -> None:
        raise AssertionError("no rates are asked for")

    def learner(self, method: str, *args: Any) -> Any:
        return getattr(self.service, method)(*args)


class Job:
    """Task a dispatches, task b helps."""

    def __init__(self, folder: Path, policy: str) -> None:
        helpers = {"b": {"device": "device-of-b", "cpus": 1.0, "bps": 1e9}}
        self._recipe = recipe_of(helpers="", server="a") | {"helpers": helpers}
        self._folder, self._policy = folder, policy
        self._ports, self._keys, self.bureau = free_ports(2), new_keys(), Bureau(folder / "learner")
        self.hub = self.start(A, B, "edgeray.offload.dispatch:Dispatch")
        self.helper = self.start(B, A, "edgeray.offload.help:Help")

    def start(self, me: TaskId, peer: TaskId, run: str) -> OnlineStage:
        inflow, outflow = ends_of(me, peer, self._ports)
        plan = StagePlan(
            job=JobId("j"),
            device=DeviceId(f"device-of-{me}"),
            tasks=(me,),
            inputs={me: (peer,)},
            inflows=(inflow,),
            outflows=(outflow,),
            sinks=(A,) if me == A else (),
            depth_items=4,
            granted_per_s=None,
            mode="offload",
            policy=self._policy,
        )
        folder = self._folder / me
        code = online_code(me, TaskCode(run=run, args={"recipe": self._recipe}), plan)
        stage = OnlineStage(
            plan,
            {me: load_task(me, code, folder)},
            office=self.bureau,
            address=HERE,
            security=self._keys,
            self_paced=False,
            output_dir=folder,
            cpus=1.0,
        )
        stage.start()
        return stage

    @property
    def told(self) -> Mapping[str, Any]:
        return self.hub.told() or {
            "items": 0,
            "met": 0,
            "lost": 0,
            "helpers": {"device-of-b": {"away": True}},
        }


def test_items_go_over_real_lines_and_a_helper_that_is_started_again_goes_on(tmp_path: Path) -> None:
    job = Job(tmp_path, "ecolog")
    for number in range(10):
        offload_code.tap.put(number)
    until(lambda: job.told["met"] == 10)
    gate = offload_code.gates["device-of-b"]
    gate.shut()
    offload_code.tap.put(10)
    until(lambda: gate.waiting == 1)
    job.helper.stop()
    until(lambda: job.told["lost"] == 1, "a line that broke is seen")
    gate.open()
    job.helper.wait()
    job.helper = job.start(B, A, "edgeray.offload.help:Help")
    until(lambda: not job.told["helpers"]["device-of-b"]["away"])
    offload_code.tap.put(11)
    offload_code.tap.put(None)
    job.hub.wait()  # it ends by itself, and well
    told = job.told
    assert (told["items"], told["met"], told["lost"]) == (12, 11, 1)
    assert sorted(item for item, _ in offload_code.taken) == [*range(10), 11]
    assert job.hub.counters()[A].items == 12
    assert job.hub.sink_window(0.0, time.time() + 60)[A].items == 11
    assert job.helper.counters()[B].items == 1
    until(lambda: job.bureau.service.views()["j"]["items"] == 12, "what was learned is with the learner")
    job.helper.stop()
    job.helper.wait()
