"""`edgeray ui` as it is, but of a cluster that only talks. usage: python live_command.py CONTROL_FILE [OPTION...]

LIVE_GONE_S: after how many seconds without an answer the command ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeray.cli import main, ui


def _talker(control: str) -> tuple[list[str], dict[str, str]]:
    environment = {**os.environ, "EDGERAY_CLUSTER": "yard", "EDGERAY_DEVICE": "e1"}
    return [sys.executable, str(Path(__file__).with_name("live_cluster.py")), control], environment


def run(control: str, options: Sequence[str]) -> None:
    setattr(ui, "head_process", lambda _: _talker(control))  # noqa: B010 (mypy: the name is imported there)
    ui.GONE_S = float(os.environ.get("LIVE_GONE_S", ui.GONE_S))
    sys.argv = ["edgeray", "ui", *options]
    main.main()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
