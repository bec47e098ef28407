"""Whole slides through OpenSlide. Label and macro images are never read: they name patients."""

from pathlib import Path

import numpy as np
import openslide
from PIL import Image, ImageCms

from feature_extraction.sources.canvas import Rgb, UnopenableError, square_mpp
from feature_extraction.sources.jpeg_tiles import JpegLevels
from feature_extraction.sources.pyramid_canvas import PyramidCanvas
from feature_extraction.sources.resolution import trusted_tag_mpp
from feature_extraction.sources.tile_grid import CACHE_BYTES
from feature_extraction.units import Mpp


class OpenSlideCanvas(PyramidCanvas):
    """An open slide; where its tiles are JPEG in plain rows, they are decoded without OpenSlide."""

    _decoding_errors = (openslide.OpenSlideError, ValueError)

    def __init__(self, path: Path) -> None:
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise UnopenableError(path.name, "OpenSlide: the format is not known") from error
        except (openslide.OpenSlideError, FileNotFoundError) as error:
            raise UnopenableError(path.name, f"OpenSlide: {error}") from error
        super().__init__(path.name, self._slide.level_dimensions)
        self._slide.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
        self._tiles = JpegLevels(path, self._slide.level_dimensions)
        self._background = self._background_colour()

    @property
    def mpp(self) -> Mpp | None:
        """The mean of the horizontal and vertical resolution the slide states."""
        across = self._number(openslide.PROPERTY_NAME_MPP_X)
        down = self._number(openslide.PROPERTY_NAME_MPP_Y)
        if self._vendor == "generic-tiff":
            across, down = trusted_tag_mpp(across), trusted_tag_mpp(down)
        return square_mpp(self._name, across, down)

    @property
    def magnification(self) -> float | None:
        """Objective power the slide states."""
        return self._number(openslide.PROPERTY_NAME_OBJECTIVE_POWER)

    @property
    def reader(self) -> str:
        """OpenSlide and the format it found."""
        return f"openslide {self._vendor}"

    @property
    def colour_profile(self) -> bytes | None:
        """The slide's ICC profile."""
        try:
            profile = self._slide.color_profile
        except ImageCms.PyCMSError:
            return b""  # it has one that is damaged; whoever has to apply it says so
        return None if profile is None else bytes(profile.tobytes())

    @property
    def levels_read_by_tile(self) -> tuple[int, ...]:
        """Levels that are decoded without OpenSlide."""
        return tuple(self._tiles.levels)

    def close(self) -> None:
        """Close the slide."""
        self._tiles.close()
        self._slide.close()

    def _read(
        self, level: int, x: float, y: float, width: int, height: int, into: Rgb | None = None
    ) -> Rgb:
        region = self._tiles.read(level, x, y, width, height, into)
        return self._read_by_openslide(level, x, y, width, height) if region is None else region

    def _read_by_openslide(self, level: int, x: float, y: float, width: int, height: int) -> Rgb:
        downsample = self._slide.level_downsamples[level]
        corner = (round(x * downsample), round(y * downsample))
        return self._opaque(self._slide.read_region(corner, level, (width, height)))

    @property
    def _vendor(self) -> str:
        return str(self._slide.properties[openslide.PROPERTY_NAME_VENDOR])

    def _number(self, name: str) -> float | None:
        """Read a number the slide states; what is not one or not above 0 states nothing."""
        try:
            value = float(self._slide.properties.get(name, "nan"))
        except ValueError:
            return None
        return value if 0 < value < float("inf") else None

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
