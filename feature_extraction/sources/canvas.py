"""The protocol every kind of image source fulfils, and the pixel arithmetic they share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from feature_extraction.units import Level0Px, Mpp, PatchPx

Rgb = NDArray[np.uint8]
"""(height, width, 3) uint8."""


class Canvas(Protocol):
    """One image that can be read in parts."""

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height at full resolution, in level-0 px."""

    @property
    def mpp(self) -> Mpp | None:
        """Microns per pixel the file itself states, if it does."""

    def read_region(self, x: Level0Px, y: Level0Px, side: Level0Px, out_px: PatchPx) -> Rgb:
        """Read the square with top-left (x, y), resampled to (out_px, out_px, 3)."""

    def thumbnail(self, longest: int) -> Rgb:
        """Read the whole image, shrunk so that its longer side is at most `longest` px."""

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Source(Protocol):
    """What one row of a manifest names: one or more canvases and the files they come from."""

    @property
    def names(self) -> Sequence[str]:
        """A name for each canvas, stable between runs."""

    @property
    def files(self) -> Sequence[Path]:
        """Every file whose bytes decide the pixels."""

    def open(self, index: int) -> Canvas:
        """Open canvas `index`."""


def resized(image: Rgb, width: int, height: int) -> Rgb:
    """Resample to (height, width, 3); area averaging when shrinking, so that nothing aliases."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), dtype=np.uint8)


def shrunk(image: Rgb, longest: int) -> Rgb:
    """Shrink so that the longer side is at most `longest` px, keeping the shape."""
    factor = longest / max(image.shape[:2])
    if factor >= 1:
        return image
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return resized(image, width, height)


def padded_to_square(image: Rgb) -> Rgb:
    """Repeat the border of the shorter side, so that a cell keeps its shape when resized."""
    height, width = image.shape[:2]
    missing_rows, missing_columns = max(0, width - height), max(0, height - width)
    if missing_rows == missing_columns == 0:
        return image
    top, left = missing_rows // 2, missing_columns // 2
    padded = cv2.copyMakeBorder(
        image, top, missing_rows - top, left, missing_columns - left, cv2.BORDER_REPLICATE
    )
    return np.asarray(padded, dtype=np.uint8)
