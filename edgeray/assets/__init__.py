"""Real videos, weights and models: found here, fetched by `edgeray assets fetch`."""

from __future__ import annotations

import os
from pathlib import Path

from edgeray.assets.catalog import DERIVED, NAMES, ORIGINALS, WANTED
from edgeray.errors import MissingAssetError

__all__ = ["NAMES", "WANTED", "asset", "cache_directory", "cache_path"]


def cache_directory() -> Path:
    """$EDGERAY_CACHE_DIR, else ~/.cache/edgeray."""
    chosen = os.environ.get("EDGERAY_CACHE_DIR")
    return Path(chosen) if chosen else Path.home() / ".cache" / "edgeray"


def cache_path(name: str) -> Path:
    """Where an asset lies once fetched. Raises MissingAssetError when no asset has that name."""
    if name in ORIGINALS:
        return cache_directory() / "originals" / name
    if name in DERIVED:
        return cache_directory() / "derived" / DERIVED[name].key / name
    raise MissingAssetError(f"asset {name!r} is not known\n  expected: one of {', '.join(NAMES)}")


def asset(name: str) -> Path:
    """Find an asset in the cache. Raises MissingAssetError, which names the command that gets it.

    A file in the cache is whole and checked: fetch moves it there only after its sum was right.
    """
    path = cache_path(name)
    if path.is_file():
        return path
    raise MissingAssetError(
        f"asset {name} is not there: {path} does not exist\n"
        f"  remedy:   edgeray assets fetch {name}   (or: python -m edgeray.assets fetch {name})"
    )
