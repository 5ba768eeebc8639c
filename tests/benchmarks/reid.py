"""How well are people found, followed and known again in the street video? Against marks made by hand.

    python -m tests.benchmarks.reid [--json] [--sweep]

The pipeline of apps/reid on one camera: detect, track, embed at a track's first confirmed picture, gallery; at the
video's 10 pictures/s and at 3.2. What is scored, on the marks of tests/oracles/vtest-people.json that are not hidden:

recall, precision    of boxes of score >= 0.3 that overlap a mark by IoU >= 0.5 (and 0.4), one to one; a box on a hidden
                     person counts neither way. halves: the left and the right half of the picture looked at apart, as
                     cameras do that see a part of the place
covered              marks on which a confirmed track lies (IoU >= 0.3)
purity               of those, the part whose track (or number) belongs mostly to that person
right                marks whose number is the person's, when each person gets the one number that fits best
numbers_a_person     how many numbers a person has had, on average
came_back, known     people who left and came back, and those of them who still, or again, have a number from before
pairs                of somebody at one camera and somebody at another one, of different frames: recall and precision of
                     "the same person" at the gallery's threshold, when the other has the colours of apps/reid/job.yaml
--sweep: by the gallery's threshold, how well pairs of marked people are told apart (F1 over all pairs of different
frames), and the part of right numbers.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from edgeray.streams.sources import SourceSpec, open_source
from edgeray.streams.views import Look
from edgeray.vision.appearance import Embed
from edgeray.vision.gallery import Gallery
from edgeray.vision.inference import iou
from edgeray.vision.people import Detect
from edgeray.vision.pictures import Picture, cut
from edgeray.vision.tracking import Tracker

MARKS = Path(__file__).parents[1] / "oracles" / "vtest-people.json"
VIDEO = "vtest.avi"
FRAMES = 795
EVERY = 25  # frames from one marked frame to the next
SURE = 0.3
COLOURS = {  # of the cameras of apps/reid/job.yaml; `gate` has the video's own
    "gate": Look(),
    "north": Look(brightness=0.8),
    "south": Look(saturation=1.3),
    "yard": Look(brightness=1.15),
    "door": Look(hue_deg=8),
}
HALVES = ((0, 420), (348, 768))  # columns; they share what nobody is wider than

Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    person: str
    box: tuple[float, float, float, float]
    hidden: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Scores of the detector."""

    recall: float
    precision: float
    right: int
    missed: int
    wrong: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Scores of tracks, or of numbers, against people. count: of all that were given."""

    count: int
    covered: float
    purity: float
    right: float
    numbers_a_person: float
    came_back: int
    known: int


def marks() -> dict[int, list[Mark]]:
    told = json.loads(MARKS.read_text(encoding="utf-8"))
    return {
        int(frame): [Mark(person=m["person"], box=tuple(m["box"]), hidden=m["hidden"]) for m in listed]
        for frame, listed in told["frames"].items()
    }


def pictures() -> Iterator[tuple[int, Picture]]:
    for shot in open_source(SourceSpec(source=VIDEO)):
        yield shot.number, shot.picture


def detected(pictures: Mapping[int, Picture], halves: bool = False) -> dict[int, Boxes]:
    detect = Detect(min_score=SURE)
    if not halves:
        return {number: detect(picture)[0] for number, picture in pictures.items()}
    return {number: _in_halves(detect, picture) for number, picture in pictures.items()}


def _in_halves(detect: Detect, picture: Picture) -> Boxes:
    """Boxes of both halves, but those that the cut goes through; who stands in what they share counts once."""
    (_, end), (start, _) = HALVES
    left, _ = detect(np.ascontiguousarray(picture[:, :end]))
    right, _ = detect(np.ascontiguousarray(picture[:, start:]))
    right = right + np.array([start, 0, start, 0], np.float32)
    left, right = left[left[:, 2] < end - 4], right[right[:, 0] > start + 4]
    again = iou(left, right).max(axis=0, initial=0) > 0.45
    return np.concatenate([left, right[~again]])


def score_detection(
    found: Mapping[int, Boxes], marked: Mapping[int, Sequence[Mark]], least_iou: float
) -> Found:
    right = missed = wrong = 0
    for number, people in marked.items():
        overlap = _overlaps(people, found[number])
        hidden = np.array([mark.hidden for mark in people])
        pairs = _pairs(overlap, least_iou)
        right += sum(not hidden[row] for row in pairs)
        missed += sum(not hidden[row] and row not in pairs for row in range(len(people)))
        wrong += sum(
            column not in pairs.values() and overlap[hidden, column].max(initial=0) < 0.3
            for column in range(overlap.shape[1])
        )
    return Found(
        recall=right / (right + missed), precision=right / (right + wrong), right=right, missed=missed, wrong=wrong
    )  # fmt: skip


def _overlaps(people: Sequence[Mark], boxes: Boxes) -> npt.NDArray[np.float32]:
    return iou(np.array([mark.box for mark in people], np.float32).reshape(-1, 4), boxes)


def _pairs(overlap: npt.NDArray[np.float32], least: float) -> dict[int, int]:
    """Mark: box, one to one, of those that overlap enough."""
    rows, columns = linear_sum_assignment(-overlap)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= least}


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """A track in the picture in which it is confirmed. beside: tracks that are in it, too."""

    track: int
    time_s: float
    features: npt.NDArray[np.float32]
    beside: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """hits: by person, in order of time: marked frame and the track on it, 0 for none."""

    hits: Mapping[str, Sequence[tuple[int, int]]]
    firsts: Sequence[First]


def follow(frames: Sequence[int], marked: Mapping[int, Sequence[Mark]]) -> Run:
    """Detect, track and embed, on some of the video's frames."""
    detect, embed, tracker = Detect(), Embed(), Tracker()
    hits: dict[str, list[tuple[int, int]]] = defaultdict(list)
    firsts = []
    wanted = set(frames)
    for number, picture in pictures():
        if number not in wanted:
            continue
        boxes, scores = detect(picture)
        tracks = tracker.update(boxes, scores, number / 10)
        for track in tracks:
            if track.first:
                (features,) = embed([cut(picture, np.array(track.box, np.float32))])
                beside = tuple(other.id for other in tracks if other.id not in (0, track.id))
                firsts.append(First(track=track.id, time_s=number / 10, features=features, beside=beside))
        people = marked.get(number, ())
        pairs = _pairs(_overlaps(people, np.array([t.box for t in tracks], np.float32).reshape(-1, 4)), 0.3)
        for row, mark in enumerate(people):
            if not mark.hidden:
                hits[mark.person].append((number, tracks[pairs[row]].id if row in pairs else 0))
    return Run(hits=hits, firsts=firsts)


