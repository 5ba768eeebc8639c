"""Trace files: what is read, and that every mistake is named by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeray.errors import SpecError
from edgeray.spec import TraceEvent, load_trace


def read(folder: Path, text: str, name: str = "trace.yaml") -> tuple[TraceEvent, ...]:
    file = folder / name
    file.write_text(text)
    return load_trace(file)


def test_all_that_can_happen(tmp_path: Path) -> None:
    job, fails, returns, link = read(
        tmp_path,
        "events:\n"
        "  - {at: 2min, job: apps/camera, policy: joint, sources: e2, items: 5, seconds: 30s}\n"
        "  - {at: 5, fails: e2}\n"
        "  - {at: 6s, returns: e2}\n"
        "  - at: 500ms\n"
        "    link: e1-e2\n"
        "    capacity: 1Mbps\n",
    )
    assert (job.at_s, job.what, job.subject) == (120, "job", str(tmp_path / "apps/camera"))
    assert (job.policy, job.sources, job.items, job.seconds) == ("joint", "e2", 5, 30)
    assert (fails.at_s, fails.what, fails.subject) == (5, "fails", "e2")
    assert (returns.at_s, returns.what, returns.subject) == (6, "returns", "e2")
    assert (link.at_s, link.what, link.subject, link.capacity_bps) == (0.5, "link", "e1-e2", 1e6)
    assert link.where == f"{tmp_path / 'trace.yaml'}:5"


def test_a_table_is_the_same(tmp_path: Path) -> None:
    rows = 'at,job,fails,link,capacity\n1,"a, b.yaml",,,\n\n2s,,e2,,\n3s,,,e1-e2,1Mbps\n'
    events = read(tmp_path, rows, "trace.csv")
    assert [(event.at_s, event.what) for event in events] == [(1, "job"), (2, "fails"), (3, "link")]
    assert events[0].subject == str(tmp_path / "a, b.yaml")
    assert [event.where.rpartition(":")[2] for event in events] == ["2", "4", "5"]


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("events:\n  - {at: 0, fails: e1, returns: e2}\n", 2, "fails and returns"),
        ("events:\n  - {at: 0}\n", 2, "not what happens"),
        ("events:\n  - {fails: e1}\n", 2, "event 1 has no 'at'"),
        ("events:\n  - {at: 0, fails: e1}\n  - {at: x, fails: e1}\n", 3, "at of event 2: 'x' is no number"),
        ("events:\n  - {at: 0, fials: e1}\n", 2, "did you mean 'fails'?"),
        ("events:\n  - {at: 0, fails: e1,\n     items: 3}\n", 3, "`items` does not go with `fails`"),
        ("events:\n  - {at: 0, link: e1-e2}\n", 2, "has no `capacity`"),
        ("events:\n  - {at: 0, job: a, capacity: 1Mbps}\n", 2, "`capacity` does not go with `job`"),
        ("events:\n  - {at: 0, job: a, items: 1.5}\n", 2, "a whole number"),
        ("events:\n  - {at: 0, job: a, items: 0}\n", 2, "items of event 1"),
        ("events:\n  - later\n", 2, "event 1 is the text 'later'"),
        ("events: []\n", 1, "at least one entry"),
        ("evnts: []\n", 1, "did you mean 'events'?"),
    ],
)
def test_mistakes_in_yaml(text: str, line: int, told: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    assert caught.value.where == f"{tmp_path / 'trace.yaml'}:{line}"
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "'events' is empty"),
        ("at,fails\n", 1, "'events' is empty"),
        ("at,fial\n1,e1\n", 1, "did you mean 'fails'?"),
        ("at,at,fails\n1,1,e1\n", 1, "twice the column 'at'"),
        ("at,fails\n1,e1\n2,e1,e2\n", 3, "3 cells, the header 2"),
        ("at,fails\n1,e1\n-2,e1\n", 3, "is negative"),
        ("at,fails,returns\n1,e1,e2\n", 2, "fails and returns"),
    ],
)
def test_mistakes_in_a_table(text: str, line: int, told: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text, "trace.csv")
    assert caught.value.where == f"{tmp_path / 'trace.csv'}:{line}"
    assert told in str(caught.value)


def test_a_trace_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is not there"):
        load_trace(tmp_path / "nowhere.csv")
