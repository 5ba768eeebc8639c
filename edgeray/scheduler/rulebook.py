"""Which flow rules each device must have, in which version, and what is known to be in force. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from edgeray.network.types import FlowRule
from edgeray.scheduler.effects import ApplyNetwork
from policies.model import DeviceId, JobId


class RuleBook:
    """A device's rules get a new version whenever they change; versions only grow, also over losses."""

    def __init__(self) -> None:
        self._rules: dict[DeviceId, dict[JobId, tuple[FlowRule, ...]]] = {}
        self._of_job: dict[JobId, tuple[DeviceId, ...]] = {}
        self._touched: set[DeviceId] = set()
        self._sent: dict[DeviceId, tuple[FlowRule, ...]] = {}
        self._versions: dict[DeviceId, int] = {}
        self._applied: dict[DeviceId, int] = {}

    def put(self, job: JobId, rules: Iterable[FlowRule]) -> None:
        """These are the job's rules from now on, on every device that they route over."""
        self.remove(job)
        by_device: dict[DeviceId, list[FlowRule]] = {}
        for rule in rules:
            for device in rule.route:
                by_device.setdefault(device, []).append(rule)
        for device, mine in by_device.items():
            self._rules.setdefault(device, {})[job] = tuple(mine)
        self._of_job[job] = tuple(by_device)
        self._touched.update(by_device)

    def remove(self, job: JobId) -> None:
        for device in self._of_job.pop(job, ()):
            del self._rules[device][job]
            self._touched.add(device)

    def join(self, device: DeviceId) -> None:
        """A device without any rules: it gets all that it must have, also if that is none."""
        self._sent.pop(device, None)
        self._touched.add(device)

    def refused(self, device: DeviceId) -> None:
        """It has not the rules last sent to it: the next change sends them whatever they are."""
        self._sent.pop(device, None)

    def changes(self, here: Container[DeviceId]) -> list[ApplyNetwork]:
        """New versions for the devices whose rules are no longer those last sent; others need none."""
        effects = []
        for device in sorted(self._touched):
            if device not in here:
                continue
            jobs = self._rules.get(device, {})
            rules = tuple(rule for job in sorted(jobs) for rule in jobs[job])
            if self._sent.get(device) != rules:
                version = self._versions[device] = self._versions.get(device, 0) + 1
                self._sent[device] = rules
                effects.append(ApplyNetwork(device=device, version=version, rules=rules))
        self._touched.clear()
        return effects

    def versions(self, devices: Iterable[DeviceId]) -> dict[DeviceId, int]:
        """The versions last sent to these devices."""
        return {device: self._versions[device] for device in devices}

    def applied(self, device: DeviceId, version: int) -> None:
        self._applied[device] = max(version, self._applied.get(device, 0))

    def in_force(self, versions: Mapping[DeviceId, int]) -> bool:
        """Whether each device has applied this version or a later one."""
        return all(self._applied.get(device, 0) >= version for device, version in versions.items())
