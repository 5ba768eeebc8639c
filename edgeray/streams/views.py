"""How a camera's picture is made of its source's: cut, moved in time, coloured, many in one, or with nobody in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from edgeray.streams.films import Film
from edgeray.vision.pictures import Picture

_STILL_SAMPLES = 15  # odd, so that the median is one of them; who stands still for half the film stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """crop: left, top, right, bottom in fractions. size: width, height in pixels; None: as cut. shift_s: how far into the
    film it begins. hue_deg: turned by; saturation, brightness: times. tiles: n x n copies, spread over the film's time,
    which makes n^2 times the people. still: the place with nobody in it.
    """

    crop: tuple[float, float, float, float] | None = None
    size: tuple[int, int] | None = None
    shift_s: float = 0.0
    hue_deg: float | None = None
    saturation: float | None = None
    brightness: float | None = None
    tiles: int = 1
    still: bool = False

    def __post_init__(self) -> None:
        if self.crop is not None:
            left, top, right, bottom = self.crop
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise ValueError(f"crop {list(self.crop)}; expected: left < right, top < bottom, all in 0..1")
        if self.size is not None:
            width, height = self.size
            if width < 1 or height < 1:
                raise ValueError(f"size {list(self.size)}; expected: width and height of at least 1")
        if self.tiles < 1:
            raise ValueError(f"tiles {self.tiles}; expected: at least 1")
        if not math.isfinite(self.shift_s):
            raise ValueError(f"shift_s {self.shift_s}; expected: a number of seconds")
        for name in ("saturation", "brightness"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} {value}; expected: at least 0")

    def seen(self, pixels: Picture) -> Picture:
        """Cut, size and colour a picture."""
        return self.coloured(self.cut(pixels, self.size))

    def cut(self, pixels: Picture, size: tuple[int, int] | None) -> Picture:
        if self.crop is not None:
            height, width = pixels.shape[:2]
            left, top, right, bottom = self.crop
            columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
            rows = slice(round(top * height), max(round(bottom * height), round(top * height) + 1))
            pixels = np.ascontiguousarray(pixels[rows, columns])
        if size is not None and size != (pixels.shape[1], pixels.shape[0]):
            # Averaging areas costs three times as much, and only tells from half the size on.
            how = cv2.INTER_AREA if 2 * size[0] <= pixels.shape[1] else cv2.INTER_LINEAR
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)
        return pixels

    def coloured(self, pixels: Picture) -> Picture:
        if self.hue_deg is None and self.saturation is None:
            if self.brightness is None:
                return pixels
            return np.asarray(cv2.convertScaleAbs(pixels, alpha=self.brightness), np.uint8)
        hsv = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV)
        return np.asarray(cv2.cvtColor(cv2.LUT(hsv, self._table()), cv2.COLOR_HSV2BGR), np.uint8)

    def _table(self) -> Picture:
        """What each level of hue (half degrees), saturation and value becomes: (1, 256, 3)."""
        levels = np.arange(256)
        hue = (levels + round((self.hue_deg or 0.0) / 2)) % 180
        saturation, brightness = (1.0 if x is None else x for x in (self.saturation, self.brightness))
        scaled = [np.clip(np.round(levels * factor), 0, 255) for factor in (saturation, brightness)]
        return np.stack([hue, *scaled], axis=1).astype(np.uint8)[None]


class View:
    """A film seen with a look. Further tiles read films of their own, since each is at another time."""

    def __init__(self, look: Look, film: Film, opener: Callable[[], Film]) -> None:
        self._look = look
        self._opener = opener
        self._films = [film]
        self._still: Picture | None = None

    def picture(self, index: int) -> Picture | None:
        """The picture that is due with the film's frame of this number, counted on over its repetitions."""
        if self._look.still:
            if self._still is None:
                self._still = self._look.coloured(self._empty(self._films[0]))
            return self._still
        if self._look.tiles == 1:
            pixels = self._frame(0, index)
            return None if pixels is None else self._look.seen(pixels)
        return self._mosaic(index)

    def close(self) -> None:
        """The films of its own; the first is whoever's opened it."""
        for film in self._films[1:]:
            film.close()

    def _frame(self, tile: int, index: int) -> Picture | None:
        film = self._films[tile]
        shift = round(self._look.shift_s * film.frames_per_s) + tile * film.count // self._look.tiles**2
        for _ in range(2):  # again, where the film turns out to be shorter than it said
            if film.count == 0:
                break
            pixels = film.at((index + shift) % film.count)
            if pixels is not None:
                return pixels
        return None

    def _mosaic(self, index: int) -> Picture | None:
        while len(self._films) < self._look.tiles**2:
            self._films.append(self._opener())
        first = self._frame(0, index)
        if first is None:
            return None
        whole = np.empty_like(self._look.cut(first, self._look.size))
        side = self._look.tiles
        rows, columns = (np.linspace(0, edge, side + 1).astype(int) for edge in whole.shape[:2])
        for tile in range(side**2):
            pixels = first if tile == 0 else self._frame(tile, index)
            if pixels is None:
                return None
            row, column = divmod(tile, side)
            top, bottom, left, right = rows[row], rows[row + 1], columns[column], columns[column + 1]
            whole[top:bottom, left:right] = self._look.cut(pixels, (int(right - left), int(bottom - top)))
        return self._look.coloured(whole)

    def _empty(self, film: Film) -> Picture:
        """Each pixel's median over the film: what moves through is gone."""
        numbers = np.unique(np.linspace(0, film.count - 1, _STILL_SAMPLES).astype(int))
        found = [film.at(int(number)) for number in numbers]
        stack = np.stack([self._look.cut(pixels, self._look.size) for pixels in found if pixels is not None])
        middle = len(stack) // 2
        return np.ascontiguousarray(np.partition(stack, middle, axis=0)[middle])
