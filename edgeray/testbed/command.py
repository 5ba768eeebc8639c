"""Run helper programs so that they never outlive us and their failures read well."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache

from edgeray.errors import TestbedError

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_DYING = ("setpriv", "--pdeathsig", "KILL", "--")


def dying_with_parent(argv: Sequence[str]) -> list[str]:
    """argv as a process that is killed when its parent is, so that a kill -9 of `up` stops its helpers too.

    Not by a preexec_fn: with one, Python runs its at-fork hooks, and a Ctrl-C that comes during the fork is lost in them.
    Where setpriv cannot do that (util-linux before 2.33), helpers of a killed `up` end by themselves.
    """
    return [*_DYING, *argv] if _can_die_with_parent() else list(argv)


@cache
def _can_die_with_parent() -> bool:
    try:
        return subprocess.run([*_DYING, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def enter_network_namespace(path: str) -> None:
    """Move this thread into the network namespace bound at path (os.setns exists from Python 3.12 on)."""
    with open(path) as file:  # noqa: PTH123
        if _LIBC.setns(file.fileno(), _CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"setns to {path}")


def run(
    argv: Sequence[str],
    *,
    what: str,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> str:
    """Standard output of argv. Raises TestbedError with what was attempted and what the program said."""
    if shutil.which(argv[0]) is None:
        raise TestbedError(f"{what}: {argv[0]} is not installed\n  remedy:   edgeray doctor")
    try:
        done = subprocess.run(
            dying_with_parent(argv),
            input=stdin,
            env=environment,
            text=True,
            capture_output=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"{what}: {argv[0]} did not end within {timeout_s:g} s") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing")[-2000:]
        raise TestbedError(f"{what}: {argv[0]} ended with {done.returncode} and said: {said}")
    return done.stdout
