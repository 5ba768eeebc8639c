"""What kind of job a file says it is, before anybody reads it as one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edgeray.spec.job_file import find_job_file
from edgeray.spec.yaml_file import MAX_FILE_BYTES, Document, read_yaml


def kind_among(path: str | Path, kinds: Collection[str], *, expected: str) -> str | None:
    """The kind that a job file, or the job.yaml of a folder, says, if it is one of these; else None.

    See `document_among`.
    """
    document = document_among(path, kinds, expected=expected)
    return None if document is None else str(document.value["kind"])


def document_among(path: str | Path, kinds: Collection[str], *, expected: str) -> Document | None:
    """A job file, or the job.yaml of a folder, if it says that it is of one of these kinds; None for all others, and
    for what cannot be opened.

    Files that nowhere name one of these are not parsed: they may be large, or no YAML. Raises SpecError for a file that
    does, and is no YAML. expected: what it should hold, for that message.
    """
    file = find_job_file(Path(path))
    try:
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            head = stream.read(MAX_FILE_BYTES)
    except (OSError, ValueError):
        return None
    if not any(kind.encode() in head for kind in kinds):
        return None
    document = read_yaml(file, expected=expected)
    kind = document.value.get("kind")
    return document if isinstance(kind, str) and kind in kinds else None
