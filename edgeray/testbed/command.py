"""Run helper programs so that they never outlive us and their failures read well."""

from __future__ import annotations

import ctypes
import signal
import subprocess
from collections.abc import Mapping, Sequence

from edgeray.errors import TestbedError

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000


def die_with_parent() -> None:
    """In a child before exec: be killed when the parent is, so that a kill -9 of `up` stops its helpers too."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


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
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            env=environment,
            text=True,
            capture_output=True,
            timeout=timeout_s,
            preexec_fn=die_with_parent,
        )
    except FileNotFoundError as error:
        raise TestbedError(f"{what}: {argv[0]} is not installed\n  remedy:   edgeray doctor") from error
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"{what}: {argv[0]} did not end within {timeout_s:g} s") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing")[-2000:]
        raise TestbedError(f"{what}: {argv[0]} ended with {done.returncode} and said: {said}")
    return done.stdout
