"""Jobs of a test that failed are ended: their sources would take the next one's packets."""

from __future__ import annotations

from collections.abc import Iterator

import frame_cases
import pytest


@pytest.fixture(autouse=True)
def _end_jobs() -> Iterator[None]:
    yield
    for job in frame_cases.begun:
        for stage in job.stages.values():
            stage.end()
    frame_cases.begun.clear()
