"""Where a person went: visits out of sightings and names; the same answer however much has come to the archive."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_people import frame_result, identity, quick_folder, sighting

from edgeray.streams import reading
from edgeray.streams.archive import Archive
from edgeray.streams.everybody import everybody
from edgeray.streams.reading import Found, Part
from edgeray.streams.records import Identity, Record, Sighting
from edgeray.streams.store import DeviceStore
from edgeray.streams.trajectory import Named, Person, Seen, Visit, summaries, trajectory


def seen(
    at_s: float, *, device: str = "a", camera: str = "c", track: int = 1, person: int | None = None
) -> Seen:
    return Seen(device, camera, track, round(at_s * 10), at_s, person)


def named(
    person: int, *, camera: str = "c", track: int = 1, at_s: float = 0.0, similarity: float = 0.5
) -> Named:
    return Named(camera, track, person, at_s, similarity)


def told(visits: Sequence[Visit]) -> list[tuple[int, str, str, float, float]]:
    return [(v.person, v.camera, v.device, v.from_s, v.to_s) for v in visits]


def test_sightings_before_the_first_answer_belong_to_the_person_too() -> None:
    rows = [seen(1.0), seen(2.0), seen(3.0, person=7), seen(4.0, person=7)]
    assert trajectory(rows, [named(7, at_s=2.5)]) == (
        Visit(person=7, camera="c", device="a", from_s=1.0, to_s=4.0, tracks=(1,), frames=4),
    )


def test_a_later_answer_overrides_an_earlier_one_for_all_of_the_track() -> None:
    rows = [seen(1.0), seen(2.0, person=7), seen(3.0, person=8)]
    answers = [named(8, at_s=2.5, similarity=0.1), named(7, at_s=1.5, similarity=0.9)]
    assert told(trajectory(rows, answers)) == [(8, "c", "a", 1.0, 3.0)]
    assert trajectory(rows, answers, person=7) == ()


def test_of_two_answers_at_one_moment_the_surer_one_counts() -> None:
    answers = [named(3, similarity=0.8), named(9, similarity=0.7)]
    assert told(trajectory([seen(1.0)], answers)) == told(trajectory([seen(1.0)], answers[::-1]))
    assert told(trajectory([seen(1.0)], answers)) == [(3, "c", "a", 1.0, 1.0)]


def test_without_any_answer_a_track_is_whom_its_last_frame_was_said_to_show() -> None:
    rows = [seen(1.0, person=4), seen(3.0), seen(2.0, person=5)]
    assert told(trajectory(rows, [])) == [(5, "c", "a", 1.0, 3.0)]
    assert trajectory([seen(1.0), seen(2.0)], []) == ()  # nobody knows who that was


@pytest.mark.parametrize(("pause_s", "visits"), [(4.9, 1), (5.0, 1), (5.1, 2)])
def test_a_visit_ends_when_nobody_was_seen_for_gap_s(pause_s: float, visits: int) -> None:
    rows = [seen(0.0), seen(1.0), seen(1.0 + pause_s), seen(2.0 + pause_s)]
    assert len(trajectory(rows, [named(7)])) == visits
    assert len(trajectory(rows, [named(7)], gap_s=1.0)) == 2


def test_a_visit_ends_when_another_device_detects_and_the_track_goes_on() -> None:
    rows = [seen(1.0), seen(2.0), seen(2.1, device="b"), seen(4.0, device="b"), seen(4.1)]
    assert told(trajectory(rows, [named(7)])) == [
        (7, "c", "a", 1.0, 2.0),
        (7, "c", "b", 2.1, 4.0),
        (7, "c", "a", 4.1, 4.1),
    ]


def test_several_tracks_of_a_person_are_one_visit_and_share_frames() -> None:
    rows = [seen(1.0), seen(2.0), seen(2.0, track=5), seen(3.0, track=5)]
    answers = [named(7), named(7, track=5)]
    (visit,) = trajectory(rows, answers)
    assert (visit.tracks, visit.frames, visit.from_s, visit.to_s) == ((1, 5), 3, 1.0, 3.0)


def test_visits_to_all_cameras_come_in_order_of_time_whoever_they_are_of() -> None:
    rows = [seen(9.0), seen(1.0, camera="d"), seen(5.0, camera="e", track=2), seen(1.0, track=3)]
    answers = [named(7), named(7, camera="d"), named(2, camera="e", track=2), named(8, track=3)]
    assert told(trajectory(rows, answers)) == [
        (8, "c", "a", 1.0, 1.0),
        (7, "d", "a", 1.0, 1.0),
        (2, "e", "a", 5.0, 5.0),
        (7, "c", "a", 9.0, 9.0),
    ]
    assert told(trajectory(rows, answers, person=7)) == [(7, "d", "a", 1.0, 1.0), (7, "c", "a", 9.0, 9.0)]


def test_the_same_track_number_on_two_cameras_is_two_tracks() -> None:
    rows = [seen(1.0), seen(1.0, camera="d")]
    assert told(trajectory(rows, [named(7, camera="d")])) == [(7, "d", "a", 1.0, 1.0)]


def test_a_frame_that_two_devices_have_done_counts_once() -> None:
    rows = [seen(1.0), seen(2.0), seen(2.0, device="b"), seen(3.0, device="b")]
    visits = trajectory(rows, [named(7)])
    assert told(visits) == [(7, "c", "a", 1.0, 2.0), (7, "c", "b", 3.0, 3.0)]
    assert sum(visit.frames for visit in visits) == 3


def test_everybody_is_summed_up_by_number() -> None:
    rows = [seen(1.0), seen(20.0), seen(30.0, camera="d"), seen(2.0, track=2)]
    visits = trajectory(rows, [named(7), named(7, camera="d"), named(3, track=2)])
    assert summaries(visits) == (
        Person(person=3, visits=1, cameras=("c",), first_s=2.0, last_s=2.0),
        Person(person=7, visits=3, cameras=("c", "d"), first_s=1.0, last_s=30.0),
    )


@pytest.mark.parametrize(
    ("rows", "visits"),
    [
        ([seen(0.0), seen(5.0)], 1),
        ([seen(0.0), seen(5.1)], 2),
        ([seen(0.0), seen(5.1), seen(2.0, track=2)], 1),
        ([seen(0.0, device="b"), seen(0.0), seen(1.0), seen(1.0, device="b")], 1),
        ([seen(0.0, device="b"), seen(0.0, device="a"), seen(1.0, device="b")], 2),
        ([seen(0.0), seen(0.0, camera="d"), seen(0.0, camera="e"), seen(0.0, track=3)], 2),
    ],
)
def test_sqlite_sums_up_what_trajectory_finds(rows: list[Seen], visits: int) -> None:
    persons = {("c", 1): 7, ("c", 2): 7, ("d", 1): 7, ("nowhere", 1): 9}
    found = everybody(None, persons, rows)
    assert [(row.person, row.visits) for row in found] == [(7, visits)]
    answers = [named(who, camera=camera, track=track) for (camera, track), who in persons.items()]
    assert found == summaries(trajectory(rows, answers))


# Before, during and after synchronisation

DEVICES = ("a", "b", "h")
TIMES_S = st.integers(0, 300).map(lambda tenths: tenths / 10)
CAMERAS, TRACKS, PERSONS = st.sampled_from("cde"), st.integers(0, 3), st.integers(0, 2)
SIGHTINGS = st.builds(
    lambda camera, at_s, track, person: sighting(
        round(at_s * 10), camera=camera, at_s=at_s, track=track, person=person
    ),
    CAMERAS,
    TIMES_S,
    TRACKS,
    st.none() | PERSONS,
)
IDENTITIES = st.builds(
    lambda camera, track, person, at_s, similarity: identity(
        track, person, camera=camera, at_s=at_s, similarity=similarity
    ),
    CAMERAS,
    TRACKS,
    PERSONS,
    TIMES_S,
    st.sampled_from([0.25, 0.5, 0.75]),
)
RECORDS = st.lists(st.one_of(SIGHTINGS, SIGHTINGS, IDENTITIES, st.just(frame_result())), max_size=25)


def rows_of(written: dict[str, list[Record]]) -> tuple[list[Seen], list[Named]]:
    looks = [
        Seen(device, row.camera, row.track, row.frame, row.at_s, row.person)
        for device, records in written.items()
        for row in records
        if isinstance(row, Sighting)
    ]
    answers = [
        Named(row.camera, row.track, row.person, row.at_s, row.similarity)
        for records in written.values()
        for row in records
        if isinstance(row, Identity)
    ]
    return looks, answers


@given(written=st.fixed_dictionaries(dict.fromkeys(DEVICES, RECORDS)), seed=st.integers(0, 999))
def test_neither_order_nor_doubled_rows_change_the_answer(
    written: dict[str, list[Record]], seed: int
) -> None:
    looks, answers = rows_of(written)
    shuffled = random.Random(seed)
    mixed = [*looks, *shuffled.sample(looks, len(looks) // 2)]
    mixed_answers = [*answers, *shuffled.sample(answers, len(answers) // 2)]
    shuffled.shuffle(mixed)
    shuffled.shuffle(mixed_answers)
    visits = trajectory(looks, answers)
    assert trajectory(mixed, mixed_answers) == visits
    assert {person: trajectory(mixed, mixed_answers, person=person) for person in range(3)} == {
        person: tuple(visit for visit in visits if visit.person == person) for person in range(3)
    }


@given(written=st.fixed_dictionaries(dict.fromkeys(DEVICES, RECORDS)))
def test_every_sighting_of_a_named_track_is_in_one_visit(written: dict[str, list[Record]]) -> None:
    looks, answers = rows_of(written)
    visits = trajectory(looks, answers)
    known = {(row.camera, row.track) for row in answers} | {row.of for row in looks if row.person is not None}
    for look in looks:
        around = [
            visit
            for visit in visits
            if visit.camera == look.camera
            and visit.from_s <= look.at_s <= visit.to_s
            and look.track in visit.tracks
        ]
        assert bool(around) == (look.of in known)
        assert len({visit.person for visit in around}) <= 1
    assert all(visit.from_s <= visit.to_s and visit.frames >= 1 for visit in visits)


def write(folder: Path, written: dict[str, list[Record]]) -> dict[str, DeviceStore]:
    stores = {device: DeviceStore(folder / f"{device}.sqlite", device) for device in written}
    for device, records in written.items():
        stores[device].add(records)
    return stores


def parts_of(file: Path, after: dict[str, int], page: int) -> list[Part]:
    """A page at a time, as the scheduler asks for them."""
    parts, seqs = [], dict(after)
    while (part := reading.stored(file, seqs, limit=page)) is not None:
        parts.append(part)
        if not part.more:
            break
        seqs[part.epoch] = part.last
    return parts


@settings(max_examples=40, deadline=None)
@given(
    written=st.fixed_dictionaries(dict.fromkeys(DEVICES, RECORDS)),
    brought=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    doubled=st.integers(0, 5),
    page=st.integers(1, 9),
    data=st.data(),
)
def test_the_answer_is_the_same_however_much_has_been_brought(
    written: dict[str, list[Record]], brought: list[float], doubled: int, page: int, data: st.DataObject
) -> None:
    """doubled: so many rows come from a device that its archive has got, too, while it was asked."""
    looks, answers = rows_of(written)
    visits = trajectory(looks, answers)
    with quick_folder() as folder:
        archive, parts = Archive(folder / "archive.sqlite"), []
        for fraction, (device, store) in zip(brought, write(folder, written).items(), strict=True):
            have = archive.take(store.since(0, limit=int(fraction * store.last)))
            parts += parts_of(folder / f"{device}.sqlite", {store.epoch: max(0, have - doubled)}, page)
            store.close()
        archive.close()
        data.draw(st.randoms(use_true_random=False)).shuffle(parts)
        all_found = reading.find(folder / "archive.sqlite", parts, None)
        assert all_found.persons == summaries(visits)
        for person in range(3):
            found = reading.find(folder / "archive.sqlite", parts, person)
            assert found.visits == tuple(visit for visit in visits if visit.person == person)
            assert found.known == all_found.known == len(summaries(visits))


# Files


def test_pages_of_a_store_join_without_a_gap(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path / "a.sqlite", "a")
    records = [sighting(n) if n % 3 else identity(n, 2) for n in range(20)]
    store.add(records)
    parts = parts_of(tmp_path / "a.sqlite", {store.epoch: 4, "another": 15}, 6)
    assert [(part.last, part.more) for part in parts] == [(10, True), (16, True), (20, False)]
    assert [look.frame for part in parts for look in part.seen] == [n for n in range(4, 20) if n % 3]
    assert [row.track for part in parts for row in part.named] == [6, 9, 12, 15, 18]


def test_where_nothing_is_stored_nothing_is_found(tmp_path: Path) -> None:
    missing = tmp_path / "none.sqlite"
    assert reading.stored(missing, {}) is None
    assert reading.synced(missing) == ()
    assert reading.find(missing, (), 7) == Found(visits=(), persons=(), known=0)
    assert not missing.exists()
    missing.touch()  # a store that is just being made
    assert reading.stored(missing, {}) is None
    assert reading.synced(missing) == ()
    assert reading.find(missing, (), None) == Found(visits=(), persons=(), known=0)


def test_rows_of_an_epoch_that_ended_remain_readable(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive.sqlite")
    for number, at_s in ((1, 1.0), (2, 2.0)):
        store = DeviceStore(tmp_path / f"{number}.sqlite", "a")
        store.add([sighting(number, at_s=at_s), identity(1, 7)])
        archive.take(store.since(0))
    found = reading.find(tmp_path / "archive.sqlite", (), 7)
    assert told(found.visits) == [(7, "c", "a", 1.0, 2.0)]
    assert found.visits[0].frames == 2
