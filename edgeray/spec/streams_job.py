"""Reads job files that watch cameras, `kind: streams`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from edgeray.assets import NAMES
from edgeray.errors import SpecError
from edgeray.spec.app import NOT_SENT, KeyPath, nearest
from edgeray.spec.callables import check_code
from edgeray.spec.job_file import find_job_file, job_name
from edgeray.spec.kinds import document_among
from edgeray.spec.streams_form import KIND, CameraForm, PictureForm, StreamsForm
from edgeray.spec.validate import validate
from edgeray.spec.words import listed, remedy_for_name, shorten
from edgeray.spec.yaml_file import Document, read_yaml

SCHEMES = ("rtsp", "rtsps", "http", "https")
VIDEOS = tuple(name for name in NAMES if name.endswith((".avi", ".mp4")))
"""Assets that a camera can read."""
_EXPECTED = "a job file: `kind: streams` and `cameras: ...`"
_EXPECTED_SOURCE = (
    f"an asset ({listed(VIDEOS)}), a file or a folder beside the job file, an absolute path on the camera's "
    'device, an rtsp:// or http:// URL, or "/dev/video0"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a camera's frames come from. source: as the camera's device opens it: an asset, a path that is absolute or
    relative to the job's folder, a URL or a device. live: frames come by themselves and cannot wait."""

    source: str
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamsJob:
    """A job that watches cameras; it becomes an App on a cluster (`streams_app`).

    origins: of each camera. folder: with the job's own code. places: "file:line" by key path, for messages.
    """

    name: str
    file: Path
    folder: Path
    form: StreamsForm
    origins: Mapping[str, Origin]
    places: Mapping[KeyPath, str] = field(default_factory=dict, repr=False, compare=False)

    def error(self, path: KeyPath, what: str, *, expected: str, remedy: str) -> SpecError:
        """A SpecError that points at path, or at the nearest key above it."""
        return SpecError(nearest(self.places, path, self.file), what, expected=expected, remedy=remedy)


def is_streams(path: str | Path) -> bool:
    """Whether a job file, or the job.yaml of a folder, is to watch cameras: it says `kind: streams`, and does not
    declare numbers in their place. False for what cannot be opened. Raises SpecError for what is no YAML."""
    document = document_among(path, (KIND,), expected=_EXPECTED)
    return document is not None and ("cameras" in document.value or "declared" not in document.value)


def load_streams(path: str | Path) -> StreamsJob:
    """The job that watches cameras in a file, or in a folder with job.yaml. Runs none of its code, opens no source.

    Raises SpecError (file:line, what was found, what was expected, the remedy).
    """
    document = read_yaml(find_job_file(Path(path)), expected=_EXPECTED)
    if "declared" in document.value:
        raise document.error(
            ("declared",),
            "the file has both 'declared' and 'cameras'",
            expected="cameras to watch, or numbers to plan with",
            remedy="remove one of them",
        )
    form = validate(document, StreamsForm)
    folder = document.file.absolute().parent
    for key, run in (("detect", form.detect.run), ("identify", form.identify.run)):
        if (key, "run") in document.lines:
            check_code(document, (key, "run"), run, folder)
    return StreamsJob(
        name=job_name(document, form.name),
        file=document.file,
        folder=folder,
        form=form,
        origins={name: _origin(document, name, camera, folder) for name, camera in form.cameras.items()},
        places=document.places(),
    )


def _origin(document: Document, name: str, camera: CameraForm, folder: Path) -> Origin:
    path, source = ("cameras", name, "source"), camera.source
    if "://" in source:
        _check_url(document, path, source)
        live = True
    else:
        live = source.startswith("/dev/") or re.fullmatch(r"[0-9]{1,2}", source) is not None
        if not live:
            source = _file(document, path, source, folder)
    if live:
        _check_live(document, name, camera)
    return Origin(source=source, live=live)


def _check_url(document: Document, path: KeyPath, source: str) -> None:
    scheme, _, rest = source.partition("://")
    if scheme.lower() not in SCHEMES or not rest.strip("/"):
        raise document.error(
            path,
            f"{source!r} is no URL of a camera",
            expected=f"one that begins with {', '.join(f'{each}://' for each in SCHEMES)} and names a host",
            remedy=remedy_for_name(scheme.lower(), SCHEMES, "correct the URL"),
        )


def _file(document: Document, path: KeyPath, source: str, folder: Path) -> str:
    """The source as the camera's device finds it. A path that is not absolute must be here, since it is the submitter's;
    what travels with the job's folder stays relative to it. An absolute one is looked for by the camera's device."""
    if source.startswith("/"):
        return source
    found = folder / source
    try:
        exists = found.exists()
    except (OSError, ValueError):
        exists = False
    if not exists:
        if source in VIDEOS:
            return source
        here = _names_beside(folder)
        raise document.error(
            path,
            f"{shorten(source)!r} is neither an asset nor in {folder}",
            expected=_EXPECTED_SOURCE,
            remedy=remedy_for_name(source, [*VIDEOS, *here], "correct it, or put the file there"),
        )
    parts = Path(source).parts
    stays = ".." in parts or any(fnmatch(part, pattern) for part in parts for pattern in NOT_SENT)
    return str(found.resolve()) if stays else source


def _names_beside(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


def _check_live(document: Document, name: str, camera: CameraForm) -> None:
    """Raises SpecError for keys that need what is recorded."""
    path = ("cameras", name)
    if camera.repeat:
        raise _only_recorded(document, (*path, "repeat"), camera, "starts again")
    _check_live_picture(document, path, camera, camera)
    for index, scene in enumerate(camera.scenes):
        _check_live_picture(document, (*path, "scenes", str(index)), camera, scene)


def _check_live_picture(document: Document, path: KeyPath, camera: CameraForm, form: PictureForm) -> None:
    if form.shift:
        raise _only_recorded(document, (*path, "shift"), camera, "can be shifted in time")
    if (form.tiles or 1) > 1:
        raise _only_recorded(document, (*path, "tiles"), camera, "can be shown at several times at once")
    if form.still:
        raise _only_recorded(document, (*path, "still"), camera, "has an empty street to show")


def _only_recorded(document: Document, path: KeyPath, camera: CameraForm, what: str) -> SpecError:
    return document.error(
        path,
        f"camera '{path[1]}' has `{path[-1]}`, but its source is live ({shorten(camera.source)}): only a recorded one "
        f"{what}",
        expected=f"`{path[-1]}` with a video or a folder of images",
        remedy="remove it",
    )
