"""Whole slides through OpenSlide. Label and macro images are never read: they name patients."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import openslide
from PIL import Image

from cohorts.errors import ImageError
from feature_extraction.sources.canvas import Rgb, resized
from feature_extraction.units import Level0Px, Mpp, PatchPx


class OpenSlideSource:
    """A slide file; its single canvas is the slide."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def names(self) -> Sequence[str]:
        """The file's name."""
        return (self._path.name,)

    @property
    def files(self) -> Sequence[Path]:
        """The file, and what holds its pixels: MIRAX's folder, the DICOM files beside it."""
        if self._path.suffix.lower() == ".dcm":
            return tuple(sorted(self._path.parent.glob("*.dcm")))
        beside = self._path.with_suffix("")
        if self._path.suffix.lower() == ".mrxs" and beside.is_dir():
            return (self._path, *sorted(beside.iterdir()))
        return (self._path,)

    def open(self, index: int) -> "OpenSlideCanvas":
        """Open the slide; `index` is 0."""
        del index
        return OpenSlideCanvas(self._path)


class OpenSlideCanvas:
    """An open slide."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise ImageError(
                f'OpenSlide does not know the format of "{path.name}"; is it a whole slide, '
                "complete and under its own name?"
            ) from error
        except (openslide.OpenSlideError, FileNotFoundError) as error:
            raise ImageError(
                f'OpenSlide cannot open "{path.name}": {_one_line(error)}; the file is damaged or '
                "incomplete: replace it or remove its row"
            ) from error
        self._background = self._background_colour()

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in level-0 px."""
        width, height = self._slide.dimensions
        return width, height

    @property
    def mpp(self) -> Mpp | None:
        """The mean of the horizontal and vertical resolution the slide states."""
        stated = [
            self._slide.properties.get(name)
            for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)
        ]
        if None in stated:
            return None
        horizontal, vertical = (float(value) for value in stated if value is not None)
        return Mpp((horizontal + vertical) / 2) if min(horizontal, vertical) > 0 else None

    def read_region(self, x: Level0Px, y: Level0Px, side: Level0Px, out_px: PatchPx) -> Rgb:
        """Read from the coarsest level that is still fine enough, then shrink the rest."""
        wanted = side / out_px
        level = self._slide.get_best_level_for_downsample(wanted * 1.01)
        at_level = max(1, round(side / self._slide.level_downsamples[level]))
        try:
            region = self._slide.read_region((x, y), level, (at_level, at_level))
        except openslide.OpenSlideError as error:
            raise ImageError(
                f'"{self._name}" cannot be read at x {x}, y {y}: {_one_line(error)}; '
                "the file is damaged, copy or scan it again"
            ) from error
        return resized(self._opaque(region), out_px, out_px)

    def thumbnail(self, longest: int) -> Rgb:
        """Read the whole slide from its coarsest sufficient level."""
        try:
            return np.asarray(self._slide.get_thumbnail((longest, longest)).convert("RGB"))
        except openslide.OpenSlideError as error:
            raise ImageError(
                f'"{self._name}" cannot be read: {_one_line(error)}; the file is damaged'
            ) from error

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()

    def __enter__(self) -> Self:
        """Give the open slide."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the slide."""
        self.close()

    def _background_colour(self) -> tuple[int, int, int]:
        stated = self._slide.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "ffffff")
        return int(stated[0:2], 16), int(stated[2:4], 16), int(stated[4:6], 16)

    def _opaque(self, region: Image.Image) -> Rgb:
        """Put the slide's background behind what was not scanned (alpha 0)."""
        pixels = np.asarray(region)
        if pixels[..., 3].min() == 255:
            return np.ascontiguousarray(pixels[..., :3])
        backdrop = Image.new("RGBA", region.size, (*self._background, 255))
        return np.asarray(Image.alpha_composite(backdrop, region).convert("RGB"))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
