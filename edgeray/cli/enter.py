"""Commands that talk to the scheduler must run on the head device: this brings them there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from edgeray.errors import BadInputError
from edgeray.testbed import head_command, head_environment, require_current

INSIDE = "EDGERAY_INSIDE"


def be_on_head() -> None:
    """Return when this process can reach the scheduler; else run this very command again where it can.

    A process that Ray started (`ray job submit`), or one with RAY_ADDRESS set, is where it wants to be.
    Otherwise the cluster that is up on this machine is meant. Raises TestbedError when there is none.
    """
    if _is_on_head():
        return
    state = require_current()
    argv = head_command(state, [sys.executable, "-m", "edgeray.cli.main", *sys.argv[1:]])
    environment = {**os.environ, **head_environment(state), INSIDE: "1"}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(argv[0], argv, environment)  # noqa: S606 (our own command, as a list)


def head_process(command: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """argv and environment of a process that can reach the scheduler. Raises TestbedError when no cluster is up."""
    if _is_on_head():
        return list(command), dict(os.environ)
    state = require_current()
    return head_command(state, command), {**os.environ, **head_environment(state), INSIDE: "1"}


def _is_on_head() -> bool:
    names = (INSIDE, "RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR")
    return any(name in os.environ for name in names)


def run_on_head(command: Sequence[str]) -> int:
    """Run any command on the head device; its exit code. Raises BadInputError when it cannot be started."""
    state = require_current()
    argv = head_command(state, list(command))
    try:
        return subprocess.run(argv, env={**os.environ, **head_environment(state)}, check=False).returncode
    except FileNotFoundError as error:
        raise BadInputError(f"cannot run {command[0]!r}: {error.strerror}") from error
