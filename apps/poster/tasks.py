"""Where people walk: stretches of a video to maps of what moved, to one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeray.assets import asset

Picture = npt.NDArray[np.uint8]  # (height, width, 3) BGR
Seen = dict[
    str, Any
]  # background: Picture; heat: (height, width) float32 in [0, 1]; people: one count a frame

PARTS = 4
FRAMES = 24  # looked at in a stretch
_MOVED = 28  # grey levels that a pixel differs from the background where somebody is
_PERSON = (500, 12_000)  # pixels that a person covers, at least and at most
_CHART = 110  # rows of the picture below the scene

cv2.setNumThreads(1)  # a task is measured and placed as the work of one core


def stretch(video: str, part: int, output: str) -> Path:
    """Cut the part-th of four stretches out of the video: every so many frames, as motion JPEG.

    Reads the video from the disk of its device; the file that it returns travels to its consumer.
    """
    source = cv2.VideoCapture(str(asset(video)))
    total = int(source.get(cv2.CAP_PROP_FRAME_COUNT))
    first, step = (part - 1) * total // PARTS, total // PARTS // FRAMES
    size = int(source.get(cv2.CAP_PROP_FRAME_WIDTH)), int(source.get(cv2.CAP_PROP_FRAME_HEIGHT))
    frames_per_s = source.get(cv2.CAP_PROP_FPS) / step
    path = Path(output, f"stretch{part}.avi")
    written = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), frames_per_s, size)
    for number in range(first + step * FRAMES):
        source.grab()
        if number >= first and (number - first) % step == 0:
            written.write(source.retrieve()[1])
    written.release()
    source.release()
    return path


def watch(path: Path) -> Seen:
    """What stands still in a stretch, what moved where, and how many people each frame shows."""
    frames = np.stack(_frames(path))
    background = np.median(frames, axis=0).astype(np.uint8)
    heat = np.zeros(background.shape[:2], np.float32)
    people = []
    for frame in frames:
        moved = cv2.absdiff(frame, background).max(axis=2)
        mask = cv2.morphologyEx(
            (moved > _MOVED).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((15, 7), np.uint8)
        )
        _, _, areas, _ = cv2.connectedComponentsWithStats(mask)
        sizes = areas[1:, cv2.CC_STAT_AREA]
        people.append(int(((sizes >= _PERSON[0]) & (sizes <= _PERSON[1])).sum()))
        heat += mask
    return {"background": background, "heat": heat / len(frames), "people": people}


def merge(*seen: Seen) -> Seen:
    """One scene of all stretches."""
    return {
        "background": np.median([one["background"] for one in seen], axis=0).astype(np.uint8),
        "heat": np.mean([one["heat"] for one in seen], axis=0),
        "people": [count for one in seen for count in one["people"]],
    }


def poster(scene: Seen, output: str) -> Path:
    """Draw the scene with its busy places, and below it the number of people over time. Returns a PNG."""
    grey = cv2.cvtColor(cv2.cvtColor(scene["background"], cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    heat = cv2.GaussianBlur(scene["heat"], (0, 0), 9)
    share = np.clip(heat / max(float(np.quantile(heat, 0.995)), 1e-6), 0, 1)[..., None]
    colours = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    picture = (grey * (1 - 0.75 * share) + colours * 0.75 * share).astype(np.uint8)
    path = Path(output, "poster.png")
    if not cv2.imwrite(str(path), np.vstack([picture, _chart(scene["people"], picture.shape[1])])):
        raise OSError(f"cannot write {path}")
    return path


def summary(scene: Seen) -> dict[str, Any]:
    """The numbers behind the picture. busiest: column and row of the place where most moved."""
    row, column = np.unravel_index(
        int(cv2.GaussianBlur(scene["heat"], (0, 0), 9).argmax()), scene["heat"].shape
    )
    people = scene["people"]
    return {
        "frames": len(people),
        "people_mean": round(float(np.mean(people)), 2),
        "people_most": max(people),
        "busiest": [int(column), int(row)],
        "people": people,
    }


def _frames(path: Path) -> list[Picture]:
    source = cv2.VideoCapture(str(path))
    frames = []
    while (read := source.read())[0]:
        frames.append(np.asarray(read[1], np.uint8))
    source.release()
    if not frames:
        raise ValueError(f"{path} holds no frame that OpenCV can read")
    return frames


def _chart(people: list[int], width: int) -> Picture:
    chart = np.full((_CHART, width, 3), 24, np.uint8)
    columns = np.linspace(12, width - 12, len(people))
    rows = _CHART - 14 - np.array(people) / max(*people, 1) * (_CHART - 50)
    line = np.stack([columns, rows], axis=1).astype(np.int32)
    cv2.polylines(chart, [line], False, (80, 170, 250), 2, cv2.LINE_AA)
    text = f"people in view over time: {np.mean(people):.1f} on average, {max(people)} at most"
    cv2.putText(chart, text, (12, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (230, 230, 230), 1, cv2.LINE_AA)
    return chart
