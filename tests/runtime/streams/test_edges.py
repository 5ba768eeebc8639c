"""Edges that work together: every frame once, everybody known once, and an end at which all is in the archive."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge_cases import Together, camera, mapped, until

@pytest.fixture(autouse=True)
def _quick(quick_edges: None) -> None:
    """Nobody waits a second for a tick."""


FRAMES = list(range(240))


def test_one_camera_on_its_own_device(tmp_path: Path, street_film: Path) -> None:
    job = Together(tmp_path, {"gate": camera("a", street_film)}, mapped(0, gate="aa"))
    job.wait_for_the_end()
    assert job.frames("gate") == FRAMES
    assert job.persons("gate") == {1: {1}, 2: {2}, 3: {3}}
    assert job.count("identify", "gate") == 3, "asked about once each"
