"""Reads what happens in a simulation, and when: arrivals of jobs, and what befalls devices and links."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from edgeray.spec.schema import BitsPerS, Id, VirtualSeconds
from edgeray.spec.validate import validate
from edgeray.spec.words import listed, remedy_for_name
from edgeray.spec.yaml_file import Document, read_text, read_yaml

MAX_CSV_BYTES = 20_000_000
_EXPECTED = (
    "a trace: `events:` with entries such as `- {at: 2s, job: apps/attributes}` or `- {at: 9s, fails: e2}`"
)
_WHATS = ("job", "fails", "returns", "link")
_OF_JOBS = ("policy", "sources", "items", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEvent:
    """One thing that happens at at_s.

    what: "job" (the app at path subject arrives), "fails" or "returns" (device subject), "link" (link subject
    has capacity_bps from now on). sources: the device that the job's sources are moved to. items, seconds: when a
    stream ends. where: "file:line", for messages.
    """

    at_s: float
    what: str
    subject: str
    where: str
    capacity_bps: float | None = None
    policy: str | None = None
    sources: str | None = None
    items: int | None = None
    seconds: float | None = None


class _EventForm(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    at: VirtualSeconds
    job: str | None = Field(None, min_length=1)
    policy: str | None = None
    sources: Id | None = None
    items: int | None = Field(None, ge=1, le=10**9)
    seconds: VirtualSeconds | None = None
    fails: Id | None = None
    returns: Id | None = None
    link: str | None = Field(None, min_length=1)
    capacity: BitsPerS | None = None


class _TraceForm(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    events: list[_EventForm] = Field(min_length=1)


def load_trace(path: str | Path) -> tuple[TraceEvent, ...]:
    """The events of a trace, in the order of the file; paths of jobs are relative to its folder.

    A .csv file has the keys of the YAML form as its header, and empty cells for what does not apply.
    Raises SpecError (file:line, found, expected, remedy).
    """
    file = Path(path)
    document = _csv(file) if file.suffix == ".csv" else read_yaml(file, expected=_EXPECTED)
    form = validate(document, _TraceForm)
    return tuple(_event(document, number, event) for number, event in enumerate(form.events))


def _event(document: Document, number: int, form: _EventForm) -> TraceEvent:
    path = ("events", str(number))
    given = [what for what in _WHATS if getattr(form, what) is not None]
    if len(given) != 1:
        raise document.error(
            path,
            f"event {number + 1} says {listed(given, between=' and ') or 'not what happens'}",
            expected=f"one of {listed(_WHATS)}",
            remedy="write one event for each thing that happens",
        )
    [what] = given
    _check_company(document, path, form, what)
    subject = str(getattr(form, what))
    return TraceEvent(
        at_s=form.at,
        what=what,
        subject=str(document.file.parent / subject) if what == "job" else subject,
        where=f"{document.file}:{document.line(path)}",
        capacity_bps=form.capacity,
        policy=form.policy,
        sources=form.sources,
        items=form.items,
        seconds=form.seconds,
    )


def _check_company(document: Document, path: tuple[str, ...], form: _EventForm, what: str) -> None:
    """Which other keys go with what happens."""
    allowed = {"job": _OF_JOBS, "link": ("capacity",)}.get(what, ())
    for key in (*_OF_JOBS, "capacity"):
        if getattr(form, key) is not None and key not in allowed:
            raise document.error(
                (*path, key),
                f"`{key}` does not go with `{what}`",
                expected=f"`at`, `{what}`{''.join(f', `{name}`' for name in allowed)}",
                remedy="remove it",
            )
    if what == "link" and form.capacity is None:
        raise document.error(
            path,
            f"link '{form.link}' has no `capacity`",
            expected="its bits per second from now on",
            remedy="add `capacity: 1Mbps`",
        )


def _csv(file: Path) -> Document:
    """The rows as the events of a document; every key of a row stands on the row's line."""
    text = read_text(file, expected="a trace as a table with a header line", at_most=MAX_CSV_BYTES)
    reader = csv.reader(io.StringIO(text))
    lines: dict[tuple[str, ...], int] = {(): 1}
    document = Document(file=file, value={"events": []}, lines=lines)
    header = [name.strip() for name in next(reader, [])]
    known = list(_EventForm.model_fields)
    for name in header:
        if name not in known or header.count(name) > 1:
            raise document.error(
                (),
                f"the header has {'an unknown' if name not in known else 'twice the'} column '{name}'",
                expected=f"columns among {listed(known)}",
                remedy=remedy_for_name(name, [one for one in known if one != name], "remove it"),
            )
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        lines["events", str(len(document.value["events"]))] = reader.line_num
        if len(row) > len(header):
            raise document.error(
                ("events", str(len(document.value["events"]))),
                f"the row has {len(row)} cells, the header {len(header)}",
                expected="as many cells as the header has",
                remedy="remove the extra commas, or quote what holds one",
            )
        cells = {name: cell.strip() for name, cell in zip(header, row, strict=False) if cell.strip()}
        document.value["events"].append(cells)
    return document
