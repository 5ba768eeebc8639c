"""What the places where a model can be cut cost on one device type, and all types' numbers together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from edgeray.errors import EdgeRayError
from policies.model import CutProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class CutMeasurements:
    """All cuts of a model on one device type, from the input on: CutProfile's fields for this type, which see.

    Seconds and memory are infinite for cuts that do not fit into the device's memory, server_s for all where the whole
    model does not. steps: how many training steps were measured.
    """

    names: tuple[str, ...]
    layers: tuple[int, ...]
    up_bytes: tuple[float, ...]
    down_bytes: tuple[float, ...]
    weights_bytes: tuple[float, ...]
    forward_s: tuple[float, ...]
    backward_s: tuple[float, ...]
    server_s: tuple[float, ...]
    memory_bytes: tuple[float, ...]
    piece_s: tuple[float, ...]
    server_piece_s: tuple[float, ...]
    send_s_per_byte: float
    steps: int

    def __post_init__(self) -> None:
        """Raises ValueError unless there is one value a cut, of the right kind."""
        for name, values in _by_cut(self).items():
            kind = str if name == "names" else (int, float)
            if not isinstance(values, tuple) or not all(isinstance(value, kind) for value in values):
                raise ValueError(f"{name} is {values!r}")
            if len(values) != len(self.names) or not values:
                raise ValueError(f"there are {len(self.names)} cuts, and {name} has {len(values)} values")
        if not isinstance(self.send_s_per_byte, int | float):
            raise ValueError(f"send_s_per_byte is {self.send_s_per_byte!r}")

    def as_json(self) -> dict[str, Any]:
        """Plain JSON; `CutMeasurements.of` makes it the same again."""
        return asdict(self)

    @staticmethod
    def of(values: Mapping[str, Any]) -> CutMeasurements:
        """Raises TypeError or ValueError for what as_json did not make."""
        made: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return CutMeasurements(**made)


def merge_cuts(by_type: Mapping[str, CutMeasurements]) -> CutProfile:
    """All device types' measurements in one.

    Bytes do not depend on the device; where types differ the largest stands. Raises EdgeRayError where types found
    different cuts.
    """
    (first_type, first), *others = sorted(by_type.items())
    for other_type, other in others:
        if (other.names, other.layers) != (first.names, first.layers):
            raise EdgeRayError(
                f"the model has other cuts on type {other_type} than on type {first_type}: {_difference(first, other)}\n"
                "  expected: the same model and the same data on all devices\n"
                "  remedy:   make the model's factory give the same layers everywhere, then `edgeray profile --again`"
            )

    def largest(field: str) -> tuple[float, ...]:
        return tuple(
            max(values) for values in zip(*(getattr(m, field) for m in by_type.values()), strict=True)
        )

    return CutProfile(
        names=first.names,
        layers=first.layers,
        up_bytes=largest("up_bytes"),
        down_bytes=largest("down_bytes"),
        weights_bytes=largest("weights_bytes"),
        forward_s={kind: measured.forward_s for kind, measured in by_type.items()},
        backward_s={kind: measured.backward_s for kind, measured in by_type.items()},
        server_s={kind: measured.server_s for kind, measured in by_type.items()},
        memory_bytes={kind: measured.memory_bytes for kind, measured in by_type.items()},
        piece_s={kind: measured.piece_s for kind, measured in by_type.items()},
        server_piece_s={kind: measured.server_piece_s for kind, measured in by_type.items()},
        send_s_per_byte={kind: measured.send_s_per_byte for kind, measured in by_type.items()},
    )


def _by_cut(measured: CutMeasurements) -> dict[str, Any]:
    values = {field.name: getattr(measured, field.name) for field in fields(measured)}
    return {name: value for name, value in values.items() if name not in ("send_s_per_byte", "steps")}


def _difference(first: CutMeasurements, other: CutMeasurements) -> str:
    if len(first.names) != len(other.names):
        return f"{len(other.names)} and not {len(first.names)}"
    rows = zip(
        zip(first.names, first.layers, strict=True), zip(other.names, other.layers, strict=True), strict=True
    )
    number, (mine, theirs) = next((n, row) for n, row in enumerate(rows) if row[0] != row[1])
    return f"cut {number} is behind {theirs[0]} ({theirs[1]} layers) and not behind {mine[0]} ({mine[1]})"
