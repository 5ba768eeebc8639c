"""A device's store: its numbers, what it takes, that it outlives a kill, and that others read it meanwhile."""

from __future__ import annotations

import math
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from stored_people import (
    BATCH,
    DEADLINE_S,
    READER,
    frame_result,
    identity,
    kill_while_writing,
    python,
    sighting,
    some_records,
)

from edgeray.errors import FlowError, StageError
from edgeray.streams import reading
from edgeray.streams.database import insert, open_to_write, read_only, transaction
from edgeray.streams.records import MAX_ROWS, Batch, check_batch, row_of
from edgeray.streams.store import DeviceStore, Record, last_seq


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def frames_read(path: Path) -> list[int]:
    part = reading.stored(path, {})
    assert part is not None
    return [seen.frame for seen in part.seen]


def test_rows_are_numbered_without_a_gap_over_all_kinds_and_come_back_in_order(path: Path) -> None:
    store, records = DeviceStore(path, "d"), some_records(30)
    assert store.last == 0
    assert store.add(records[:11]) == 11
    assert store.add(()) == 11
    assert store.add(records[11:]) == store.last == 30

    whole = store.since(0)
    assert (whole.device, whole.epoch, whole.first, whole.last) == ("d", store.epoch, 1, 30)
    assert whole.rows == tuple(map(row_of, records))
    pieces = [store.since(seq, limit=7) for seq in (0, 7, 14, 21, 28)]
    assert [(piece.first, piece.last) for piece in pieces] == [(1, 7), (8, 14), (15, 21), (22, 28), (29, 30)]
    assert tuple(row for piece in pieces for row in piece.rows) == whole.rows
    nothing = store.since(30)
    assert (nothing.rows, nothing.first, nothing.last) == ((), 31, 30)


def test_what_is_read_is_what_was_written_to_the_last_bit(path: Path) -> None:
    features = np.linspace(-1, 1, 512, dtype="<f2").tobytes()
    store = DeviceStore(path, "d")
    store.add(
        [
            sighting(camera="Straße 7", person=3, at_s=1.7e9 + 1 / 3, box=(0.1, -0.0, 1e-300, 640.25)),
            identity(features=features, similarity=1 / 3),
            frame_result(people=0, latency_s=1e-9),
        ]
    )
    assert store.since(0).rows == (
        (0, "Straße 7", 1, 1.7e9 + 1 / 3, 1, 3, 0.1, -0.0, 1e-300, 640.25),
        (1, "c", 1, 1, 1 / 3, 1.0, features),
        (2, "c", 1, 0.2, 1e-9, 0),
    )


def test_values_of_numpy_become_plain_ones(path: Path) -> None:
    store = DeviceStore(path, "d")
    box = tuple(np.float32([1, 2, 3, 4]))
    store.add([sighting(np.int64(5), at_s=np.float64(1.5), track=np.int32(2), box=box)])
    (row,) = store.since(0).rows
    assert row == (0, "c", 5, 1.5, 2, None, 1.0, 2.0, 3.0, 4.0)
    assert {type(value) for value in row} == {int, str, float, type(None)}


@pytest.mark.parametrize(
    "wrong",
    [
        sighting(at_s=math.nan),
        sighting(box=(0.0, 1.0, math.inf, 2.0)),
        sighting(box=(0.0, 1.0, 2.0)),
        sighting(camera=""),
        sighting(track=-1),
        identity(features=bytes(1 << 17)),
        frame_result(people=2**60),
    ],
)
def test_a_record_that_no_head_would_take_is_refused_with_all_that_came_with_it(
    path: Path, wrong: Record
) -> None:
    store = DeviceStore(path, "d")
    store.add([sighting()])
    with pytest.raises(ValueError, match=r"cannot be|names no camera|has \d+ values"):
        store.add([sighting(2), wrong])
    assert store.last == 1
    assert store.add([sighting(3)]) == 2


def test_a_store_that_is_opened_again_goes_on_and_a_new_file_begins_an_epoch(path: Path) -> None:
    first = DeviceStore(path, "d")
    first.add(some_records(5))
    first.close()
    again = DeviceStore(path, "d")
    assert (again.epoch, again.last) == (first.epoch, 5)
    again.close()
    path.unlink()
    lost = DeviceStore(path, "d")
    assert lost.last == 0
    assert lost.epoch != first.epoch


def test_a_file_that_is_none_of_this_devices_stores_is_refused_and_left_as_it_is(path: Path) -> None:
    DeviceStore(path, "other").close()
    with pytest.raises(StageError, match=r"is that of other\n.*a store of d, or none\n.*move the file away"):
        DeviceStore(path, "d")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StageError, match=r"it is of version 99\n  expected: a store of this version"):
        DeviceStore(path, "other")
    path.write_bytes(b"no database, but quite long " * 500)
    with pytest.raises(StageError, match=r"not a database\n.*expected.*\n.*move the file away"):
        DeviceStore(path, "d")
    assert path.read_bytes().startswith(b"no database")


