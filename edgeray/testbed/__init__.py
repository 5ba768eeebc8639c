"""Devices as network namespaces, cgroups and raylets on one Linux machine; joining real ones."""

from edgeray.testbed.entry import device_command, head_command, head_environment
from edgeray.testbed.lifecycle import down, join, leftovers, up
from edgeray.testbed.state import ClusterState, DeviceState, current, require_current

__all__ = [
    "ClusterState",
    "DeviceState",
    "current",
    "device_command",
    "down",
    "head_command",
    "head_environment",
    "join",
    "leftovers",
    "require_current",
    "up",
]
