"""Keeps this device's traffic control and routes as the plans want them."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Mapping, Sequence

from edgeray.errors import NetworkApplyError
from edgeray.network.desired import desired_state, egress_port, link_minors
from edgeray.network.diff import diff, merge
from edgeray.network.netlink import KernelNetlink
from edgeray.network.state import HtbClass, KernelRefusalError, Netlink, NetworkState, Operation
from edgeray.network.types import NO_TRAFFIC, DeviceNetwork, FlowCounters, FlowRule, LinkCounters
from policies.model.ids import DeviceId, LinkId

_LONGEST_DRAIN_S, _DRAIN_POLL_S = 0.5, 0.005
_NO_SUCH_QDISC = (errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT)


class NetworkManager:
    """Desired state of one device's network. Safe to use from several threads.

    With netlink, tc enforces rates and routes. With None it only records the rules: then packets take the
    default routes, and each sender paces its own flows (enforcement "pacing").
    """

    def __init__(
        self, network: DeviceNetwork, netlink: Netlink | None, *, takeover: bool = False, reason: str = ""
    ) -> None:
        self.network = network
        self.reason = reason
        self._netlink = netlink
        self._takeover = takeover
        self._rules: tuple[FlowRule, ...] = ()
        self._carried: dict[str, FlowCounters] = {}
        self._lock = threading.RLock()

    @property
    def enforcement(self) -> str:
        return "pacing" if self._netlink is None else "tc"

    @property
    def rules(self) -> tuple[FlowRule, ...]:
        return self._rules

    def apply(self, rules: Sequence[FlowRule]) -> None:
        """Make the network as these rules want it, all of them: what is not among them goes.

        Raises NetworkApplyError; then everything is as it was, or the message names what is not.
        """
        with self._lock:
            desired = desired_state(self.network, rules)
            if self._netlink is not None:
                self._secure_interfaces(self._netlink)
                actual = self._netlink.read()
                steps = diff(desired, actual)
                making, breaking = _split(steps)
                carried = self._with_lost(self._carried, rules, making)
                self._perform(self._netlink, making, actual)
                self._drain(self._netlink, breaking, rules)
                carried = self._with_lost(carried, rules, breaking)
                self._perform(self._netlink, breaking, actual)
                self._carried = carried
            self._rules = tuple(rules)

    def open(self) -> None:
        """Put the links' own shaping in force, and leave the flows of an earlier manager as they are."""
        if self._netlink is None:
            return
        with self._lock:
            self._secure_interfaces(self._netlink)
            actual = self._netlink.read()
            self._perform(self._netlink, diff(merge(desired_state(self.network, ()), actual), actual), actual)

    def flow_counters(self) -> Mapping[str, FlowCounters]:
        """What each flow has sent from this device, by its egress class; they go on when a flow moves."""
        if self._netlink is None:
            return {}
        with self._lock:
            read: dict[str, Mapping[int, FlowCounters]] = {}
            return {
                rule.flow: now.plus(self._carried.get(rule.flow, NO_TRAFFIC))
                for rule in self._rules
                if (now := self._class_of(rule, read)) is not None
            }

    def link_counters(self) -> Mapping[LinkId, LinkCounters]:
        """What has left through each port since it was shaped; empty where tc is not in force."""
        if self._netlink is None:
            return {}
        with self._lock:
            read: dict[str, Mapping[int, FlowCounters]] = {}
            counters: dict[LinkId, LinkCounters] = {}
            for port in self.network.ports:
                whole, control = link_minors(self.network, port)
                classes = self._classes(port.interface, read)
                counters[port.link] = LinkCounters(
                    bytes=classes.get(whole, NO_TRAFFIC).bytes,
                    control_bytes=classes.get(control, NO_TRAFFIC).bytes,
                )
            return counters

    def clear(self) -> None:
        """Take away all that carries our marks in this network namespace."""
        with self._lock:
            if self._netlink is not None:
                actual = self._netlink.read()
                self._perform(self._netlink, diff(NetworkState(), actual), actual)
            self._rules, self._carried = (), {}

    def close(self) -> None:
        """Let go of the kernel; what is in force stays in force."""
        if self._netlink is not None:
            self._netlink.close()

    def _secure_interfaces(self, netlink: Netlink) -> None:
        """Every port's interface is there, and its root qdisc is ours or the kernel's, or is taken over."""
        there = netlink.interfaces()
        for name in sorted({port.interface for port in self.network.ports}):
            if name not in there:
                raise NetworkApplyError(
                    f"{self.network.device} has no interface {name!r} (it has {', '.join(there)}); "
                    "correct the cluster description or plug the network in"
                )
            foreign = netlink.foreign_qdisc(name)
            if foreign is None:
                continue
            if not self._takeover:
                raise NetworkApplyError(
                    f"{self.network.device}: interface {name} has a root qdisc that EdgeRay did not make: "
                    f"{foreign}; take it away (tc qdisc del dev {name} root) or allow it with --takeover"
                )
            netlink.remove_foreign_qdisc(name)

    def _drain(self, netlink: Netlink, breaking: Sequence[Operation], rules: Sequence[FlowRule]) -> None:
        """Let the queues that moved flows leave behind run empty, so that no packet of theirs is lost."""
        staying = {rule.port for rule in rules}
        left = [
            (step.item.interface, step.item.minor)
            for step in breaking
            if isinstance(step.item, HtbClass) and step.item.minor in staying
        ]
        end_s = time.monotonic() + _LONGEST_DRAIN_S
        while left and time.monotonic() < end_s:
            interface, minor = left[0]
            counters = netlink.class_counters(interface).get(minor, NO_TRAFFIC)
            if counters.backlog_bytes == 0:
                left.pop(0)
            else:
                time.sleep(_DRAIN_POLL_S)

    def _perform(self, netlink: Netlink, steps: Sequence[Operation], before: NetworkState) -> None:
        for step in steps:
            try:
                netlink.apply(step)
            except KernelRefusalError as refusal:
                outcome = self._roll_back(netlink, before)
                raise NetworkApplyError(
                    f"{self.network.device}: the kernel refused to {step.action} {step.item}: "
                    f"{refusal.reason}; {outcome}"
                ) from refusal

    def _roll_back(self, netlink: Netlink, before: NetworkState) -> str:
        try:
            for step in diff(before, netlink.read()):
                netlink.apply(step)
        except KernelRefusalError as refusal:
            left = diff(before, netlink.read())
            names = "; ".join(f"{step.action} {step.item}" for step in left)
            return f"and going back failed too ({refusal.reason}), so it is in part applied. To do: {names}"
        return "everything is as it was before"

    def _with_lost(
        self, carried: Mapping[str, FlowCounters], rules: Sequence[FlowRule], steps: Sequence[Operation]
    ) -> dict[str, FlowCounters]:
        """What flows that stay go on counting from, once steps have taken their classes away."""
        staying = {rule.flow for rule in rules}
        kept = {flow: counters for flow, counters in carried.items() if flow in staying}
        lost = {step.item.key for step in steps if step.action == "remove"}
        read: dict[str, Mapping[int, FlowCounters]] = {}
        for rule in self._rules:
            port = egress_port(self.network, rule)
            if port is None or rule.flow not in staying:
                continue
            if (3, port.interface, rule.port) in lost or (0, port.interface, 0) in lost:
                now = self._class_of(rule, read)
                if now is not None:
                    kept[rule.flow] = now.plus(kept.get(rule.flow, NO_TRAFFIC))
        return kept

    def _class_of(self, rule: FlowRule, read: dict[str, Mapping[int, FlowCounters]]) -> FlowCounters | None:
        port = egress_port(self.network, rule)
        return None if port is None else self._classes(port.interface, read).get(rule.port)

    def _classes(
        self, interface: str, read: dict[str, Mapping[int, FlowCounters]]
    ) -> Mapping[int, FlowCounters]:
        """Class counters of an interface, read once a call; {} when the interface has gone."""
        if interface not in read:
            assert self._netlink is not None
            try:
                read[interface] = self._netlink.class_counters(interface)
            except KernelRefusalError as refusal:
                if refusal.number != errno.ENODEV:
                    raise NetworkApplyError(f"{interface}: no counters: {refusal.reason}") from refusal
                read[interface] = {}
        return read[interface]


