"""A short film of square people."""

from __future__ import annotations

from pathlib import Path

import pytest
from square_people import film

from edgeray.streams import edge, feed, watch

FRAMES, PER_S = 240, 200.0
WALK = {"red": (0, 240, 4), "green": (30, 150, 36), "blue": (100, 240, 68)}
"""Three people, of whom one is seen throughout."""


@pytest.fixture(scope="session")
def street_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("film") / "street.avi", FRAMES, WALK, per_s=PER_S)


@pytest.fixture
def quick_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """What edges do once a second they do twenty times."""
    monkeypatch.setattr(edge, "TICK_S", 0.05)
    monkeypatch.setattr(watch, "STATE_S", 0.05)
    monkeypatch.setattr(feed, "GONE_S", 0.3)
