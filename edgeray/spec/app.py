"""What the spec reader hands to the rest of EdgeRay: applications and clusters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgeray.errors import SpecError
from policies.model import DeviceId, Job, Network, TaskId

Overflow = Literal["block", "drop-oldest"]
KeyPath = tuple[str, ...]
NOT_SENT = ("__pycache__", "*.mp4", "*.avi", "reports", "results")
"""Files and folders in a job's folder that do not travel with it: large, or made by running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The code of a task. run: "module:callable". args: keywords of the function or constructor.

    method: what is called per item on an instance of a class; a plain function ignores it.
    """

    run: str
    args: Mapping[str, Any] = field(default_factory=dict)
    method: str = "__call__"

    @property
    def module(self) -> str:
        return self.run.partition(":")[0]

    @property
    def qualname(self) -> str:
        return self.run.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How a source gives its items. items_per_s: its own pace, or None for as fast as it can.

    overflow: what it does while the pipeline is full: wait, or drop the oldest item that waits.
    """

    items_per_s: float | None = None
    overflow: Overflow = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One application: its job for the policies, its code for the runtime, and where both were read.

    code: of the tasks that name any. sources: of every task with no inputs. needs_profile: some number that a
    policy plans with is not declared. places: "file:line" by key path, for messages.
    """

    job: Job
    code: Mapping[TaskId, Code]
    sources: Mapping[TaskId, SourceOptions]
    folder: Path
    file: Path
    needs_profile: bool
    places: Mapping[KeyPath, str] = field(default_factory=dict, repr=False, compare=False)

    def error(self, path: KeyPath, what: str, *, expected: str, remedy: str) -> SpecError:
        """A SpecError that points at path, or at the nearest key above it."""
        return SpecError(nearest(self.places, path, self.file), what, expected=expected, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Devices and links, and which device is the head.

    addresses: of the devices of a real cluster; empty for one that the testbed emulates.
    """

    name: str
    head: DeviceId
    network: Network
    file: Path
    addresses: Mapping[DeviceId, str] = field(default_factory=dict)
    places: Mapping[KeyPath, str] = field(default_factory=dict, repr=False, compare=False)

    def error(self, path: KeyPath, what: str, *, expected: str, remedy: str) -> SpecError:
        """A SpecError that points at path, or at the nearest key above it."""
        return SpecError(nearest(self.places, path, self.file), what, expected=expected, remedy=remedy)


def nearest(places: Mapping[KeyPath, str], path: KeyPath, file: Path) -> str:
    """ "file:line" of the key at path, or of the nearest key above it; the file where there is none."""
    while path not in places and path:
        path = path[:-1]
    return places.get(path, str(file))
