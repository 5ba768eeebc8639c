"""Flows on loopback, made and closed for one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flow_ends import Flows


@pytest.fixture
def flows() -> Iterator[Flows]:
    found = Flows()
    yield found
    for end in found.made:
        end.close()
