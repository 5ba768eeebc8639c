"""Jobs that are numbers only, which can be planned and not run: streams, batch-training, fog-training and frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeray.spec.batch_job import is_batches
from edgeray.spec.fog_job import is_fog
from edgeray.spec.job_file import find_job_file
from edgeray.spec.kinds import kind_among
from edgeray.spec.online_jobs import online_mode
from edgeray.spec.streams_job import is_streams
from edgeray.spec.units import BYTES, FLOP, FLOP_PER_S, VIRTUAL_SECONDS, Quantity, UnitError
from edgeray.spec.words import listed, remedy_for_name, shorten
from edgeray.spec.yaml_file import Document, read_yaml
from policies.batch.instance import BatchInstance, batch_instance
from policies.deadline.frame import Frame, frame_of
from policies.movement.instance import MovementInstance, movement_instance
from policies.streams.instance import StreamInstance, stream_instance

Floats = npt.NDArray[np.float64]
Instance = StreamInstance | BatchInstance | MovementInstance | Frame

_NUMBER = Quantity(name="a number", example="5", units={"": 1}, maximum=1e18)
_POINTS = Quantity(name="a number of points", example="60", units={"": 1}, maximum=1e18)
"""May be infinite: what has no limit."""
_LINK_COST = Quantity(name="a cost", example="0.1", units={"": 1}, maximum=1e18)
"""May be infinite, or nothing: where there is no link."""
_UNBOUNDED = (VIRTUAL_SECONDS, BYTES, _POINTS, _LINK_COST)
_PATH = ("declared",)
_EXPECTED = "a job file of kind streams, batch-training, fog-training or frames with `declared: {...}`"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """keys: of what each value is; optional: those that may be left out. make: raises ValueError."""

    keys: Mapping[str, Quantity]
    optional: tuple[str, ...]
    make: Callable[[Mapping[str, Floats]], Instance]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredJob:
    """A job of numbers. kind: streams, batch-training, fog-training or frames."""

    kind: str
    name: str
    instance: Instance


def declared_kind(path: str | Path) -> str | None:
    """The kind that a job file, or the job.yaml of a folder, says, if it is one of these; else None.

    None, too, for cameras to watch (`is_streams`), for packets to do (`online_mode`), and for models to train."""
    if is_streams(path) or online_mode(path) or is_batches(path) or is_fog(path):
        return None
    return kind_among(path, _KINDS, expected=_EXPECTED)


def load_declared(path: str | Path) -> DeclaredJob:
    """The job in a file, or in a folder with job.yaml. Raises SpecError (file:line, what, expected, remedy)."""
    document = read_yaml(find_job_file(Path(path)), expected=_EXPECTED)
    name, kind = document.value.get("name"), _KINDS[document.value["kind"]]
    _check_keys(document, (), document.value, ("kind", "name", "declared"), ("kind", "declared"))
    declared = document.value["declared"]
    if not isinstance(declared, dict):
        raise document.error(
            _PATH,
            "'declared' is no mapping",
            expected=f"{{{', '.join(kind.keys)}}}",
            remedy="give each number",
        )
    needed = [key for key in kind.keys if key not in kind.optional]
    _check_keys(document, _PATH, declared, tuple(kind.keys), needed)
    values = {key: _array(document, key, declared[key], kind.keys[key]) for key in declared}
    try:
        instance = kind.make(values)
    except ValueError as error:
        raise document.error(
            _PATH,
            f"the numbers do not go together: {error}",
            expected=f"{listed(list(kind.keys))}, each of the right length",
            remedy="see the kind's description in the README",
        ) from error
    file = document.file.absolute()
    stem = file.parent.name if file.name == "job.yaml" else file.stem
    return DeclaredJob(
        kind=document.value["kind"], name=name if isinstance(name, str) else stem, instance=instance
    )


def _check_keys(
    document: Document, path: tuple[str, ...], value: Mapping[str, Any], known: tuple[str, ...], needed: Any
) -> None:
    for key in value:
        if key not in known:
            raise document.error(
                (*path, key),
                f"unknown key '{shorten(str(key))}'",
                expected=f"one of {listed(list(known))}",
                remedy=remedy_for_name(str(key), list(known), "remove it"),
            )
    for key in needed:
        if key not in value:
            raise document.error(
                path, f"'{key}' is missing", expected=f"{listed(list(needed))}", remedy=f"add `{key}: ...`"
            )


def _array(document: Document, key: str, value: Any, quantity: Quantity) -> Floats:
    """A number, or a regular list of lists of numbers."""
    parsed = _parsed(document, key, value, quantity)
    try:
        return np.array(parsed, dtype=float)
    except ValueError:
        raise document.error(
            (*_PATH, key),
            f"'{key}' has rows of different lengths",
            expected="rows that are all equally long",
            remedy="add what is missing, or remove what is too much",
        ) from None


def _parsed(document: Document, key: str, value: Any, quantity: Quantity) -> Any:
    if isinstance(value, list):
        return [_parsed(document, key, each, quantity) for each in value]
    if value in (float("inf"), "inf") and quantity in _UNBOUNDED:
        return float("inf")
    if value is None and quantity is _LINK_COST:
        return float("inf")
    try:
        return quantity.parse(value)
    except UnitError as error:
        shown = "nothing" if value is None else shorten(str(value))
        raise document.error(
            (*_PATH, key), f"'{key}': {shown} {error.problem}", expected=error.expected, remedy=error.remedy
        ) from None


def _streams(values: Mapping[str, Floats]) -> StreamInstance:
    return stream_instance(
        values["PS"],
        values["CL1"],
        values["CL2"],
        values["T"],
        values["transfer"],
        memory=values.get("memory", np.array(np.inf)),
        R_det=float(values.get("R_det", 0.0)),
        R_reid=float(values.get("R_reid", 0.0)),
    )


def _batches(values: Mapping[str, Floats]) -> BatchInstance:
    samples = float(values["samples"])
    if samples != int(samples):
        raise ValueError(f"samples is {samples:g}, expected a whole number")
    return batch_instance(values["C2"], values["C1"], values["C0"], int(samples), float(values["cycle_s"]))


def _movement(values: Mapping[str, Floats]) -> MovementInstance:
    return movement_instance(**values)


def _frames(values: Mapping[str, Floats]) -> Frame:
    slots = float(values["T"])
    if slots != int(slots):
        raise ValueError(f"T is {slots:g}, expected a whole number of slots")
    packets = {key: values[key] for key in ("X", "A", "C", "mu", "e_local", "e_send")}
    return frame_of(**packets, T=int(slots), M=float(values["M"]))


_KINDS: dict[str, _Kind] = {
    "streams": _Kind(
        keys={
            "PS": FLOP_PER_S, "CL1": FLOP, "CL2": FLOP, "T": VIRTUAL_SECONDS, "transfer": VIRTUAL_SECONDS,
            "memory": BYTES, "R_det": BYTES, "R_reid": BYTES,
        },
        optional=("memory", "R_det", "R_reid"),
        make=_streams,
    ),
    "batch-training": _Kind(
        keys={
            "C2": VIRTUAL_SECONDS, "C1": VIRTUAL_SECONDS, "C0": VIRTUAL_SECONDS, "samples": _NUMBER,
            "cycle_s": VIRTUAL_SECONDS,
        },
        optional=(),
        make=_batches,
    ),
    "fog-training": _Kind(
        keys={
            "D": _NUMBER, "c": _NUMBER, "c_link": _LINK_COST, "f": _NUMBER, "C": _POINTS, "C_link": _POINTS,
        },
        optional=("C", "C_link"),
        make=_movement,
    ),
    "frames": _Kind(
        keys=dict.fromkeys(("X", "A", "C", "mu", "T", "e_local", "e_send", "M"), _NUMBER),
        optional=(),
        make=_frames,
    ),
}  # fmt: skip
