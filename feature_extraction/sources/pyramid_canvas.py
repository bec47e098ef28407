"""What all whole slides share: levels of decreasing size, of which the right one is read."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from feature_extraction.sources.canvas import (
    Canvas,
    Rgb,
    resized,
    shrunk_by_strips,
    shrunk_size,
    unreadable,
)
from feature_extraction.units import Level0Px, PatchPx

# Levels are rounded to whole pixels, so a level of 4.01 still serves where 4 is wanted.
_LEVEL_TOLERANCE = 1.01


class PyramidCanvas(Canvas):
    """A slide with levels; a reader of a format says only how a region of one level is read."""

    _decoding_errors: ClassVar[tuple[type[Exception], ...]]
    """What the library raises on damaged pixels."""

    def __init__(self, name: str, sizes: Sequence[tuple[int, int]]) -> None:
        self._name = name
        self._sizes = tuple(sizes)
        width, height = self._sizes[0]
        self._downsamples = tuple((width / w + height / h) / 2 for w, h in self._sizes)

    @abstractmethod
    def _read(
        self, level: int, x: float, y: float, width: int, height: int, into: Rgb | None = None
    ) -> Rgb:
        """Read a region of a level, (height, width, 3); x and y are in px of that level.

        A reader that can puts it `into` memory of that shape; others give memory of their own.
        """

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in level-0 px."""
        return self._sizes[0]

    def read_region(self, x: Level0Px, y: Level0Px, side: Level0Px, out_px: PatchPx) -> Rgb:
        """Read from the coarsest level that is still fine enough, then shrink the rest."""
        patch = np.empty((out_px, out_px, 3), dtype=np.uint8)
        self.read_into(patch, x, y, side)
        return patch

    def read_into(self, patch: Rgb, x: Level0Px, y: Level0Px, side: Level0Px) -> None:
        """Decode into the patch itself where nothing is left to shrink."""
        level = self._coarsest_level(side / len(patch))
        downsample = self._downsamples[level]
        at_level = max(1, round(side / downsample))
        into = patch if at_level == len(patch) else None
        try:
            region = self._read(level, x / downsample, y / downsample, at_level, at_level, into)
        except self._decoding_errors as error:
            raise unreadable(self._name, x, y, error) from error
        if region is not patch:
            patch[:] = resized(region, len(patch), len(patch))

    def thumbnail(self, longest: int) -> Rgb:
        """Shrink the coarsest level that is still fine enough, strip by strip where it is large."""
        target = shrunk_size(*self.dimensions, longest)
        level = self._coarsest_level(max(self.dimensions) / max(target))
        width, height = self._sizes[level]

        def read_rows(first: int, last: int) -> Rgb:
            try:
                return self._read(level, 0, first, width, last - first)
            except self._decoding_errors as error:
                y = round(first * self._downsamples[level])
                raise unreadable(self._name, 0, y, error) from error

        fitting = (min(target[0], width), min(target[1], height))
        return resized(shrunk_by_strips((width, height), fitting, read_rows), *target)

    def _coarsest_level(self, downsample: float) -> int:
        fine = [d <= downsample * _LEVEL_TOLERANCE for d in self._downsamples]
        return max((level for level, serves in enumerate(fine) if serves), default=0)
