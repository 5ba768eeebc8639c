"""The learner: every bit that it acknowledged counts once, whatever comes again, late, or is killed in between."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_cases import (
    HELPERS,
    JOB,
    LEARNING,
    Clock,
    D,
    about,
    bits,
    feedback,
    learner_that_saw,
    policy_that_saw,
    quick_disk,
)

from edgeray.errors import BadInputError, FlowError
from edgeray.learner import service
from edgeray.learner.messages import UNKNOWN, plain_feedback
from edgeray.learner.service import LearnerService
from policies.bandit.registry import DISPATCHERS, make_dispatcher
from policies.model import JobId


@pytest.mark.parametrize("policy", LEARNING)
def test_its_state_is_that_of_a_policy_that_saw_the_same_bits(tmp_path: Path, policy: str) -> None:
    """To the bit, before and after it is started again; 160 decisions are enough for what fades to have faded."""
    learner = learner_that_saw(tmp_path, 160, policy)
    expected = policy_that_saw(range(1, 161), policy).state()
    assert learner.open(JOB, about(policy)) == expected
    assert LearnerService(tmp_path).open(JOB, about(policy)) == expected


@pytest.mark.parametrize("policy", DISPATCHERS)
def test_every_dispatcher_can_be_watched(tmp_path: Path, policy: str) -> None:
    clock = Clock()
    learner = LearnerService(tmp_path, clock)
    assert learner.open(JOB, about(policy)) is None
    assert learner.views()[JOB]["happy"] is None
    assert learner.merge(JOB, "e", 1, bits(1, 30)) == 30
    clock.now_s += 7
    view = learner.views()[JOB]
    told = [feedback(number) for number in range(1, 31)]
    assert view["policy"] == policy and view["items"] == 30 and view["age_s"] == 7
    assert view["happy"] == sum(bit.happy for bit in told) / 30
    assert {name: (arm["seen"], arm["happy"]) for name, arm in view["arms"].items()} == {
        name: (
            sum(bit.helper == name for bit in told),
            sum(bit.helper == name and bit.happy for bit in told),
        )
        for name in HELPERS
    }
    learns = policy in LEARNING
    assert (view["regret_proxy"] is not None) is learns
    assert all((arm["estimate"] is not None) is learns for arm in view["arms"].values())
    assert (learner.open(JOB, about(policy)) is not None) is learns
    again = LearnerService(tmp_path, clock).views()[JOB]
    assert again == view
    json.dumps(again, allow_nan=False)


def test_regret_is_the_best_estimate_less_the_chosen_ones_before_the_bit_is_learned(tmp_path: Path) -> None:
    learner = learner_that_saw(tmp_path, 40)
    lost = 0.0
    for number in range(1, 41):
        bit = feedback(number)
        estimates = policy_that_saw(range(1, number)).estimate(bit.offer)
        assert estimates is not None and ((estimates > 0) & (estimates < 1)).all()
        lost += float(estimates.max() - estimates[HELPERS.index(bit.helper)])
    view = learner.views()[JOB]
    assert view["regret_proxy"] == lost > 0
    assert [arm["estimate"] for arm in view["arms"].values()] == estimates.tolist()


def test_the_rule_for_doubles_overlaps_and_gaps(tmp_path: Path) -> None:
    learner = LearnerService(tmp_path)
    assert learner.merge(JOB, "e", 1, bits(1, 4)) == UNKNOWN
    learner.open(JOB, about())
    assert learner.merge(JOB, "e", 3, bits(3, 4)) == 0  # a gap
    assert learner.merge(JOB, "e", 1, bits(1, 4)) == 4
    assert learner.merge(JOB, "e", 1, bits(1, 4)) == 4  # a double
    assert learner.merge(JOB, "e", 6, bits(6, 7)) == 4  # a gap
    assert learner.merge(JOB, "e", 3, bits(3, 7)) == 7  # an overlap: its end is new
    assert learner.merge(JOB, "e", 2, bits(2, 3)) == 7  # an old one that comes late
    assert learner.merge(JOB, "e", 8, []) == 7
    assert learner.open(JOB, about()) == policy_that_saw(range(1, 8)).state()


def test_each_life_of_a_dispatcher_has_numbers_of_its_own(tmp_path: Path) -> None:
    """A batch of an earlier life that was under way when it was killed counts, too: it was learned."""
    learner = learner_that_saw(tmp_path, 5)
    assert learner.merge(JOB, "next", 1, bits(20, 22)) == 3
    assert learner.merge(JOB, "e", 6, bits(6, 7)) == 7
    assert learner.merge(JOB, "next", 1, bits(20, 23)) == 4
    assert learner.open(JOB, about()) == policy_that_saw([1, 2, 3, 4, 5, 20, 21, 22, 6, 7, 23]).state()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 6)),
        st.tuples(st.sampled_from(["arrive", "arrive and stay", "lose"]), st.integers(0, 9)),
        st.tuples(st.just("half a line, and again"), st.integers(1, 400)),
        st.tuples(st.sampled_from(["start again", "killed before the log went", "wait"]), st.just(0)),
    ),
    max_size=40,
)


@given(steps=STEPS, policy=st.sampled_from(LEARNING))
@settings(max_examples=120, deadline=None)
def test_nothing_is_lost_and_nothing_counts_twice_whatever_happens(
    steps: list[tuple[str, int]], policy: str
) -> None:
    """Batches are sent from what was acknowledged, and arrive in any order, twice, or never."""
    service_bits, service.SNAPSHOT_BITS = service.SNAPSHOT_BITS, 7
    try:
        with quick_disk() as folder:
            _run(folder, steps, policy)
    finally:
        service.SNAPSHOT_BITS = service_bits


def _run(folder: Path, steps: list[tuple[str, int]], policy: str) -> None:
    clock, acknowledged = Clock(), 0
    learner = LearnerService(folder, clock)
    learner.open(JOB, about(policy))
    on_their_way: list[tuple[int, list[dict[str, Any]]]] = []
    old_logs: dict[Path, bytes] = {}
    for step, value in steps:
        if step == "send":
            on_their_way.append((acknowledged + 1, bits(acknowledged + 1, acknowledged + value)))
        elif step.startswith("arrive") and on_their_way:
            first, batch = on_their_way[value % len(on_their_way)]
            if step == "arrive":
                on_their_way.remove((first, batch))
            old_logs = {path: path.read_bytes() for path in folder.glob("job-*/bits-*.jsonl")}
            have = learner.merge(JOB, "e", first, batch)
            assert have >= acknowledged, "it has forgotten what it acknowledged"
            acknowledged = have
        elif step == "lose" and on_their_way:
            on_their_way.pop(value % len(on_their_way))
        elif step == "half a line, and again":  # killed while it wrote one, which nobody was told of
            line = json.dumps({"epoch": "e", "number": acknowledged + 1, "heard_s": 1.0, "bits": bits(1, 1)})
            (state,) = folder.glob("job-*/state.json")
            with (state.parent / f"bits-{json.loads(state.read_text())['log']}.jsonl").open("a") as log:
                log.write(line[:value])
            learner = LearnerService(folder, clock)
        elif step == "start again":
            learner = LearnerService(folder, clock)
        elif (
            step == "killed before the log went"
        ):  # the snapshot was there, and the log before it still was, too
            for path, content in old_logs.items():
                if not path.exists():
                    path.write_bytes(content)
            learner = LearnerService(folder, clock)
        elif step == "wait":
            clock.now_s += 1
    expected = policy_that_saw(range(1, acknowledged + 1), policy).state() if acknowledged else None
    assert learner.open(JOB, about(policy)) == expected
    again = LearnerService(folder, clock)
    assert again.merge(JOB, "e", acknowledged + 2, []) == acknowledged
    assert again.views()[JOB]["items"] == acknowledged
    assert again.open(JOB, about(policy)) == expected


def test_helpers_are_known_by_name(tmp_path: Path) -> None:
    """Those that leave keep what was learned of them; new ones begin with nothing; the order is the asker's."""
    learner = learner_that_saw(tmp_path, 60, "toof")
    all_three = policy_that_saw(range(1, 61), "toof")
    all_three.resize([2, None, 0])
    assert learner.open(JOB, about("toof", ["c", "d", "a"])) == all_three.state()
    learner = LearnerService(tmp_path)
    assert list(learner.views()[JOB]["arms"]) == ["a", "b", "c", "d"]
    bit = replace(feedback(61, ("e", "b")), helper="e")
    assert learner.merge(JOB, "e", 61, [plain_feedback(bit)]) == 61  # a helper that nobody named before
    again = LearnerService(tmp_path)
    expected = policy_that_saw(range(1, 61), "toof")
    expected.resize([None, 1])
    for _ in range(bit.decisions):
        expected.decided()
    expected.feedback(bit.helpers.index(bit.helper), bit.offer, bit.happy)
    assert learner.open(JOB, about("toof", ["e", "b"])) == expected.state()
    assert again.open(JOB, about("toof", ["e", "b"])) == expected.state()


