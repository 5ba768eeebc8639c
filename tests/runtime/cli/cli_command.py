"""The command as a person types it, and files for it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from edgeray.cli.main import main

ROOT = Path(__file__).parents[3]
FIG32 = ROOT / "tests" / "oracles" / "fig32" / "job.yaml"
CLUSTER = ROOT / "cluster" / "fig32.yaml"

ONCE = """
kind: dataflow
mode: once
name: survey
tasks:
  read: {work: 20}
  left: {inputs: {read: 4B}, work: 100}
  right: {inputs: {read: 4B}, work: 120}
  join: {inputs: {left: 2B, right: 2B}, work: 40}
"""


def edgeray(*args: object, state: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run it in this process, without a cluster; checks the exit code, and that nobody sees a traceback."""
    argv, out, err = ["edgeray", *map(str, args)], io.StringIO(), io.StringIO()
    handler = signal.getsignal(signal.SIGTERM)
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.dict(os.environ, _environment(state), clear=True),
        _at_root(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            returned = end.code
        finally:
            signal.signal(signal.SIGTERM, handler)
    assert isinstance(returned, int)
    return _checked(subprocess.CompletedProcess(argv, returned, out.getvalue(), err.getvalue()), code)


def edgeray_process(
    *args: object, state: Path, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "edgeray.cli.main", *map(str, args)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=_environment(state) | environment,
        timeout=120,
        check=False,
    )
    return _checked(done, code)


@contextlib.contextmanager
def _at_root() -> Iterator[None]:
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        yield
    finally:
        os.chdir(before)


def _environment(state: Path) -> dict[str, str]:
    variables = {**os.environ, "EDGERAY_STATE_DIR": str(state), "COLUMNS": "140"}
    variables.pop("RAY_ADDRESS", None)
    return variables


def _checked(done: subprocess.CompletedProcess[str], code: int) -> subprocess.CompletedProcess[str]:
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr + done.stdout
    return done
