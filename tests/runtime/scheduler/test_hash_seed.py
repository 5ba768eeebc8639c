"""The same events give the same effects in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CASE = Path(__file__).with_name("hash_seed_case.py")


def effects(seed: str) -> bytes:
    done = subprocess.run(
        [sys.executable, str(CASE)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_effects_do_not_depend_on_the_hash_seed() -> None:
    first = effects("1")
    for kind in (b"ApplyNetwork", b"DeployStage", b"PaceStage", b"StartTransfer", b"StopStage"):
        assert kind in first, "the history shows every kind of effect"
    assert effects("2") == first
