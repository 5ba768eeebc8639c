"""What happened to each job, on disk, so that a scheduler that was killed and came back can name what it lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeray.scheduler.views import JobView, ended_view
from policies.model import JobId


class Journal:
    """Appends one JSON line a change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, at_s: float, job: JobId, app: str, policy: str, phase: str, detail: str) -> None:
        line = json.dumps(
            {"at_s": at_s, "job": job, "app": app, "policy": policy, "phase": phase, "detail": detail}
        )
        with self._path.open("a") as file:
            file.write(line + "\n")

    def story(self, job: JobId) -> list[dict[str, Any]]:
        """All changes of one job, oldest first."""
        return [row for row in self._rows() if row["job"] == job]

    def last(self) -> dict[JobId, dict[str, Any]]:
        """The last change of every job."""
        return {JobId(row["job"]): row for row in self._rows()}

    def _rows(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        rows = []
        for line in self._path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:  # the line that was being written when the scheduler was killed
                continue
        return rows


def name_the_lost(journal: Journal, now_s: float) -> dict[JobId, JobView]:
    """The jobs of earlier schedulers. Those that one had under way when it was killed have ended, by name."""
    found = {}
    for job, row in journal.last().items():
        phase, detail = row["phase"], row["detail"]
        if phase not in ("done", "stopped", "failed"):
            phase, detail = "failed", f"the scheduler was killed while the job was {phase}"
            journal.add(now_s, job, row["app"], row["policy"], phase, detail)
        found[job] = ended_view(job, row, phase, detail)
    return found
