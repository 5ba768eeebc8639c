"""Names of policies by mode, and names of jobs."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from edgeray.errors import BadInputError
from edgeray.planning import chosen_policy, distinct
from edgeray.policy_names import check_mode, default_policy, mode_of
from policies.model import Job, JobId, Task, TaskId, Workload
from policies.registry import ONE_SHOT_POLICIES, POLICIES


def named(name: str) -> Workload:
    return Workload(job=Job(id=JobId(name), tasks=(Task(id=TaskId("a")),), flows=()))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Policies of a user's own: for one mode, for both, and one that says nonsense."""
    module = ModuleType("own_policies")

    def policy(name: str, **attributes: object) -> None:
        members = {"name": name, "decide": lambda self, snapshot, arrivals: None, **attributes}
        setattr(module, name, type(name, (), members))

    policy("Once", mode="once")
    policy("Either")
    policy("Odd", mode="twice")
    monkeypatch.setitem(sys.modules, "own_policies", module)


def test_every_built_in_policy_is_for_one_mode() -> None:
    assert {mode_of(name) for name in POLICIES} == {"stream"}
    assert {mode_of(name) for name in ONE_SHOT_POLICIES} == {"once"}
    assert default_policy("stream") in POLICIES and default_policy("once") in ONE_SHOT_POLICIES


def test_a_policy_of_ones_own_says_which_jobs_it_is_for(own: None) -> None:
    check_mode("own_policies:Once", "once")
    with pytest.raises(ValueError, match="not for streams; expected one of lr, br"):
        check_mode("own_policies:Once", "stream")
    check_mode("own_policies:Either", "once")
    check_mode("own_policies:Either", "stream")
    with pytest.raises(ValueError, match="mode 'twice'"):
        check_mode("own_policies:Odd", "once")


def test_the_policy_that_is_meant() -> None:
    assert chosen_policy(None, "once") == "portfolio"
    assert chosen_policy("tp", "stream") == "tp"
    for policy in ("tp", "nobody's"):
        with pytest.raises(BadInputError, match="remedy"):
            chosen_policy(policy, "once")


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a-2", "a-3"]),
        (["a", "a-2", "a", "a"], ["a", "a-2", "a-3", "a-4"]),
        (["a", "a", "a-2", "a-2"], ["a", "a-3", "a-2", "a-2-2"]),
    ],
)
def test_jobs_of_one_name_are_numbered(given: list[str], made: list[str]) -> None:
    assert [workload.job.id for workload in distinct([named(name) for name in given])] == made
