"""forget: what a job learned goes."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeray.cli.console import stdout
from edgeray.cli.enter import be_on_head


def add_commands(app: typer.Typer) -> None:
    app.command()(forget)


def forget(job: Annotated[str, typer.Argument(help="Job id, as `edgeray jobs` shows it.")]) -> None:
    """Drop what a job learned while it ran (kinds offload and frames, tasks with replicas), once it has ended.

    The learner keeps it on the head's disk; a job that is submitted anew begins with nothing all the same.
    """
    be_on_head()
    from edgeray.client import Client

    known = Client().call("forget", job)
    told = "what it learned is forgotten" if known else "nothing that it learned is kept"
    stdout.print(f"{job}: {told}", markup=False, highlight=False)
