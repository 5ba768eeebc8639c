"""What tests of the command share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_command import edgeray


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    """plan(text, *options, code=0): what `edgeray plan` says of a job file numbers.yaml with this text."""

    def run(text: str, *options: str, code: int = 0) -> Any:
        file = tmp_path / "numbers.yaml"
        file.write_text(text)
        done = edgeray("plan", file, *options, state=tmp_path / "state", code=code)
        return json.loads(done.stdout) if "--json" in options else done.stdout + done.stderr

    return run
