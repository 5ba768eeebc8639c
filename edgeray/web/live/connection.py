"""How the page's server, which a browser must reach, asks the scheduler, which only the head device can reach."""

from __future__ import annotations

import itertools
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import IO, Any

from edgeray.errors import BadInputError, ClusterError, EdgeRayError
from edgeray.web.live.telemetry import TIMEOUT_S

RETRY_S = 3.0
# A process whose every question fails for so long hangs on a cluster that is no more; there may be a new one.
HOPELESS_S = 30.0
_GONE = "the connection to the cluster was lost"

Command = Callable[[], tuple[Sequence[str], Mapping[str, str]]]


class Connection:
    """Asks through a process on the head device (bridge.py), and starts it again when it is gone.

    That process dies with the cluster; this one does not, so that the page can say so, and go on with the next cluster.
    command: argv and environment of the process; raises EdgeRayError while no cluster is up.
    """

    def __init__(self, command: Command, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._command = command
        self._clock = clock
        self._child: _Child | None = None
        self._tried_s: float | None = None
        self._answered_s = 0.0
        self._why = _GONE
        self._closed = False
        self._lock = threading.Lock()

    def __call__(self, method: str, *args: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """What the scheduler says. Raises ClusterError when nobody answers in time, BadInputError as it does."""
        future = self._living().ask(method, args, timeout_s)
        try:
            value = future.result(timeout=timeout_s)
        except FutureTimeout as error:
            raise ClusterError(f"the scheduler did not answer {method} within {timeout_s:.0f} s") from error
        self._answered_s = self._clock()
        return value

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.close()

    def _living(self) -> _Child:
        with self._lock:
            now_s = self._clock()
            if self._child is not None and self._child.alive:
                if now_s - self._answered_s < HOPELESS_S:
                    return self._child
                self._child.close()
            elif self._child is not None:
                self._why = self._child.why
            if self._closed or (self._tried_s is not None and now_s - self._tried_s < RETRY_S):
                raise ClusterError(self._why)
            self._tried_s = self._answered_s = now_s
            try:
                argv, environment = self._command()
            except EdgeRayError as error:
                self._why = str(error)
                raise
            self._child = _Child(argv, environment)
            return self._child


class _Child:
    """One such process, and who waits for its answers."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.alive = True
        self.why = _GONE
        self._waiting: dict[int, Future[Any]] = {}
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._complaints: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (lives with us)
        self._process = subprocess.Popen(
            list(argv),
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the server, which then ends this one
        )
        threading.Thread(target=self._listen, name="bridge", daemon=True).start()

    def ask(self, method: str, args: Sequence[Any], timeout_s: float) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if not self.alive:
                future.set_exception(ClusterError(self.why))
                return future
            id = next(self._ids)
            self._waiting[id] = future
            line = json.dumps({"id": id, "method": method, "args": args, "timeout_s": timeout_s})
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            except OSError:  # it is dying: whoever listens to it gives the reason to all that wait
                pass
        return future

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "fatal" in told:
                self.why = told["fatal"]
            else:
                self._settle(told)
        self._end()

    def _settle(self, told: dict[str, Any]) -> None:
        with self._lock:
            future = self._waiting.pop(told["id"], None)
        if future is None:
            return
        if "error" in told:
            kind = BadInputError if told["input"] else ClusterError
            future.set_exception(kind(told["error"]))
        else:
            future.set_result(told["value"])

    def _end(self) -> None:
        code = self._process.wait()
        with self._lock:
            self.alive = False
            if self.why == _GONE and code > 0:
                self.why = f"{_GONE}: {self._last_complaint()}"
            waiting, self._waiting = self._waiting, {}
            self._complaints.close()
        for future in waiting.values():
            future.set_exception(ClusterError(self.why))

    def _last_complaint(self) -> str:
        self._complaints.seek(0)
        lines = [line.strip() for line in self._complaints.read()[-4000:].splitlines() if line.strip()]
        return lines[-1] if lines else "its process ended"