def test_helpers_that_never_come_back_are_given_up_past_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeray.learner import learned

    monkeypatch.setattr(learned, "KNOWN_HELPERS", 4)
    learner = learner_that_saw(tmp_path, 30, "toof")
    learner.open(JOB, about("toof", ["x"]))
    assert list(learner.views()[JOB]["arms"]) == ["a", "b", "c", "x"]
    expected = policy_that_saw(range(1, 31), "toof")
    expected.resize([None, 1])
    assert learner.open(JOB, about("toof", ["y", "b"])) == expected.state()
    assert list(learner.views()[JOB]["arms"]) == ["y", "b"]


@pytest.mark.parametrize("other", [about("ecolog"), about("hybrid", dimensions=D + 1)])
def test_another_policy_begins_with_nothing(tmp_path: Path, other: dict[str, Any]) -> None:
    learner = learner_that_saw(tmp_path, 20)
    assert learner.open(JOB, other) is None
    for service_ in (learner, LearnerService(tmp_path)):
        assert service_.views()[JOB]["items"] == 0
        assert service_.merge(JOB, "e", 5, []) == 0


def test_what_a_dispatcher_brings_takes_the_place_of_what_is_here(tmp_path: Path) -> None:
    learner = LearnerService(tmp_path)
    mine = policy_that_saw(range(1, 21)).state()
    assert learner.adopt(JOB, "new", about(), mine) == 0
    assert learner.merge(JOB, "new", 1, bits(21, 23)) == 3
    assert learner.adopt(JOB, "new", about(), mine) == 3  # a double that comes late changes nothing
    expected = policy_that_saw(range(1, 24)).state()
    assert learner.open(JOB, about()) == LearnerService(tmp_path).open(JOB, about()) == expected


