"""The learner's files: what it acknowledged is there after a kill; what is damaged is moved aside, and begun anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from learner_cases import (
    JOB,
    Clock,
    about,
    bits,
    kill_while_merging,
    learner_that_saw,
    policy_that_saw,
)

from edgeray.learner import files, service
from edgeray.learner.messages import UNKNOWN
from edgeray.learner.service import LearnerService
from policies.model import JobId


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(f"job-*/{pattern}")
    return path


def test_a_learner_that_is_killed_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    have = 0
    for batches in (1, 4, 9):
        acknowledged = kill_while_merging(tmp_path, batches)
        learner = LearnerService(tmp_path)
        before, have = have, learner.merge(JOB, "life", 10**6, [])
        assert have >= acknowledged > before
        assert learner.open(JOB, about()) == policy_that_saw(range(1, have + 1)).state()


def test_a_snapshot_takes_the_place_of_a_long_log_but_not_twice_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "SNAPSHOT_BITS", 10)
    clock = Clock()
    learner = learner_that_saw(tmp_path, 5, clock=clock)
    first = only(tmp_path, "bits-*.jsonl").name
    learner.merge(JOB, "e", 6, bits(6, 30))
    assert (
        only(tmp_path, "bits-*.jsonl").name == first
    )  # the job was opened, and so written, this very second
    clock.now_s += 1
    learner.merge(JOB, "e", 31, bits(31, 32))
    assert not list(tmp_path.glob("job-*/bits-*.jsonl"))
    clock.now_s -= 3600  # whoever sets the clock back waits for no hour
    learner.merge(JOB, "e", 33, bits(33, 45))
    assert not list(tmp_path.glob("job-*/bits-*.jsonl"))
    assert LearnerService(tmp_path).open(JOB, about()) == policy_that_saw(range(1, 46)).state()


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    damaged = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "zeros": bytes(len(content)),
        "another": b'{"log": 1}\n',
        "text": b'{"log": 1, "version": 1, "policy": "x", "epochs": 3, "heard_s": 1, "learned": 5}\n',
        "words": content.replace(b"theta", b"thetb").replace(b"happy", b"hoppy"),
    }
    path.write_bytes(damaged[kind])


@pytest.mark.parametrize("kind", ["empty", "half", "zeros", "another", "text", "words"])
def test_a_damaged_snapshot_is_moved_aside_and_said(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    learner_that_saw(tmp_path, 20)
    other = JobId("other")
    healthy = LearnerService(tmp_path)
    healthy.open(other, about())
    damage(tmp_path / f"job-{JOB}" / "state.json", kind)
    learner = LearnerService(tmp_path)
    assert list(learner.views()) == [other]
    assert "damaged" in caplog.text and (tmp_path / f"damaged-{JOB}" / "state.json").exists()
    assert learner.merge(JOB, "e", 21, bits(21, 22)) == UNKNOWN
    assert learner.open(JOB, about()) is None
    assert learner.merge(JOB, "e", 1, bits(1, 2)) == 2
    assert LearnerService(tmp_path).merge(JOB, "e", 9, []) == 2


def test_damaged_files_alone_are_something_to_forget(tmp_path: Path) -> None:
    learner_that_saw(tmp_path, 3)
    damage(tmp_path / f"job-{JOB}" / "state.json", "half")
    learner = LearnerService(tmp_path)
    assert learner.views() == {} and learner.forget(JOB) is True
    assert list(tmp_path.iterdir()) == [] and learner.forget(JOB) is False


@pytest.mark.parametrize("damaged", [b"{}\n", b"nonsense\n", b"\xff\xfe\n", b'{"epoch": 1, "bits": 4}\n'])
def test_of_a_damaged_log_counts_what_comes_before(
    tmp_path: Path, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    learner = learner_that_saw(tmp_path, 5)
    learner.merge(JOB, "e", 6, bits(6, 8))
    learner.merge(JOB, "e", 9, bits(9, 12))
    path = only(tmp_path, "bits-*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + damaged + lines[2])
    for _ in range(2):
        again = LearnerService(tmp_path)
        assert again.merge(JOB, "e", 9, bits(9, 12)) == 5
        assert again.open(JOB, about()) == policy_that_saw(range(1, 6)).state()
    assert "damaged" in caplog.text and only(tmp_path, "damaged.jsonl").exists()


@pytest.mark.parametrize("lost", ["the snapshot", "the newest snapshot"])
def test_a_log_whose_snapshot_is_lost_counts_for_nothing(tmp_path: Path, lost: str) -> None:
    clock = Clock()
    learner = LearnerService(tmp_path, clock)
    learner.open(JOB, about())
    path = tmp_path / f"job-{JOB}" / "state.json"
    old = path.read_bytes()
    learner.adopt(JOB, "later", about(), policy_that_saw([1, 2]).state())
    learner.merge(JOB, "e", 1, bits(1, 5))
    path.unlink()
    if lost == "the newest snapshot":
        path.write_bytes(old)
    again = LearnerService(tmp_path, clock)
    assert again.open(JOB, about()) is None
    again.adopt(JOB, "later still", about(), policy_that_saw([7]).state())
    assert again.merge(JOB, "e", 1, bits(8, 9)) == 2
    expected = policy_that_saw([7, 8, 9]).state()
    assert again.open(JOB, about()) == LearnerService(tmp_path).open(JOB, about()) == expected


def test_a_disk_that_fails_is_not_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_that_saw(tmp_path, 5)

    def full(self: files.JobFiles, line: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.JobFiles, "append", full)
        with pytest.raises(OSError, match="No space"):
            learner.merge(JOB, "e", 6, bits(6, 8))
    assert learner.merge(JOB, "e", 9, []) == 5
    assert learner.merge(JOB, "e", 6, bits(6, 8)) == 8
    assert learner.open(JOB, about()) == policy_that_saw(range(1, 9)).state()


def test_a_disk_that_was_lost_under_it(tmp_path: Path) -> None:
    """Whoever removes the folder of a running learner loses no job: its next snapshot makes it again."""
    learner = learner_that_saw(tmp_path, 5)
    shutil.rmtree(tmp_path / f"job-{JOB}")
    with pytest.raises(OSError):
        learner.merge(JOB, "e", 6, bits(6, 6))
    assert learner.merge(JOB, "e", 6, bits(6, 6)) == UNKNOWN  # it was honest about it
    assert learner.open(JOB, about()) is None
