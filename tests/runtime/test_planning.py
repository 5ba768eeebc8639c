"""Names of policies by mode, and names of jobs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgeray.errors import BadInputError
from edgeray.planning import chosen_policy, distinct, mode_of_all
from edgeray.policy_names import check_mode, default_policy, mode_of
from edgeray.spec import App
from policies.model import Job, JobId, Mode, Task, TaskId, Workload
from policies.registry import CAMERA_POLICIES, ONE_SHOT_POLICIES, POLICIES, TRAINING_POLICIES


def named(name: str) -> Workload:
    return Workload(job=Job(id=JobId(name), tasks=(Task(id=TaskId("a")),), flows=()))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Policies of a user's own: for one mode, for all, and one that says nonsense."""
    module = ModuleType("own_policies")

    def policy(name: str, **attributes: object) -> None:
        members = {"name": name, "decide": lambda self, snapshot, arrivals: None, **attributes}
        setattr(module, name, type(name, (), members))

    policy("Once", mode="once")
    policy("Loop", mode="loop")
    policy("Either")
    policy("Odd", mode="twice")
    monkeypatch.setitem(sys.modules, "own_policies", module)


def test_every_built_in_policy_is_for_one_mode() -> None:
    assert {mode_of(name) for name in POLICIES} == {"stream"}
    assert {mode_of(name) for name in ONE_SHOT_POLICIES} == {"once"}
    assert {mode_of(name) for name in TRAINING_POLICIES} == {"loop"}
    assert default_policy("stream") in POLICIES and default_policy("once") in ONE_SHOT_POLICIES
    assert {mode_of(name) for name in CAMERA_POLICIES} == {"cameras"}
    assert default_policy("loop") in TRAINING_POLICIES and default_policy("cameras") in CAMERA_POLICIES


def test_a_policy_of_ones_own_says_which_jobs_it_is_for(own: None) -> None:
    check_mode("own_policies:Once", "once")
    with pytest.raises(ValueError, match="not for streams; expected one of lr, br"):
        check_mode("own_policies:Once", "stream")
    check_mode("own_policies:Loop", "loop")
    with pytest.raises(ValueError, match=r"not for split training \(kind: .*; expected one of vanilla-fl"):
        check_mode("own_policies:Once", "loop")
    with pytest.raises(ValueError, match=r"is for split training .* not for one-shot jobs"):
        check_mode("edgesplit", "once")
    with pytest.raises(ValueError, match=r"not for cameras \(kind: streams\); expected one of nmno, wmno"):
        check_mode("joint", "cameras")
    with pytest.raises(ValueError, match=r"'jstsh' is for cameras \(kind: streams\), not for streams"):
        check_mode("jstsh", "stream")
    modes: tuple[Mode, ...] = ("once", "stream", "loop", "cameras")
    for mode in modes:
        check_mode("own_policies:Either", mode)
    with pytest.raises(ValueError, match="mode 'twice'"):
        check_mode("own_policies:Odd", "once")


def test_the_policy_that_is_meant() -> None:
    assert chosen_policy(None, "once") == "portfolio"
    assert chosen_policy("tp", "stream") == "tp"
    assert chosen_policy(None, "loop") == "edgesplit-overlap"
    assert chosen_policy("vanilla-fl", "loop") == "vanilla-fl"
    for policy in ("tp", "nobody's"):
        with pytest.raises(BadInputError, match="remedy"):
            chosen_policy(policy, "once")


def test_jobs_of_one_mode_are_planned_together(tmp_path: Path) -> None:
    def app(mode: Mode) -> App:
        job = Job(id=JobId(mode), tasks=(Task(id=TaskId("a")),), flows=(), mode=mode)
        file = tmp_path / f"{mode}.yaml"
        return App(job=job, code={}, sources={}, folder=tmp_path, file=file, needs_profile=False)

    assert mode_of_all([app("loop"), app("loop")]) == "loop"
    with pytest.raises(BadInputError, match=r"once.yaml is a one-shot job .* and .*loop.yaml trains a model"):
        mode_of_all([app("once"), app("loop")])
    with pytest.raises(BadInputError, match=r"is a stream and .*a one-shot job .* and .*trains a model"):
        mode_of_all([app("stream"), app("once"), app("loop"), app("once")])


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
