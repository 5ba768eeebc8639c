"""Rows of stores, and processes that write and read the files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from edgeray.streams.records import FrameResult, Identity, Record, Sighting

DEADLINE_S = 60.0
BATCH = 7
"""Records that the writing process adds at once."""

WRITER = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from edgeray.streams.store import DeviceStore, FrameResult

store = DeviceStore(Path(sys.argv[1]), "d")
frame = store.last
while True:
    last = store.add(
        FrameResult(camera="c", frame=frame + i, at_s=float(frame), latency_s=0.1, people=frame) for i in range({batch})
    )
    frame = last
    print(last, flush=True)
"""

READER = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from edgeray.streams import reading

seqs, count, growths = {}, 0, 0
while growths < int(sys.argv[2]):
    part = reading.stored(Path(sys.argv[1]), seqs, limit=50)
    if part is None or not part.seen:
        continue
    for seen in part.seen:
        assert seen.frame == count, (seen, count)
        count += 1
    seqs[part.epoch] = part.last
    growths += not part.more
print(len(seqs))
"""
"""Follows a store until it has caught up with its writer so often: every row once, in order. Prints how many epochs."""


def sighting(frame: int = 1, **values: object) -> Sighting:
    known = {"camera": "c", "at_s": frame / 5, "track": 1, "person": None, "box": (1.0, 2.0, 3.0, 4.5)}
    return Sighting(**{"frame": frame, **known, **values})  # type: ignore[arg-type]


def identity(track: int = 1, person: int = 1, **values: object) -> Identity:
    known = {"camera": "c", "similarity": 0.75, "at_s": 1.0, "features": b"\x00\x3c" * 256}
    return Identity(**{"track": track, "person": person, **known, **values})  # type: ignore[arg-type]


def frame_result(frame: int = 1, **values: object) -> FrameResult:
    known = {"camera": "c", "at_s": frame / 5, "latency_s": 0.125, "people": 1}
    return FrameResult(**{"frame": frame, **known, **values})  # type: ignore[arg-type]


def some_records(count: int) -> list[Record]:
    """Of all kinds in turn, no two alike."""
    kinds = (
        sighting,
        lambda number: identity(track=number, at_s=float(number)),
        frame_result,
        lambda number: sighting(number, camera="d", person=number),
    )
    return [kinds[number % len(kinds)](number) for number in range(count)]


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory, where there is one: what is done hundreds of times need not wait for a disk."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@contextmanager
def python(program: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs it, and that has ended afterwards, if need be by kill -9."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def kill_while_writing(path: Path, batches: int) -> int:
    """Have a process add to the store without end, and kill -9 it after so many batches; the last number it told."""
    with python(WRITER.format(batch=BATCH), path) as writer:
        assert writer.stdout is not None
        told = [int(_line(writer)) for _ in range(batches)]
        writer.kill()
        rest = writer.stdout.read().split("\n")
    return int(rest[-2]) if len(rest) > 1 else told[-1]


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return line