def numbers_of(firsts: Sequence[First], gallery: Gallery) -> dict[int, int]:
    """The number that a gallery gives each track."""
    numbers: dict[int, int] = {}
    for first in firsts:
        present = {numbers[track] for track in first.beside if track in numbers}
        match = gallery.identify(first.features, camera="street", time_s=first.time_s, present=present)
        numbers[first.track] = match.person
    return numbers


def score_identity(run: Run, marked: Mapping[int, Sequence[Mark]], numbers: Mapping[int, int]) -> Known:
    """numbers: what each track is called: its person's number, or its own to score the tracks."""
    given = {person: [numbers.get(track, 0) for _, track in listed] for person, listed in run.hits.items()}
    people = sorted(given)
    names = sorted({name for listed in given.values() for name in listed if name})
    table = np.array([[given[person].count(name) for name in names] for person in people])
    rows, columns = linear_sum_assignment(-table)
    total = sum(map(len, given.values()))
    back = [_before_and_after(run.hits[person], numbers, absence) for person, absence in absences(marked)]
    return Known(
        count=len(set(numbers.values())),
        covered=float(table.sum() / total),
        purity=float(table.max(axis=0).sum() / table.sum()),
        right=float(table[rows, columns].sum() / total),
        numbers_a_person=float((table > 0).sum(axis=1).mean()),
        came_back=len(back),
        known=sum(bool(before & after) for before, after in back),
    )


def absences(marked: Mapping[int, Sequence[Mark]]) -> list[tuple[str, int]]:
    """Who left and came back, and a marked frame in between, in which there is nothing of that person."""
    frames = sorted(marked)
    seen = defaultdict(list)
    for place, frame in enumerate(frames):
        for mark in marked[frame]:
            seen[mark.person].append(place)
    return [
        (person, frames[first + 1])
        for person, places in sorted(seen.items())
        for first, second in pairwise(places)
        if second > first + 1
    ]


def _before_and_after(
    hits: Sequence[tuple[int, int]], numbers: Mapping[int, int], absence: int
) -> tuple[set[int], set[int]]:
    """The numbers that somebody had before, and the one that most of the sightings after have."""
    before = {numbers[track] for frame, track in hits if frame < absence and track}
    after = Counter(numbers[track] for frame, track in hits if frame > absence and track)
    return before, {name for name, _ in after.most_common(1)}


