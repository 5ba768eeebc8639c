"""Identifiers that every layer shares."""

from typing import NewType

TaskId = NewType("TaskId", str)
DeviceId = NewType("DeviceId", str)
LinkId = NewType("LinkId", str)
FlowId = NewType("FlowId", str)
JobId = NewType("JobId", str)
CameraId = NewType("CameraId", str)