def test_a_state_that_is_none_changes_nothing(tmp_path: Path) -> None:
    learner = learner_that_saw(tmp_path, 10)
    expected = learner.open(JOB, about())
    for wrong in (
        {},
        {"estimates": {}},
        policy_that_saw([1], "toof").state(),
        policy_that_saw([1], helpers=("a", "b")).state(),
        {"estimates": {**policy_that_saw([1]).state()["estimates"], "ridge": 0.0}},
        {"estimates": {**policy_that_saw([1]).state()["estimates"], "Z": [[["x"]]]}},
    ):
        with pytest.raises(BadInputError, match="expected: one of hybrid"):
            learner.adopt(JOB, "new", about(), wrong)
        assert learner.open(JOB, about()) == expected


def test_states_that_are_kept(tmp_path: Path) -> None:
    learner = LearnerService(tmp_path)
    told = {"policy": "djos", "helpers": ["u"], "dimensions": 0, "seed": 0}
    assert learner.keep(JOB, "e", 1, "{}") == UNKNOWN
    assert learner.open(JOB, told) is None
    assert learner.keep(JOB, "e", 2, '{"X": 0.1}') == 2
    assert learner.keep(JOB, "e", 1, '{"X": 7.0}') == 1  # an old one that comes late
    assert learner.open(JOB, told) == {"X": 0.1}
    assert learner.keep(JOB, "next life", 1, '{"X": 0.3}') == 1
    again = LearnerService(tmp_path)
    assert again.open(JOB, told) == {"X": 0.3}
    assert again.views()[JOB]["policy"] == "djos"
    assert again.merge(JOB, "e", 1, []) == UNKNOWN
    for wrong in ("[]", "", '{"X": NaN}', "[" * 10_000, '"' + "x" * (1 << 20) + '"', None):
        with pytest.raises(FlowError):
            again.keep(JOB, "next life", 5, wrong)  # type: ignore[arg-type]
    assert again.open(JOB, told) == {"X": 0.3}