def test_kill_9_loses_no_batch_that_was_committed_and_the_next_process_goes_on(path: Path) -> None:
    last, epochs = 0, set()
    for batches in (3, 1, 12):
        told = kill_while_writing(path, batches)
        assert told >= last + batches * BATCH
        part = reading.stored(path, {})  # nobody has the file open: its log is still to be gone through
        assert part is not None
        assert part.last >= told
        store = DeviceStore(path, "d")
        last = store.last
        assert last == part.last
        assert last % BATCH == 0  # whole batches only
        epochs.add(store.epoch)
        rows = store.since(0, limit=last).rows
        assert [row[2] for row in rows] == list(range(last))
        store.close()
    assert len(epochs) == 1


def test_another_process_reads_while_this_one_writes(path: Path) -> None:
    with python(READER, path, 20) as reader:
        until_s, store = time.monotonic() + DEADLINE_S, DeviceStore(path, "d")
        while reader.poll() is None:
            assert time.monotonic() < until_s
            store.add(sighting(store.last + number) for number in range(20))
        assert reader.communicate() == ("1\n", "")


def test_a_reader_sees_nothing_of_a_batch_that_is_half_written(path: Path) -> None:
    store = DeviceStore(path, "d")
    store.add([sighting(0)])
    writer = open_to_write(path, ())
    with transaction(writer):
        insert(writer, [(2, row_of(sighting(1)))])
        assert frames_read(path) == [0]
    assert frames_read(path) == [0, 1]
    with pytest.raises(ZeroDivisionError), transaction(writer):
        insert(writer, [(3, row_of(sighting(2)))])
        raise ZeroDivisionError
    writer.close()
    assert frames_read(path) == [0, 1]
    assert store.add([sighting(3)]) == 3


def test_a_reader_that_takes_its_time_holds_up_no_writer_and_sees_one_view(path: Path) -> None:
    store = DeviceStore(path, "d")
    store.add([sighting(0)])
    with read_only(path) as view:
        assert view is not None
        assert last_seq(view) == 1
        assert store.add([sighting(1)]) == 2
        assert last_seq(view) == 1
    assert frames_read(path) == [0, 1]


def test_half_an_hour_of_five_cameras_stays_well_under_100_megabytes(path: Path) -> None:
    """5 frames a second, 6 people on each: a hundredth of it is written here."""
    cameras, frames, people = 5, 30 * 60 * 5 // 100, 6
    store = DeviceStore(path, "d")
    for frame in range(frames):
        at_s = 1.7e9 + frame / 5
        for camera in map("camera-{}".format, range(cameras)):
            who = [
                sighting(
                    frame, camera=camera, at_s=at_s, track=n, person=n, box=(10.25 + n, 20.5, 60.75, 180.125)
                )
                for n in range(people)
            ]
            store.add([*who, frame_result(frame, camera=camera, at_s=at_s)])
        if frame % 5 == 0:  # a new track a second and camera
            store.add(identity(track=frame, camera=f"camera-{n}") for n in range(cameras))
    store.close()
    assert path.stat().st_size * 100 < 60e6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"device": ""}, "do not say which"),
        ({"epoch": 7}, "do not say which"),
        ({"first": 0}, "do not say which"),
        ({"first": True}, "do not say which"),
        ({"rows": [row_of(sighting())]}, "no rows"),
        ({"rows": (row_of(sighting()),) * (MAX_ROWS + 1)}, f"more than {MAX_ROWS}"),
        ({"rows": ((9, "c", 1),)}, "row 3 .* no known kind"),
        ({"rows": ((True, "c", 1),)}, "no known kind"),
        ({"rows": (row_of(sighting()), row_of(sighting())[:-1])}, "row 4 .* has 9 values, sightings have 10"),
        ({"rows": ((2, "c" * 201, 1, 1.0, 1.0, 1),)}, "names no camera"),
        ({"rows": ((2, "c", 1, 1.0, math.nan, 1),)}, "latency_s of frames cannot be nan"),
        ({"rows": ((2, "c", 1, 1, 1.0, 1),)}, "at_s of frames cannot be 1"),
        ({"rows": ((2, "c", 2**63, 1.0, 1.0, 1),)}, "frame of frames cannot be"),
        ({"rows": ((1, "c", 1, 1, 0.5, 1.0, "text"),)}, "features of identities cannot be 'text'"),
    ],
)
def test_what_arrives_is_checked_value_by_value(change: dict[str, object], told: str) -> None:
    batch = Batch(**{"device": "d", "epoch": "e", "first": 3, "rows": (), **change})  # type: ignore[arg-type]
    with pytest.raises(FlowError, match=told):
        check_batch(batch)


def test_what_is_no_batch_is_no_batch() -> None:
    with pytest.raises(FlowError, match="sent dict where rows"):
        check_batch({"device": "d"})
