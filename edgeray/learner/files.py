"""A job's state on the disk: a snapshot, and a log of what came since, so that no bit costs a whole snapshot."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from policies.model import JobId

log = logging.getLogger(__name__)

_SNAPSHOT = "state.json"
_LOG = "bits-{}.jsonl"
_DAMAGED_LOG = "damaged.jsonl"
_JOB, _DAMAGED = "job-", "damaged-"


class JobFiles:
    """One folder. `append` and `write` return once what they were given is on the disk, also if the power fails.

    A snapshot names the log that follows on it, so that whenever a process is killed the two belong together: the next
    snapshot, with a new log, takes the place of both at once. Raises OSError when the disk does.
    """

    def __init__(self, root: Path, job: JobId) -> None:
        self._folder = root / f"{_JOB}{quote(job, safe='')}"
        self._aside = root / f"{_DAMAGED}{quote(job, safe='')}"
        self._number = 0
        self.whole = True

    def read(self) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """The snapshot, and the lines of its log; None: there is none. Raises ValueError for a damaged snapshot.

        A line that was being written when its process was killed is cut off; nobody was told that it was there. From a
        damaged line on nothing counts, and `whole` is not true.
        """
        self.whole = True
        if not (self._folder / _SNAPSHOT).exists():
            return None
        snapshot = json.loads((self._folder / _SNAPSHOT).read_bytes())
        if not isinstance(snapshot, dict) or type(snapshot.get("log")) is not int:
            raise ValueError("it names no log")
        self._number = snapshot["log"]
        lines = []
        path = self._log()
        if path.exists():
            content = path.read_bytes()
            ends = content.rfind(b"\n") + 1
            if ends < len(content):
                os.truncate(path, ends)
            for line in content[:ends].splitlines():
                try:
                    found = json.loads(line)
                except ValueError:
                    found = None
                if not isinstance(found, dict):
                    self.whole = False
                    break
                lines.append(found)
        return snapshot, lines

    def append(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n"
        new = not self._log().exists()
        with self._log().open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fdatasync(file.fileno())
        if new:
            _sync_folder(self._folder)

    def write(self, snapshot: Mapping[str, Any]) -> None:
        """In place of the snapshot before, and its log."""
        number = self._number + 1
        made = not self._folder.exists()
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{_SNAPSHOT}.partial"
        with partial.open("w", encoding="utf-8") as file:
            json.dump({**snapshot, "log": number}, file, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        (self._folder / _LOG.format(number)).unlink(missing_ok=True)  # of a snapshot that was lost
        partial.replace(self._folder / _SNAPSHOT)
        self._number = number
        _sync_folder(self._folder)
        if made:
            _sync_folder(self._folder.parent)
        self._drop_other_logs()

    def move_aside(self, why: str) -> None:
        """Files that are damaged, for a person to look at: those that were moved before are gone then."""
        shutil.rmtree(self._aside, ignore_errors=True)
        self._folder.replace(self._aside)
        self._number = 0
        log.error("%s: damaged (%s): moved to %s, and begun anew", self._folder, why, self._aside.name)

    def set_log_aside(self, why: str) -> None:
        """A log that is damaged, for a person to look at; use `write` next."""
        path = self._folder / _DAMAGED_LOG
        if self._log().exists():
            self._log().replace(path)
        log.error("%s: damaged (%s): it is %s now", self._log(), why, path.name)

    def drop(self) -> bool:
        """Whether there was something."""
        there = self._folder.exists() or self._aside.exists()
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(self._aside, ignore_errors=True)
        return there

    def _log(self) -> Path:
        return self._folder / _LOG.format(self._number)

    def _drop_other_logs(self) -> None:
        for path in self._folder.glob(_LOG.format("*")):
            if path != self._log():
                path.unlink(missing_ok=True)


def stored_jobs(root: Path) -> Iterator[JobId]:
    """The jobs that have files."""
    for folder in sorted(root.glob(f"{_JOB}*")):
        if folder.is_dir():
            yield JobId(unquote(folder.name.removeprefix(_JOB)))


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    entry = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
