"""A real testbed of a test module's own, and the commands that a person would type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

REPO = Path(__file__).parents[2]


class Session:
    """A cluster of this module's own, with the commands a person would type."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {
            **os.environ,
            "EDGERAY_STATE_DIR": str(root / "state"),
            "EDGERAY_CACHE_DIR": str(root / "cache"),
            "PYTHONPATH": str(REPO / "tests" / "testbed"),
            "COLUMNS": "160",
        }
        self.environment.pop("RAY_ADDRESS", None)

    def start(self, *args: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "edgeray.cli.main", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPO,
            env=self.environment,
        )

    def run(self, *args: object, code: int = 0) -> str:
        process = self.start(*args)
        out, err = process.communicate(timeout=180)
        assert process.returncode == code, f"{args}: exit code {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in out + err
        return out

    def json(self, *args: object, code: int = 0) -> Any:
        return json.loads(self.run(*args, "--json", code=code))

    def job(self, name: str) -> dict[str, Any]:
        return next(view for view in self.json("jobs")["jobs"] if view["job"] == name)

    def devices(self) -> dict[str, dict[str, Any]]:
        return {view["device"]: view for view in self.json("devices")["devices"]}

    def processes(self, title: str, device: str | None = None) -> list[psutil.Process]:
        """Ray's worker processes of this cluster by their title, e.g. ray::NodeActor."""
        found = []
        for process in psutil.process_iter():
            try:
                line, environment = process.cmdline(), process.environ()
            except psutil.Error:
                continue
            ours = environment.get("EDGERAY_DEVICE_FILE", "").startswith(str(self.root))
            if (
                ours
                and line
                and line[0].startswith(title)
                and device in (None, environment["EDGERAY_DEVICE"])
            ):
                found.append(process)
        return found


def until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    deadline_s = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.2)  # between two looks, each of which starts a process
    return found


@contextmanager
def session_on(cluster: str) -> Iterator[Session]:
    """Bring a cluster file up; take it down in the end, and see that nothing is left."""
    with tempfile.TemporaryDirectory(prefix="er-run-") as name:
        session = Session(Path(name))
        try:
            session.run("up", cluster)
            yield session
        finally:
            session.run("down")
            left = subprocess.run(
                [sys.executable, "-c", "from edgeray.testbed import leftovers; print(leftovers())"],
                env=session.environment, cwd=REPO, capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            assert left.strip() == "[]"


def namespace_of(session: Session, device: str) -> str:
    """The network namespace of this session's device: other sessions may have devices of the same name."""
    wanted = session.json("devices")["devices"]
    address = next(row["address"] for row in wanted if row["device"] == device)
    names = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout.split()
    for name in names:
        shown = subprocess.run(
            ["ip", "-n", name, "-4", "-o", "address"], capture_output=True, text=True, check=False
        ).stdout
        if name.endswith(f"-{device}") and f" {address}/" in shown:
            return name
    raise AssertionError(f"no namespace has {address}")
