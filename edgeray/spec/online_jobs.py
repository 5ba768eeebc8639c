"""Reads job files that decide while they run, `kind: offload` and `kind: frames`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeray.errors import SpecError
from edgeray.spec.app import KeyPath, nearest
from edgeray.spec.callables import check_code
from edgeray.spec.job_file import find_job_file, job_name
from edgeray.spec.kinds import document_among
from edgeray.spec.online_forms import FRAMES, OFFLOAD, FramesForm, OffloadForm
from edgeray.spec.validate import validate
from edgeray.spec.yaml_file import Document, read_yaml
from policies.model import Mode

_EXPECTED = "a job file: `kind: offload` and `source: ...`, or `kind: frames` and `users: ...`"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineJob:
    """A job that decides while it runs; it becomes an App on a cluster (`online_app`).

    folder: with the job's own code. places: "file:line" by key path, for messages.
    """

    name: str
    file: Path
    folder: Path
    form: OffloadForm | FramesForm
    places: Mapping[KeyPath, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def mode(self) -> Mode:
        return "offload" if isinstance(self.form, OffloadForm) else "frames"

    def error(self, path: KeyPath, what: str, *, expected: str, remedy: str) -> SpecError:
        """A SpecError that points at path, or at the nearest key above it."""
        return SpecError(nearest(self.places, path, self.file), what, expected=expected, remedy=remedy)


def online_mode(path: str | Path) -> Mode | None:
    """The mode of a job file, or of the job.yaml of a folder, that is to decide while it runs; None for all others, and
    for declared numbers. Raises SpecError for what is no YAML."""
    document = document_among(path, (OFFLOAD, FRAMES), expected=_EXPECTED)
    if document is None or ("declared" in document.value and "users" not in document.value):
        return None
    return "offload" if document.value["kind"] == OFFLOAD else "frames"


def load_online(path: str | Path) -> OnlineJob:
    """The job in a file, or in a folder with job.yaml. Runs none of its code.

    Raises SpecError (file:line, what was found, what was expected, the remedy).
    """
    document = read_yaml(find_job_file(Path(path)), expected=_EXPECTED)
    if "declared" in document.value:
        raise document.error(
            ("declared",),
            "the file has both 'declared' and 'users'",
            expected="users with packets, or numbers to plan with",
            remedy="remove one of them",
        )
    offload = document.value.get("kind") == OFFLOAD
    form = validate(document, OffloadForm) if offload else validate(document, FramesForm)
    folder = document.file.absolute().parent
    _check_all_code(document, form, folder)
    return OnlineJob(
        name=job_name(document, form.name),
        file=document.file,
        folder=folder,
        form=form,
        places=document.places(),
    )


def _check_all_code(document: Document, form: OffloadForm | FramesForm, folder: Path) -> None:
    check_code(document, ("work", "run"), form.work.run, folder)
    if isinstance(form, FramesForm):
        for name, user in form.users.items():
            check_code(document, ("users", name, "source", "run"), user.source.run, folder, factory=True)
        return
    check_code(document, ("source", "run"), form.source.run, folder, factory=True)
    for key, code in (("complexity", form.complexity), ("sink", form.sink)):
        if code is not None:
            check_code(document, (key, "run"), code.run, folder)