def at_3_per_s() -> list[int]:
    """Frames at 3.2 a second which every marked frame is one of."""
    return sorted({int(step * EVERY / 8) for step in range(FRAMES * 8 // EVERY + 1)} | {FRAMES - 1})


def own_names(run: Run) -> dict[int, int]:
    """Every track is called by its own number."""
    return {first.track: first.track for first in run.firsts}


def looks_of(
    pictures: Mapping[int, Picture], marked: Mapping[int, Sequence[Mark]], look: Look
) -> tuple[list[tuple[int, Mark]], npt.NDArray[np.float32]]:
    """Marks that are not hidden, with their frames; and their features, as a camera of these colours sees them."""
    shown = [(n, m) for n, listed in sorted(marked.items()) for m in listed if not m.hidden]
    coloured = {number: look.coloured(picture) for number, picture in pictures.items()}
    return shown, Embed()([cut(coloured[n], np.array(m.box, np.float32)) for n, m in shown])


def between_cameras(
    pictures: Mapping[int, Picture], marked: Mapping[int, Sequence[Mark]]
) -> Iterator[tuple[str, dict[str, float]]]:
    """For each camera: pairs of somebody at `gate` and somebody there, of different frames, told apart by threshold."""
    threshold = Gallery().state()["threshold"]
    shown, at_gate = looks_of(pictures, marked, COLOURS["gate"])
    frame, person = np.array([n for n, _ in shown]), np.array([m.person for _, m in shown])
    apart, same = frame[:, None] != frame[None], person[:, None] == person[None]
    for name, look in COLOURS.items():
        alike = at_gate @ looks_of(pictures, marked, look)[1].T
        said, true = (alike >= threshold)[apart], same[apart]
        right = float((said & true).sum())
        yield name, {"recall": right / float(true.sum()), "precision": right / float(said.sum())}


def sweep(
    pictures: Mapping[int, Picture], marked: Mapping[int, Sequence[Mark]], runs: Mapping[str, Run]
) -> Iterator[dict[str, float]]:
    """By threshold: F1 of "the same person" over pairs of marks of different frames, of the video's halves and all; and
    the part of right numbers that each run would get."""
    shown, looks = looks_of(pictures, marked, Look())
    alike = looks @ looks.T
    frame = np.array([n for n, _ in shown])
    person = np.array([m.person for _, m in shown])
    apart = np.triu(frame[:, None] != frame[None])
    same = person[:, None] == person[None]
    first = frame < FRAMES // 2
    parts = {"first": np.outer(first, first), "second": np.outer(~first, ~first), "all": np.ones_like(same)}
    for threshold in np.arange(0.58, 0.77, 0.01):
        row = {"threshold": round(float(threshold), 2)}
        for name, part in parts.items():
            said, true = (alike >= threshold)[apart & part], same[apart & part]
            row[name] = float(2 * (said & true).sum() / (said.sum() + true.sum()))
        for name, run in runs.items():
            numbers = numbers_of(run.firsts, Gallery(threshold=row["threshold"]))
            row[f"right at {name}"] = score_identity(run, marked, numbers).right
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    parser.add_argument("--sweep", action="store_true", help="the threshold's choice, too")
    options = parser.parse_args()
    marked = marks()
    shown = {number: picture for number, picture in pictures() if number in marked}
    result: dict[str, Any] = {"people": len({m.person for listed in marked.values() for m in listed})}
    for name, halves in (("whole", False), ("halves", True)):
        found = detected(shown, halves)
        for least in (0.5, 0.4):
            result[f"detection, {name}, IoU {least}"] = asdict(score_detection(found, marked, least))
    runs = {"10/s": follow(range(FRAMES), marked), "3.2/s": follow(at_3_per_s(), marked)}
    for name, run in runs.items():
        result[f"tracks, {name}"] = asdict(score_identity(run, marked, own_names(run)))
        result[f"numbers, {name}"] = asdict(score_identity(run, marked, numbers_of(run.firsts, Gallery())))
    for name, pairs in between_cameras(shown, marked):
        result[f"pairs, gate and {name}"] = pairs
    if options.sweep:
        result["sweep"] = [*sweep(shown, marked, runs)]
    if options.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        if isinstance(value, dict):
            print(f"{key}: " + ", ".join(f"{name} {number:.3g}" for name, number in value.items()))
        elif isinstance(value, list):
            for row in value:
                print("  ".join(f"{name} {number:.3f}" for name, number in row.items()))
        else:
            print(f"{key}: {value}")


if __name__ == "__main__":
    main()
