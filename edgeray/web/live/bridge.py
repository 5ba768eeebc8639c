"""The page's process on the head device: takes questions on stdin, answers on stdout, one JSON object a line.

usage: python -m edgeray.web.live.bridge, with the environment of the head device
In: {"id", "method", "args", "timeout_s"}. Out: {"id", "value"} or {"id", "error", "input": true for a bad question};
{"fatal"} when the cluster cannot be reached. Ends with its stdin.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

from edgeray.errors import BadInputError, EdgeRayError, one_line
from edgeray.web.live.plain import plain

_WORKERS = 16


def main() -> int:
    # Whatever else writes to stdout (Ray does) must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        from edgeray.client import Client

        client = Client()
    except EdgeRayError as error:
        _write(answers, {"fatal": str(error)})
        return 1
    serve(client.call, sys.stdin, answers)
    os._exit(0)  # a call that hangs must not keep this process


def serve(call: Callable[..., Any], questions: Iterable[str], answers: TextIO) -> None:
    """Answer each question by call, several at a time, in the order in which they are ready."""
    lock = threading.Lock()

    def answer(question: dict[str, Any]) -> None:
        told = _answer(call, question)
        with lock:
            _write(answers, told)

    pool = ThreadPoolExecutor(max_workers=_WORKERS)
    for line in questions:
        pool.submit(answer, json.loads(line))
    pool.shutdown(wait=False)


def _answer(call: Callable[..., Any], question: dict[str, Any]) -> dict[str, Any]:
    try:
        value = call(question["method"], *question["args"], timeout_s=question["timeout_s"])
        return {"id": question["id"], "value": plain(value)}
    except EdgeRayError as error:
        wrong = isinstance(error, BadInputError)
        return {"id": question["id"], "error": str(error), "input": wrong}
    except Exception as error:
        return {"id": question["id"], "error": one_line(error), "input": False}


def _write(answers: TextIO, told: dict[str, Any]) -> None:
    answers.write(json.dumps(told) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
