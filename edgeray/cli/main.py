"""edgeray: the command. Exit codes: 0 done, 1 failed, 2 bad input."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated

import typer

from edgeray import __version__
from edgeray.cli import cluster, compare, forget, generate, jobs, plan, query, reproduce, simulate, ui
from edgeray.cli.console import stderr
from edgeray.errors import EdgeRayError

app = typer.Typer(
    name="edgeray",
    help="Laptops, Jetsons and Raspberry Pis as one machine for AI dataflows.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgeray {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


cluster.add_commands(app)
plan.add_commands(app)
simulate.add_commands(app)
jobs.add_commands(app)
forget.add_commands(app)
query.add_commands(app)
compare.add_commands(app)
generate.add_commands(app)
reproduce.add_commands(app)
ui.add_commands(app)


def main() -> None:
    """Run a command; errors become one message and an exit code, never a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)  # a polite kill cleans up as Ctrl-C does
    sys.exit(_run())


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _run() -> int:
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except EdgeRayError as error:
        stderr.print(f"error: {error}", markup=False)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        stderr.print("interrupted", markup=False)
        return 130
    except BrokenPipeError:  # `edgeray ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "show"):  # click's, or the copy inside typer
            error.show()
            return 2
        stderr.print(
            f"error: {type(error).__name__}: {error}\n"
            f"  this is a fault of EdgeRay's; the details are in {_save_traceback()}",
            markup=False,
        )
        return 1


def _save_traceback() -> Path:
    with tempfile.NamedTemporaryFile("w", prefix="edgeray-fault-", suffix=".txt", delete=False) as file:
        traceback.print_exc(file=file)
    return Path(file.name)


if __name__ == "__main__":
    main()
