"""What a device says of itself every second: CPU, memory, tasks, flows, and the kernel's class counters."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import psutil

from edgeray.network.manager import NetworkManager
from edgeray.network.types import FlowCounters
from edgeray.node.host import StageCounters
from edgeray.node.limits import group_usage, stage_groups
from edgeray.scheduler.jobs import flow_name
from edgeray.telemetry.records import DeviceSample, FlowSample, LinkSample, StageSample, TaskSample
from policies.model import DeviceId, FlowId, JobId, TaskId


class DeviceMonitor:
    """Turns cumulative counters into samples of the window since the last call."""

    def __init__(self, device: DeviceId, cpus: float, network: NetworkManager) -> None:
        self._device = device
        self._cpus = cpus
        self._network = network
        self._at_s = time.time()
        self._stages: dict[JobId, StageCounters] = {}
        self._links: dict[str, tuple[int, int]] = {}
        self._flows: dict[str, int] = {}
        self._cpu_s = 0.0

    def sample(self, stages: Sequence[tuple[JobId, StageCounters]]) -> DeviceSample:
        now_s = time.time()
        window_s = max(now_s - self._at_s, 1e-6)
        kernel = self._network.flow_counters()
        granted = {rule.flow: rule.rate_bps for rule in self._network.rules}
        rows = tuple(
            self._stage_sample(job, counters, window_s, kernel, granted)
            for job, counters in sorted(stages, key=lambda stage: stage[0])
        )
        cpu_s, memory_bytes = self._usage(stages)
        sample = DeviceSample(
            device=self._device,
            at_s=now_s,
            window_s=window_s,
            cpu_fraction=max(0.0, cpu_s - self._cpu_s) / window_s / self._cpus,
            memory_bytes=memory_bytes,
            enforcement=self._network.enforcement,
            links=self._link_samples(),
            stages=rows,
        )
        self._at_s, self._cpu_s = now_s, cpu_s
        self._stages = dict(stages)
        self._flows = {name: counters.bytes for name, counters in kernel.items()}
        return sample

    def _usage(self, stages: Sequence[tuple[JobId, StageCounters]]) -> tuple[float, int]:
        """CPU seconds and memory of the stages; on a machine of its own, of the whole machine."""
        if stage_groups():
            group = group_usage()
            if group is not None:
                return group
            return sum(c.cpu_s for _, c in stages), sum(c.memory_bytes for _, c in stages)
        times = psutil.cpu_times()
        return times.user + times.system, int(psutil.virtual_memory().used)

    def _link_samples(self) -> tuple[LinkSample, ...]:
        counters = self._network.link_counters()
        samples = []
        for port in self._network.network.ports:
            now = counters.get(port.link)
            if now is None:
                continue
            before = self._links.get(str(port.link), (now.bytes, now.control_bytes))
            samples.append(
                LinkSample(
                    link=str(port.link),
                    peer=str(port.peer),
                    capacity_bps=port.capacity_bps,
                    wire_bytes=max(0, now.bytes - before[0]),
                    control_bytes=max(0, now.control_bytes - before[1]),
                )
            )
            self._links[str(port.link)] = (now.bytes, now.control_bytes)
        return tuple(samples)

    def _stage_sample(
        self,
        job: JobId,
        now: StageCounters,
        window_s: float,
        kernel: Mapping[str, FlowCounters],
        granted: Mapping[str, float],
    ) -> StageSample:
        before = self._stages.get(job)
        return StageSample(
            job=job,
            device=self._device,
            at_s=now.at_s,
            window_s=window_s,
            pid=now.pid,
            cpu_s=now.cpu_s - (before.cpu_s if before else 0.0),
            memory_bytes=now.memory_bytes,
            tasks=tuple(_task_sample(task, now, before) for task in now.tasks),
            flows=tuple(self._flow_sample(job, flow, now, before, kernel, granted) for flow in now.flows),
            told=now.told,
        )

    def _flow_sample(
        self,
        job: JobId,
        flow: FlowId,
        now: StageCounters,
        before: StageCounters | None,
        kernel: Mapping[str, FlowCounters],
        granted: Mapping[str, float],
    ) -> FlowSample:
        items, payload = now.flows[flow]
        items_before, payload_before = before.flows.get(flow, (0, 0)) if before else (0, 0)
        name = flow_name(job, flow)
        counters = kernel.get(name)
        return FlowSample(
            flow=name,
            granted_bps=granted.get(name),
            payload_bytes=payload - payload_before,
            items=items - items_before,
            wire_bytes=counters.bytes - self._flows.get(name, 0) if counters else None,
            backlog_bytes=counters.backlog_bytes if counters else None,
            dropped_packets=counters.dropped if counters else None,
        )


def _task_sample(task: TaskId, now: StageCounters, before: StageCounters | None) -> TaskSample:
    items, busy_s, queue, dropped, p50, p95 = now.tasks[task]
    old = before.tasks.get(task) if before else None
    return TaskSample(
        task=task,
        items=items - (old[0] if old else 0),
        items_total=items,
        dropped_total=dropped,
        busy_s=busy_s - (old[1] if old else 0.0),
        queue=queue,
        dropped=dropped - (old[3] if old else 0),
        latency_p50_s=p50,
        latency_p95_s=p95,
    )
