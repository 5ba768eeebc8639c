"""Work of a known size and items of a known size, for trying out the runtime. Nothing to download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Item = dict[str, Any]

_VECTOR = 1 << 15  # float64 numbers: 256 KB, so that it stays in the cache of small devices too


def source(items: int, output_bytes: int) -> Iterator[Item]:
    """Give so many items, each with a payload of so many bytes that tells which item it belongs to."""
    for number in range(items):
        yield {"number": number, "payload": payload(number, output_bytes)}


def work(*inputs: Item, flop: float, output_bytes: int) -> Item:
    """Do flop floating-point operations, then pass on a payload of output_bytes.

    The amount of arithmetic is fixed, not the time: a device with half the CPU takes twice as long. A common
    desktop core does about 1e10 of these a second. Raises ValueError when the inputs are not of one item, or are damaged.
    """
    number = check(inputs)
    return {"number": number, "value": multiply_add(flop), "payload": payload(number, output_bytes)}


class Collect:
    """Does its work, and writes one line an item to items.txt in its output folder; "end" when all are there."""

    def __init__(self, output: str, flop: float = 0.0) -> None:
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "items.txt").open("w", encoding="utf-8", buffering=1)
        self._flop = flop

    def __call__(self, *inputs: Item) -> Item:
        number = check(inputs)
        self._file.write(f"{number}\n")
        return {"number": number, "value": multiply_add(self._flop)}

    def close(self) -> None:
        self._file.write("end\n")
        self._file.close()


def payload(number: int, size_bytes: int) -> npt.NDArray[np.uint8]:
    """Bytes that differ from item to item, so that a mixed-up or damaged one is seen."""
    return np.full(size_bytes, number % 251, np.uint8)


def check(inputs: tuple[Item, ...]) -> int:
    """The number that all inputs share. Raises ValueError when they differ, or when a payload is not theirs."""
    numbers = sorted({item["number"] for item in inputs})
    if len(numbers) != 1:
        raise ValueError(f"inputs of items {numbers} came together; expected inputs of one item")
    for item in inputs:
        if not (item["payload"] == numbers[0] % 251).all():
            raise ValueError(f"the payload of item {numbers[0]} holds other bytes than were sent")
    return int(numbers[0])


def multiply_add(flop: float) -> float:
    """Do flop operations: x = a x + b over a vector, two operations an element, on one thread.

    The iteration tends to b / (1 - a) = 2: returns how far it is from there, which only real work can tell.
    """
    vector = np.zeros(_VECTOR)
    passes, rest = divmod(round(flop / 2), _VECTOR)
    for _ in range(passes):
        np.multiply(vector, 0.5, out=vector)
        np.add(vector, 1.0, out=vector)
    part = vector[:rest]
    np.multiply(part, 0.5, out=part)
    np.add(part, 1.0, out=part)
    return float(np.abs(vector - 2.0).max()) if passes else 2.0
