"""Prints all effects of a small history, streams and one-shot jobs under real policies; see test_hash_seed.py."""

from __future__ import annotations

from collections import deque

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import ApplyNetwork, DeployStage, StartStage, StartTransfer, StopStage
from edgeray.scheduler.state import SchedulerState
from policies.model import Device, DeviceId, Flow, Job, JobId, Link, Mode, Network, Task, TaskId, Workload
from policies.registry import load_policy

IDS = [DeviceId(f"dev-{name}") for name in ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")]
RING = [tuple(sorted(pair)) for pair in zip(IDS, [*IDS[1:], IDS[0]], strict=True)]
LINKS = {link.id: link for link in (Link(ends=(a, b), capacity_bps=1e6) for a, b in sorted(RING))}
NETWORK = Network(
    devices={d: Device(id=d, type="pi", memory_bytes=1000, speed_flop_per_s=10) for d in sorted(IDS)},
    links=LINKS,
)


def workload(name: str, mode: Mode, at: DeviceId) -> Workload:
    """A source feeds four branches that meet again."""
    branches = [TaskId(f"b{number}") for number in range(4)]
    first, last = TaskId("a"), TaskId("z")
    tasks = [
        Task(id=first, device=at, work_flop=1, memory_bytes=100),
        *(Task(id=task, work_flop=20, memory_bytes=100) for task in branches),
        Task(id=last, work_flop=1, memory_bytes=100),
    ]
    flows = [
        *(Flow(producer=first, consumer=task, size_bytes=10_000) for task in branches),
        *(Flow(producer=task, consumer=last, size_bytes=10_000) for task in branches),
    ]
    return Workload(
        job=Job(id=JobId(name), tasks=tuple(tasks), flows=tuple(flows), items_per_s=10, mode=mode)
    )


def history() -> None:
    state = SchedulerState(NETWORK, load_policy)
    script: list[ev.Event] = [ev.DeviceJoined(at_s=0, device=d, address=f"ip-{d}") for d in IDS]
    for number, mode in enumerate(("stream", "once", "once", "stream")):
        job = workload(f"job-{number}", mode, IDS[number])  # type: ignore[arg-type]
        script.append(
            ev.JobSubmitted(
                at_s=number,
                job=job.job.id,
                workload=job,
                policy="joint" if mode == "stream" else "portfolio",
                needs_profile=False,
                lease_s=None,
            )
        )
    script += [
        ev.LinkChanged(at_s=10, link=next(iter(LINKS)), capacity_bps=2e5),
        ev.DeviceLost(at_s=20, device=IDS[2], reason="gone"),
        ev.DeviceJoined(at_s=30, device=IDS[2], address="ip-new"),
        ev.StopRequested(at_s=40, job=JobId("job-0"), reason="stop"),
        ev.Ticked(at_s=50),
    ]
    for event in script:
        todo = deque([event])
        while todo:
            for effect in state.handle(todo.popleft()):
                print(repr(effect))
                todo.extend(answers(state, effect, event.at_s))


def answers(state: SchedulerState, effect: object, at_s: float) -> list[ev.Event]:
    """What obedient nodes report: all transfers are ready at once, and arrive as soon as they start."""
    match effect:
        case ApplyNetwork(device=device, version=version):
            return [ev.NetworkApplied(at_s=at_s, device=device, version=version)]
        case DeployStage(device=device, stage=stage):
            return [ev.StageDeployed(at_s=at_s, job=stage.job, device=device)]
        case StartStage(device=device, job=job):
            plan = state.jobs[job].plan
            assert plan is not None
            mine = [flow for flow, route in plan.routes.items() if len(route) > 1 and route[0] == device]
            return [ev.TransferReady(at_s=at_s, job=job, flow=flow) for flow in mine]
        case StartTransfer(job=job, flow=flow):
            return [ev.TransferDone(at_s=at_s, job=job, flow=flow)]
        case StopStage(device=device, job=job):
            return [ev.StageEnded(at_s=at_s, job=job, device=device, error=None)]
        case _:
            return []


if __name__ == "__main__":
    history()