def open_manager(network: DeviceNetwork, takeover: bool = False) -> NetworkManager:
    """A manager that enforces with tc where this process may and the kernel can, else one that records.

    The links' own classes are in force when it returns; flows that an earlier manager shaped go on.
    Raises NetworkApplyError when an interface is missing or its qdisc is somebody else's.
    """
    if any(port.interface == "lo" for port in network.ports):
        return NetworkManager(network, None, reason="the devices share the loopback interface")
    netlink = KernelNetlink()
    if not netlink.may_change():
        netlink.close()
        return NetworkManager(network, None, reason="no CAP_NET_ADMIN in this network namespace")
    manager = NetworkManager(network, netlink, takeover=takeover)
    try:
        manager.open()
    except NetworkApplyError as error:
        netlink.close()
        missing = _missing_from_kernel(error)
        if missing is None:
            raise
        return NetworkManager(network, None, reason=missing)
    return manager


def clear_namespace() -> None:
    """Take away all that carries our marks in this network namespace, whatever device it was made for.

    Needs no ports, so it also works when the network description or the interfaces have gone. Does nothing
    where this process may change nothing.
    """
    netlink = KernelNetlink()
    try:
        if netlink.may_change():
            nowhere = DeviceNetwork(device=DeviceId("this device"), address="", ports=())
            NetworkManager(nowhere, netlink).clear()
    finally:
        netlink.close()


def _split(steps: Sequence[Operation]) -> tuple[Sequence[Operation], Sequence[Operation]]:
    """The steps up to the last that makes something, and the removals that end them."""
    end = len(steps)
    while end and steps[end - 1].action == "remove":
        end -= 1
    return steps[:end], steps[end:]


def _missing_from_kernel(error: NetworkApplyError) -> str | None:
    """What the kernel lacks, when that is why the first qdisc could not be made."""
    refusal = error.__cause__
    if isinstance(refusal, KernelRefusalError) and refusal.number in _NO_SUCH_QDISC:
        return f"this kernel cannot shape: {refusal.reason}"
    return None
