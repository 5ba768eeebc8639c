"""Every error that EdgeRay raises on purpose.

EdgeRayError                 exit code 1: something failed while it ran
├── BadInputError            exit code 2: a file, an option or a name that the user gave
│   ├── SpecError            ... in a job or cluster file; carries file:line
│   ├── MissingAssetError    ... a video, weight or data set is not there; names the command that gets it
│   └── CannotCutError       ... a model that cannot be trained in two parts; says why
├── ClusterError             the cluster cannot be reached, or lacks what is asked
│   └── TestbedError         namespaces, cgroups or raylets of the testbed
├── NetworkApplyError        the kernel refused a qdisc, class, filter, rule or route
├── FlowError                a flow broke: the peer went away, or what came is no item
└── StageError               a task raised; carries the task and the item
    └── StageDied            the process of a stage was killed or crashed
"""

from __future__ import annotations


class EdgeRayError(Exception):
    """Base of all. The message says what, where, what was found, what was expected, and the remedy."""

    exit_code = 1


class BadInputError(EdgeRayError):
    exit_code = 2


class SpecError(BadInputError):
    """A job or cluster file is wrong. where is "file:line"."""

    def __init__(self, where: str, what: str, *, expected: str, remedy: str) -> None:
        super().__init__(f"{where}: {what}\n  expected: {expected}\n  remedy:   {remedy}")
        self.where = where
        self.what = what
        self.expected = expected
        self.remedy = remedy


class MissingAssetError(BadInputError):
    pass


class CannotCutError(BadInputError):
    pass


class ClusterError(EdgeRayError):
    pass


class TestbedError(ClusterError):
    __test__ = False  # pytest must not collect it


class NetworkApplyError(EdgeRayError):
    pass


class FlowError(EdgeRayError):
    pass


class StageError(EdgeRayError):
    pass


class StageDied(StageError):  # noqa: N818 - named for what happened, as FlowError and StageError are for what failed
    pass


def one_line(error: BaseException) -> str:
    """What went wrong, for a person: without the traceback that Ray puts around what a remote call raised."""
    cause = getattr(error, "cause", None)
    told = cause if isinstance(cause, BaseException) else error
    if isinstance(told, EdgeRayError):
        return str(told)
    lines = [line for line in str(told).strip().splitlines() if line.strip()]
    return f"{type(told).__name__}: {lines[0] if lines else 'no message'}"