def test_what_is_no_batch_changes_nothing(tmp_path: Path) -> None:
    learner = learner_that_saw(tmp_path, 5)
    expected = learner.open(JOB, about())
    other = plain_feedback(feedback(7, dimensions=D + 1))
    batches: list[Any] = [
        None,
        {},
        [3],
        [{}],
        bits(6, 6) * 1001,
        [*bits(6, 6), {**bits(7, 7)[0], "happy": 1}],
        [other],
    ]
    for batch in batches:
        with pytest.raises(FlowError):
            learner.merge(JOB, "e", 6, batch)
        assert learner.open(JOB, about()) == expected
    for epoch, first in (("", 6), (None, 6), ("e", 0), ("e", "6"), ("e", True)):
        with pytest.raises(FlowError):
            learner.merge(JOB, epoch, first, bits(6, 6))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"helpers": []},
        {"helpers": ["a", "a"]},
        {"helpers": "abc"},
        {"dimensions": 0},
        {"dimensions": "4"},
        {"seed": -1},
    ],
)
def test_jobs_that_say_wrong_things_of_themselves(tmp_path: Path, change: dict[str, Any]) -> None:
    learner = LearnerService(tmp_path)
    with pytest.raises(BadInputError, match="expected:"):
        learner.open(JOB, {**about(), **change})
    assert learner.views() == {}


def test_jobs_of_long_ago_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_JOBS", 3)
    clock = Clock()
    learner = LearnerService(tmp_path, clock)
    for name in ("one", "../two", "three%2F", "four"):
        clock.now_s += 1
        learner.open(JobId(name), about())
    assert list(learner.views()) == ["../two", "four", "three%2F"]
    assert list(LearnerService(tmp_path, clock).views()) == ["../two", "four", "three%2F"]
    assert len(list(tmp_path.iterdir())) == 3
    clock.now_s += service.FORGET_S
    learner.merge(JobId("four"), "e", 1, bits(1, 1))
    clock.now_s += 1
    learner.open(JobId("five"), about())
    assert list(LearnerService(tmp_path, clock).views()) == ["five", "four"]


def test_a_job_that_is_forgotten(tmp_path: Path) -> None:
    learner = learner_that_saw(tmp_path, 5)
    other = JobId("other")
    learner.open(other, about())
    assert list(learner.views([JOB, JobId("nobody")])) == [JOB]
    assert learner.forget(JOB) is True
    assert learner.forget(JOB) is False
    assert list(learner.views()) == [other] and learner.views([JOB]) == {}
    assert learner.forget(other) is True
    assert learner.views() == LearnerService(tmp_path).views() == {}
    assert list(tmp_path.iterdir()) == []
    assert learner.merge(JOB, "e", 1, bits(1, 1)) == UNKNOWN
    with pytest.raises(BadInputError, match="expected a name"):
        learner.forget(JobId("x" * 300))


def test_policies_are_made_as_the_dispatchers(tmp_path: Path) -> None:
    learner = learner_that_saw(tmp_path, 50, "ecolog")
    mine = make_dispatcher("ecolog", 3, D, np.random.default_rng(4))
    mine.restore(learner.open(JOB, about("ecolog")))  # type: ignore[attr-defined]
    theirs = policy_that_saw(range(1, 51), "ecolog")
    offers = [feedback(number).offer for number in range(100, 130)]
    assert [mine.choose(offer) for offer in offers] == [theirs.choose(offer) for offer in offers]
