"""`edgeray ui` of a cluster that only talks, as a process of its own, and how tests steer it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND = Path(__file__).with_name("live_command.py")
WAIT_S = 60.0


class LivePage:
    """url and token as the command printed them."""

    def __init__(self, process: subprocess.Popen[str], control: Path, url: str, token: str) -> None:
        self.process = process
        self.url = url
        self.token = token
        self._control = control

    @property
    def base(self) -> str:
        return self.url.partition("/#")[0]

    def trouble(self, **what: Any) -> None:
        """What goes wrong from now on; nothing without arguments."""
        partial = self._control.with_suffix(".partial")
        partial.write_text(json.dumps(what))
        partial.replace(self._control)

    def end(self) -> tuple[int, str]:
        """Ctrl-C; its exit code and what it said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, said


@contextmanager
def live_page(folder: Path, *options: str, **environment: str) -> Iterator[LivePage]:
    control = folder / "control.json"
    control.write_text("{}")
    process = subprocess.Popen(
        [sys.executable, str(COMMAND), str(control), "--json", "--port", "0", *options],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        while not lines or lines[-1] != "}\n":
            lines.append(process.stdout.readline())
            assert lines[-1], process.communicate(timeout=WAIT_S)[1]
        yield LivePage(process, control, **json.loads("".join(lines)))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(what: Callable[[], Any], *, seconds: float = WAIT_S) -> Any:
    """The first true answer of what. Fails when there is none in time."""
    deadline_s = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline_s, f"not within {seconds:g} s"
        time.sleep(0.05)
