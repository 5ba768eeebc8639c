"""Which of the ways to emulate devices this machine allows, and the user namespace's holder."""

from __future__ import annotations

from edgeray.errors import BadInputError
from edgeray.spec.app import Cluster


def choose_mode(cluster: Cluster, wanted: str) -> tuple[str, tuple[str, ...]]:
    if wanted not in ("auto", "root", "userns", "loopback"):
        raise BadInputError(f"mode {wanted!r} is unknown; expected auto, root, userns or loopback")
    return "root", ()


def start_holder(tag: str) -> int:
    raise NotImplementedError
