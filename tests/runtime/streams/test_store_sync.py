"""How a store's rows come to the head's archive: nothing is lost and nothing is there twice, whatever the line does."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_people import identity, kill_while_writing, quick_folder, sighting, some_records

from edgeray.errors import FlowError
from edgeray.streams import reading
from edgeray.streams.archive import Archive
from edgeray.streams.records import KINDS, Batch, Row
from edgeray.streams.store import DeviceStore, Synchroniser


class Clock:
    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "archive.sqlite"


@pytest.fixture
def archive(file: Path) -> Archive:
    return Archive(file)


@pytest.fixture
def store(tmp_path: Path) -> DeviceStore:
    return DeviceStore(tmp_path / "store.sqlite", "d")


def archived(file: Path) -> list[tuple[str, str, int, Row]]:
    """Device, epoch, number and row of all that an archive has, in order."""
    found = []
    with closing(sqlite3.connect(file)) as connection:
        for number, kind in enumerate(KINDS):
            values = ", ".join(f"{kind.table}.{column}" for column in kind.columns)
            rows = connection.execute(
                f"SELECT device, epoch, {kind.table}.seq, name, {values} FROM {kind.table} "
                "JOIN sources ON sources.id = source JOIN cameras ON cameras.id = camera"
            )
            found += [(device, epoch, seq, (number, *row)) for device, epoch, seq, *row in rows]
    return sorted(found, key=lambda each: each[:3])


def of(store: DeviceStore) -> list[tuple[str, str, int, Row]]:
    batch = store.since(0, limit=10_000)
    return [(store.device, store.epoch, seq, row) for seq, row in enumerate(batch.rows, 1)]


def bring(synchroniser: Synchroniser, archive: Archive) -> list[int]:
    """Over a line on which all goes well; how many rows each batch had."""
    sizes = []
    while (batch := synchroniser.next_batch()) is not None:
        sizes.append(len(batch.rows))
        synchroniser.acknowledged(batch.epoch, archive.take(batch))
        assert len(sizes) < 100, "it does not come to an end"
    return sizes


def test_the_archive_has_every_row_of_the_store(store: DeviceStore, archive: Archive, file: Path) -> None:
    synchroniser = Synchroniser(store, batch_rows=8)
    assert synchroniser.next_batch() is None
    store.add(some_records(20))
    assert bring(synchroniser, archive) == [8, 8, 4]
    assert bring(synchroniser, archive) == []
    store.add(some_records(3))
    assert bring(synchroniser, archive) == [3]
    assert archived(file) == of(store)


def test_a_batch_that_nobody_acknowledged_is_sent_again_with_what_came_since(store: DeviceStore) -> None:
    synchroniser = Synchroniser(store, batch_rows=5)
    store.add(some_records(3))
    first = synchroniser.next_batch()
    store.add(some_records(4))
    again = synchroniser.next_batch()
    assert first is not None
    assert again is not None
    assert (first.first, first.last, again.first, again.last) == (1, 3, 1, 5)
    assert again.rows[:3] == first.rows


def test_the_rule_for_doubles_overlaps_and_gaps(store: DeviceStore, archive: Archive, file: Path) -> None:
    store.add(some_records(10))
    assert archive.take(store.since(4)) == 0  # a gap: left alone
    assert archived(file) == []
    assert archive.take(store.since(0, limit=4)) == 4
    assert archive.take(store.since(0, limit=4)) == 4  # a double
    assert archive.take(store.since(5, limit=2)) == 4  # a gap
    assert archive.take(store.since(2, limit=5)) == 7  # an overlap: its end is new
    assert archive.take(store.since(1, limit=3)) == 7  # an old one that comes late
    assert archive.take(store.since(7)) == 10
    assert archived(file) == of(store)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 7)),
        st.tuples(st.just("send"), st.integers(0, 0)),
        st.tuples(st.sampled_from(["arrive", "arrive and stay", "lose"]), st.integers(0, 9)),
        st.tuples(
            st.sampled_from(["device starts again", "head starts again", "device loses its file"]), st.just(0)
        ),
    ),
    max_size=40,
)


class Course:
    """A device and its head, with a line between them that doubles, loses and reorders; both may start again."""

    def __init__(self, folder: Path, batch_rows: int) -> None:
        self.folder, self.batch_rows = folder, batch_rows
        self.file = folder / "archive.sqlite"
        self.archive = Archive(self.file)
        self.under_way: list[Batch | tuple[str, int]] = []
        self.lost_files: list[tuple[str, str, int, Row]] = []
        self.open()

    def open(self) -> None:
        self.store = DeviceStore(self.folder / "store.sqlite", "d")
        self.synchroniser = Synchroniser(self.store, self.batch_rows)

    def step(self, name: str, value: int) -> None:
        match name:
            case "write":
                self.store.add(some_records(value))
            case "send":
                if (batch := self.synchroniser.next_batch()) is not None:
                    self.under_way.append(batch)
            case "arrive" | "arrive and stay" | "lose" if value < len(self.under_way):
                what = self.under_way[value] if name == "arrive and stay" else self.under_way.pop(value)
                if name != "lose":
                    self.deliver(what)
            case "device starts again":
                self.store.close()
                self.open()
            case "head starts again":
                self.archive.close()
                self.archive = Archive(self.file)
            case "device loses its file":
                self.lost_files += of(self.store)
                self.store.close()
                for file in self.folder.glob("store.sqlite*"):
                    file.unlink()
                self.open()

    def deliver(self, what: Batch | tuple[str, int]) -> None:
        if isinstance(what, Batch):
            self.under_way.append((what.epoch, self.archive.take(what)))
        else:
            self.synchroniser.acknowledged(*what)


@settings(max_examples=50, deadline=None)
@given(steps=STEPS, batch_rows=st.integers(1, 5))
def test_nothing_is_lost_or_doubled_whatever_the_line_does(
    steps: list[tuple[str, int]], batch_rows: int
) -> None:
    with quick_folder() as folder:
        course = Course(folder, batch_rows)
        for step in steps:
            course.step(*step)
            known = archived(course.file)
            written = {row[:3]: row for row in (*course.lost_files, *of(course.store))}
            assert Counter(row[:3] for row in known).total() == len({row[:3] for row in known})
            assert all(written[row[:3]] == row for row in known)
        bring(course.synchroniser, course.archive)
        epoch = course.store.epoch
        assert [row for row in archived(course.file) if row[1] == epoch] == of(course.store)
        course.archive.close()
        course.store.close()


def test_a_device_that_starts_again_learns_from_the_first_answer_what_the_head_has(
    store: DeviceStore, archive: Archive
) -> None:
    store.add(some_records(20))
    bring(Synchroniser(store), archive)
    store.add(some_records(1))
    assert bring(Synchroniser(store, batch_rows=6), archive) == [6, 1]


def test_a_head_that_lost_its_archive_is_brought_everything_again(
    store: DeviceStore, archive: Archive, tmp_path: Path
) -> None:
    synchroniser = Synchroniser(store, batch_rows=50)
    store.add(some_records(20))
    bring(synchroniser, archive)
    store.add(some_records(1))
    new = tmp_path / "new.sqlite"
    assert bring(synchroniser, Archive(new)) == [1, 21]
    assert archived(new) == of(store)


def test_an_acknowledgement_of_another_file_counts_for_nothing(store: DeviceStore) -> None:
    synchroniser = Synchroniser(store)
    store.add(some_records(3))
    synchroniser.acknowledged("another epoch", 3)
    batch = synchroniser.next_batch()
    assert batch is not None
    assert batch.first == 1


@pytest.mark.parametrize("seq", [4, -1])
def test_a_head_that_has_rows_that_were_never_written_is_an_error(store: DeviceStore, seq: int) -> None:
    store.add(some_records(3))
    with pytest.raises(FlowError, match=rf"has {seq} rows of the store of d, which has 3.*\n.*move the file"):
        Synchroniser(store).acknowledged(store.epoch, seq)


def test_what_a_killed_device_had_committed_comes_to_the_head(
    archive: Archive, file: Path, tmp_path: Path
) -> None:
    told = kill_while_writing(tmp_path / "killed.sqlite", batches=3)
    store = DeviceStore(tmp_path / "killed.sqlite", "d")
    bring(Synchroniser(store, batch_rows=10), archive)
    assert len(archived(file)) == store.last >= told


def test_a_wrong_batch_leaves_nothing_behind(store: DeviceStore, archive: Archive, file: Path) -> None:
    store.add(some_records(4))
    batch = store.since(0)
    with pytest.raises(FlowError, match="row 5 of its store wrong"):
        archive.take(replace(batch, rows=(*batch.rows, (0, "c"))))
    assert archived(file) == []
    assert archive.synced() == {}
    assert archive.take(batch) == 4


def test_synced_tells_of_each_devices_newest_epoch_and_when_it_was_heard_of(
    tmp_path: Path, file: Path
) -> None:
    clock = Clock()
    archive = Archive(file, clock)
    stores = {name: DeviceStore(tmp_path / f"{name}.sqlite", name) for name in ("a", "b")}
    for store in stores.values():
        store.add(some_records(6))
        bring(Synchroniser(store), archive)
    clock.now_s = 1010.0
    renewed = DeviceStore(tmp_path / "renewed.sqlite", "b")
    renewed.add(some_records(2))
    bring(Synchroniser(renewed), archive)
    told = {device: (row.epoch, row.seq, row.at_s) for device, row in archive.synced().items()}
    assert told == {"a": (stores["a"].epoch, 6, 1000.0), "b": (renewed.epoch, 2, 1010.0)}
    assert len(archived(file)) == 14  # the old epoch remains
    assert [(row.device, row.seq) for row in reading.synced(file)] == [("a", 6), ("b", 6), ("b", 2)]


def test_two_devices_may_say_the_same_of_the_same_camera(
    archive: Archive, file: Path, tmp_path: Path
) -> None:
    stores = [DeviceStore(tmp_path / f"{name}.sqlite", name) for name in "ab"]
    for store in stores:
        store.add([sighting(), identity()])
        bring(Synchroniser(store), archive)
    assert archived(file) == [row for store in stores for row in of(store)]


@pytest.fixture(autouse=True)
def _closed(store: DeviceStore, archive: Archive) -> Iterator[None]:
    yield
    store.close()
    archive.close()
