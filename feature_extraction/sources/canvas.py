"""The protocol every kind of image source fulfils, and the arithmetic they share."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from cohorts.errors import ImageError
from feature_extraction.units import Level0Px, Mpp, PatchPx

Rgb = NDArray[np.uint8]
"""(height, width, 3) uint8."""

IccState = Literal["applied", "none", "ignored"]

# More pixels than this are never held by a thread for a thumbnail that is smaller.
_STRIP_PIXELS = 16_000_000
# The encoder waits for the overview: several threads decode and shrink it, a strip at a time.
_STRIP_READERS = 2
_FEWEST_STRIPS = 4
# Half the size or a little less: levels and resolutions are rounded.
_HALF = 2.1
# Scanners calibrate both axes on their own and state them to a few digits.
_SQUARE_WITHIN = 0.02


class Canvas(Protocol):
    """One image that can be read in parts, by several threads at once."""

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height at full resolution, in level-0 px."""

    @property
    def mpp(self) -> Mpp | None:
        """Microns per pixel the file itself states, if it does; ImageError if not square."""

    @property
    def magnification(self) -> float | None:
        """Objective power the file states, if it does; 40 is a 40x objective."""
        return None

    @property
    def reader(self) -> str:
        """What reads the file, e.g. "openslide aperio"."""

    @property
    def colour_profile(self) -> bytes | None:
        """The ICC profile that the pixels still need to become sRGB."""

    @property
    def icc(self) -> IccState:
        """What became of the file's colour profile."""
        return "none" if self.colour_profile is None else "ignored"

    def read_region(self, x: Level0Px, y: Level0Px, side: Level0Px, out_px: PatchPx) -> Rgb:
        """Read the square with top-left (x, y), resampled to (out_px, out_px, 3)."""

    def read_into(self, patch: Rgb, x: Level0Px, y: Level0Px, side: Level0Px) -> None:
        """Read such a square into memory that is there, (out_px, out_px, 3)."""
        patch[:] = self.read_region(x, y, side, PatchPx(len(patch)))

    def thumbnail(self, longest: int) -> Rgb:
        """Read the whole image, shrunk so that its longer side is at most `longest` px."""

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


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


class UnopenableError(ImageError):
    """A slide that a reader refuses; another may take it.

    Parameters
    ----------
    name
        The file's name.
    refusal
        The reader and its reason, e.g. "OpenSlide: the format is not known".
    """

    def __init__(self, name: str, refusal: str) -> None:
        self.refusal = one_line(refusal)
        super().__init__(
            f'"{name}" cannot be opened ({self.refusal}); give a complete file of a format '
            "that is read, or remove its row"
        )


def unreadable(name: str, x: int, y: int, reason: object) -> ImageError:
    """Name the place of a slide whose pixels cannot be decoded."""
    return ImageError(
        f'"{name}" cannot be read at x {x}, y {y}: {one_line(reason)}; '
        "the file is damaged, copy or scan it again"
    )


def one_line(reason: object) -> str:
    """Fold what a library says into one line."""
    return " ".join(str(reason).split()) or type(reason).__name__


def square_mpp(name: str, horizontal: float | None, vertical: float | None) -> Mpp | None:
    """Mean of both resolutions in microns per pixel; None where one is missing or not above 0.

    Raises
    ------
    ImageError
        If they differ by more than 2%: a cell would change its shape.
    """
    if horizontal is None or vertical is None or not (horizontal > 0 and vertical > 0):
        return None
    if not 1 / (1 + _SQUARE_WITHIN) <= horizontal / vertical <= 1 + _SQUARE_WITHIN:
        raise ImageError(
            f'"{name}" states {horizontal:g} microns per pixel across and {vertical:g} down: its '
            "pixels are not square; export it with square pixels, or give the right resolution in "
            'the manifest\'s column "mpp"'
        )
    return Mpp((horizontal + vertical) / 2)


def mpp_of_magnification(power: float) -> Mpp:
    """Microns per pixel that are usual under an objective: 10 / power, 0.25 at 40x.

    The convention of slide scanners and of TRIDENT. It holds only for a camera and adapter that
    were chosen for it, so no image is given a resolution by it; it serves to name a likely one.
    """
    return Mpp(10 / power)


def resized(image: Rgb, width: int, height: int) -> Rgb:
    """Resample to (height, width, 3), so that nothing aliases.

    Shrinking averages over areas. Down to half the size bilinear interpolation, whose two points a
    side then pass over no pixel, is as near to what Lanczos' filter gives, and eight times as fast.
    """
    if image.shape[:2] == (height, width):
        return image
    across, down = image.shape[1] / width, image.shape[0] / height
    if min(across, down) < 1:
        method = cv2.INTER_CUBIC
    else:
        method = cv2.INTER_LINEAR if max(across, down) <= _HALF else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), dtype=np.uint8)


def shrunk(image: Rgb, longest: int) -> Rgb:
    """Shrink so that the longer side is at most `longest` px, keeping the shape."""
    return resized(image, *shrunk_size(image.shape[1], image.shape[0], longest))


def shrunk_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """Width and height after shrinking so that the longer is at most `longest` px."""
    factor = longest / max(width, height)
    if factor >= 1:
        return width, height
    return max(1, round(width * factor)), max(1, round(height * factor))


def shrunk_by_strips(
    size: tuple[int, int], target: tuple[int, int], read_rows: Callable[[int, int], Rgb]
) -> Rgb:
    """Shrink an image that is too large to be held, reading some rows of it at a time.

    Parameters
    ----------
    size
        Width and height of the image.
    target
        Width and height wanted, not larger than `size`.
    read_rows
        Gives rows first (inclusive) to last (exclusive), (last - first, width, 3); called by
        several threads.
    """
    (width, height), (small_width, small_height) = size, target
    small = np.empty((small_height, small_width, 3), dtype=np.uint8)
    most = small_height * _STRIP_PIXELS // (width * height)
    step = max(1, min(most, -(-small_height // _FEWEST_STRIPS)))

    def shrink(top: int) -> None:
        bottom = min(top + step, small_height)
        first, last = top * height // small_height, -(-bottom * height // small_height)
        small[top:bottom] = resized(read_rows(first, last), small_width, bottom - top)

    with ThreadPoolExecutor(_STRIP_READERS) as pool:
        for _ in pool.map(shrink, range(0, small_height, step)):
            pass
    return small


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
