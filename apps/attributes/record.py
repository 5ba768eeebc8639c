"""Join all that is known of a frame, draw it, and write it down."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import cv2
from frames import Item

from edgeray.vision.pictures import Picture, to_pixels

_PALETTE = ((60, 180, 75), (25, 25, 230), (200, 130, 0), (48, 130, 245), (180, 30, 145), (240, 160, 70))
_GREY = (120, 120, 120)
_VEHICLE = (0, 130, 160)
_TEXT = (255, 255, 255)


class Fuse:
    """Makes one record a frame, and at the end of the stream a summary of each person and vehicle type.

    Writes into output: annotated.avi, records.jsonl (one line a frame, written as it comes) and tracks.json
    (at the end). The AVI stays readable when the job is stopped half-way.
    """

    def __init__(self, output: str, items_per_s: float = 10.0) -> None:
        self._folder = Path(output)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._items_per_s = items_per_s
        self._video: Any = None
        self._records = (self._folder / "records.jsonl").open("w", encoding="utf-8")
        self._frames = 0
        self._spans: dict[int, list[int]] = {}
        self._votes: dict[int, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        self._vehicles: Counter[str] = Counter()

    def __call__(
        self, detect: Item, upper: Item, lower: Item, ground: Item, track: Item, paint: Item
    ) -> Item:
        people = [
            {
                "id": int(track["ids"][i]),
                "box": [round(float(edge), 1) for edge in box],
                "score": round(float(detect["scores"][i]), 3),
                "upper": upper["upper"][i],
                "lower": lower["lower"][i],
                "ground": ground["ground"][i],
                "heading": track["heading"][i],
                "speed_px_s": round(float(track["speed_px_s"][i]), 1),
            }
            for i, box in enumerate(detect["people"])
        ]
        vehicles = [
            {
                "box": [round(float(edge), 1) for edge in box],
                "type": paint["types"][i],
                "colour": paint["colours"][i],
                "score": round(float(paint["scores"][i]), 3),
            }
            for i, box in enumerate(paint["vehicles"])
        ]
        record = {
            "frame": detect["frame"],
            "time_s": detect["time_s"],
            "people": people,
            "vehicles": vehicles,
        }
        self._remember(record)
        self._records.write(json.dumps(record) + "\n")
        self._draw(to_pixels(detect["image"]).copy(), record)
        return record

    def close(self) -> None:
        """Finish the video and write the summary."""
        if self._video is not None:
            self._video.release()
        self._records.close()
        (self._folder / "tracks.json").write_text(
            json.dumps(self._summary(), indent=1) + "\n", encoding="utf-8"
        )

    def _remember(self, record: Item) -> None:
        self._frames += 1
        for person in record["people"]:
            if not person["id"]:
                continue
            span = self._spans.setdefault(person["id"], [record["frame"], record["frame"], 0])
            span[1] = record["frame"]
            span[2] += 1
            for label in ("upper", "lower", "ground", "heading"):
                self._votes[person["id"]][label][person[label]] += 1
        self._vehicles.update(f"{vehicle['colour']} {vehicle['type']}" for vehicle in record["vehicles"])

    def _summary(self) -> Item:
        tracks = [
            {
                "id": id,
                "first_frame": first,
                "last_frame": last,
                "frames_seen": seen,
                **{label: votes.most_common(1)[0][0] for label, votes in self._votes[id].items()},
            }
            for id, (first, last, seen) in sorted(self._spans.items())
        ]
        return {
            "frames": self._frames,
            "tracks": tracks,
            "vehicle_sightings": dict(self._vehicles.most_common()),
        }

    def _draw(self, picture: Picture, record: Item) -> None:
        for vehicle in record["vehicles"]:
            _box(picture, vehicle["box"], _VEHICLE, f"{vehicle['colour']} {vehicle['type']}")
        for person in record["people"]:
            colour = _PALETTE[person["id"] % len(_PALETTE)] if person["id"] else _GREY
            name = f"{person['id'] or '?'} {person['upper']}/{person['lower']}"
            _box(picture, person["box"], colour, name, f"{person['heading']}, {person['ground']}")
        if self._video is None:
            size = (picture.shape[1], picture.shape[0])
            path = str(self._folder / "annotated.avi")
            self._video = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"XVID"), self._items_per_s, size)
            if not self._video.isOpened():
                raise OSError(f"cannot write {path}: is the disk full, or is OpenCV built without MPEG-4?")
        self._video.write(picture)


def _box(picture: Picture, box: list[float], colour: tuple[int, int, int], *lines: str) -> None:
    """Draw a box, and above it lines of white text on the box's colour, all inside the picture."""
    left, top, right, bottom = (round(edge) for edge in box)
    cv2.rectangle(picture, (left, top), (right, bottom), colour, 2)
    for number, line in enumerate(lines):
        (width, height), _ = cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, 0.35, 1)
        x = max(0, min(left, picture.shape[1] - width - 2))
        y = max(top - 4 - (height + 4) * (len(lines) - 1 - number), height + 2)
        cv2.rectangle(picture, (x, y - height - 2), (x + width + 2, y + 2), colour, cv2.FILLED)
        cv2.putText(picture, line, (x + 1, y), cv2.FONT_HERSHEY_SIMPLEX, 0.35, _TEXT, 1, cv2.LINE_AA)
