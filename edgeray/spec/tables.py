"""Reads tables of numbers by device and by cut out of a document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeray.spec.app import KeyPath
from edgeray.spec.schema import ID_RULE, is_id
from edgeray.spec.units import Quantity, UnitError
from edgeray.spec.words import kind_of, listed, remedy_for_name, shorten
from edgeray.spec.yaml_file import Document

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The devices (names, in order) and the number of cuts that all tables of a document must have.

    Every method raises SpecError for what is ragged, of another length, or no number of its quantity.
    """

    document: Document
    devices: tuple[str, ...]
    cuts: int

    @staticmethod
    def like(document: Document, path: KeyPath, value: Any) -> Tables:
        """As the table at path, a list of cuts for each device: devices d0, d1, ..., or the names of a mapping."""
        if not isinstance(value, list | dict) or not value:
            raise document.error(
                path,
                f"'{path[-1]}' is {kind_of(value) if value else 'empty'}",
                expected="a list with a list of numbers for each device, or {device: [numbers]}",
                remedy="write `A: [[3s, 5s], [1s, 2s]]`: two devices, two cuts",
            )
        names = tuple(value) if isinstance(value, dict) else tuple(f"d{i}" for i in range(len(value)))
        for name in names:
            if not is_id(name):
                raise document.error(
                    (*path, name),
                    f"the name '{shorten(name)}' is not usable as an id",
                    expected=ID_RULE,
                    remedy="rename it",
                )
        first = next(iter(value.values())) if isinstance(value, dict) else value[0]
        cuts = len(first) if isinstance(first, list) else 0
        tables = Tables(document=document, devices=names, cuts=cuts)
        if cuts == 0:
            raise tables._not_by_cut((*path, names[0] if isinstance(value, dict) else "0"), first)
        return tables

    def by_cut(self, path: KeyPath, value: Any, quantity: Quantity, *, infinite: bool = False) -> Floats:
        """Shape (cuts,). infinite: whether a number may be."""
        if not isinstance(value, list) or len(value) != self.cuts:
            raise self._not_by_cut(path, value)
        return np.array(
            [self._number((*path, str(cut)), each, quantity, infinite) for cut, each in enumerate(value)]
        )

    def by_device(self, path: KeyPath, value: Any, quantity: Quantity, *, missing: float) -> Floats:
        """Shape (devices,): one number for all, a list, or a mapping, in which a device may be missing."""
        if isinstance(value, list):
            self._check_count(path, len(value))
            return np.array(
                [self._number((*path, str(i)), each, quantity, False) for i, each in enumerate(value)]
            )
        if not isinstance(value, dict):
            return np.full(len(self.devices), self._number(path, value, quantity, False))
        self._check_names(path, value)
        return np.array(
            [
                self._number((*path, name), value[name], quantity, False) if name in value else missing
                for name in self.devices
            ]
        )

    def by_device_and_cut(
        self, path: KeyPath, value: Any, quantity: Quantity, *, infinite: bool = False
    ) -> Floats:
        """Shape (devices, cuts): a list of cuts for each device, or one list of cuts for all."""
        if isinstance(value, dict):
            self._check_names(path, value)
            absent = [name for name in self.devices if name not in value]
            if absent:
                raise self.document.error(
                    path,
                    f"'{path[-1]}' has no device '{absent[0]}'",
                    expected=f"a list of {self.cuts} cuts for each of {listed(self.devices)}",
                    remedy="add it",
                )
            rows = [((*path, name), value[name]) for name in self.devices]
        elif isinstance(value, list) and any(isinstance(each, list) for each in value):
            self._check_count(path, len(value))
            rows = [((*path, str(i)), each) for i, each in enumerate(value)]
        else:
            row = self.by_cut(path, value, quantity, infinite=infinite)
            return np.broadcast_to(row, (len(self.devices), self.cuts))
        return np.stack([self.by_cut(at, row, quantity, infinite=infinite) for at, row in rows])

    def _number(self, path: KeyPath, value: Any, quantity: Quantity, infinite: bool) -> float:
        if infinite and value in (math.inf, "inf"):
            return math.inf
        try:
            return quantity.parse(value)
        except UnitError as error:
            shown = "nothing" if value is None else shorten(str(value))
            raise self.document.error(
                path,
                f"{_where(path)}: {shown} {error.problem}",
                expected=error.expected,
                remedy=error.remedy,
            ) from None

    def _not_by_cut(self, path: KeyPath, value: Any) -> Exception:
        many = _counted(len(value), "cut") if isinstance(value, list) else kind_of(value)
        wanted = (
            f"{self.cuts} numbers, one for each cut" if self.cuts else "a list of numbers, one for each cut"
        )
        return self.document.error(
            path,
            f"{_where(path)} has {many}" + (f", the first device has {self.cuts}" if self.cuts else ""),
            expected=f"{wanted}; the last is the whole model on the device",
            remedy="give each device the same cuts; write .inf for the time of one that it cannot have",
        )

    def _check_count(self, path: KeyPath, count: int) -> None:
        if count != len(self.devices):
            raise self.document.error(
                path,
                f"{_where(path)} has {_counted(count, 'number')} for {_counted(len(self.devices), 'device')}",
                expected=f"one for each of {listed(self.devices)}",
                remedy="add what is missing, or remove what is too much",
            )

    def _check_names(self, path: KeyPath, names: Sequence[str] | dict[str, Any]) -> None:
        for name in names:
            if name not in self.devices:
                raise self.document.error(
                    (*path, name),
                    f"{_where(path)} names '{shorten(name)}', which is no device",
                    expected=f"one of {listed(self.devices)}",
                    remedy=remedy_for_name(name, self.devices, "remove it"),
                )


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _where(path: KeyPath) -> str:
    """'A', entry 2, entry 3: entries from 1, as a person counts them; names as they are."""
    inner = [f"entry {int(part) + 1}" if part.isdigit() else shorten(part) for part in path[2:]]
    return ", ".join([f"'{path[1]}'", *inner])
