"""Plain TIFF and OME-TIFF that OpenSlide does not take, through tifffile and imagecodecs.

Label, macro and thumbnail images beside the slide are never read: they name patients.
"""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import tifffile

from feature_extraction.sources.canvas import Rgb, UnopenableError, square_mpp
from feature_extraction.sources.jpeg_tiles import TIFF_ERRORS, OpenBytes, pages_of
from feature_extraction.sources.pyramid_canvas import PyramidCanvas
from feature_extraction.sources.resolution import imagej_mpp, ome_mpp, tag_mpp
from feature_extraction.sources.tiff_pages import held_bits, tile_grid, why_unreadable
from feature_extraction.sources.tile_grid import TileCache
from feature_extraction.units import Mpp

_BESIDE = re.compile(r"\b(label|macro|thumbnail|overview|barcode|preview)\b", re.IGNORECASE)
_MACRO = 9
_INCH = 2
_MAX_PAGES = 10_000


class TiffCanvas(PyramidCanvas):
    """An open TIFF, read tile by tile."""

    _decoding_errors = TIFF_ERRORS

    def __init__(self, path: Path) -> None:
        try:
            # An OME-TIFF may name other files as parts of it; what is read is this one alone.
            with tifffile.TiffFile(path, _multifile=False) as tiff, ExitStack() as on_failure:
                pages = _levels(tiff)
                reason = next((why for page in pages if (why := why_unreadable(page))), None)
                if reason is not None:
                    raise UnopenableError(path.name, f"tifffile: {reason}")
                self._file, cache = OpenBytes(path), TileCache()
                on_failure.callback(self._file.close)
                held = held_bits(pages, self._file)
                self._grids = [
                    tile_grid(page, self._file, cache, level, held)
                    for level, page in enumerate(pages)
                ]
                self._stated = _stated_mpp(tiff, pages[0])
                profile = pages[0].tags.get("InterColorProfile")
                self._profile = None if profile is None else bytes(profile.value)
                on_failure.pop_all()
        except (*TIFF_ERRORS, SyntaxError, FileNotFoundError) as error:
            raise UnopenableError(path.name, f"tifffile: {error}") from error
        super().__init__(path.name, [(grid.width, grid.height) for grid in self._grids])

    @property
    def mpp(self) -> Mpp | None:
        """What OME-XML states, else ImageJ, else the resolution tags where they can be believed."""
        return square_mpp(self._name, *self._stated)

    @property
    def reader(self) -> str:
        """The library."""
        return "tifffile"

    @property
    def colour_profile(self) -> bytes | None:
        """The ICC profile of the first level."""
        return self._profile

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(
        self, level: int, x: float, y: float, width: int, height: int, into: Rgb | None = None
    ) -> Rgb:
        grid = self._grids[level]
        # Levels are rounded to whole pixels: the last patch may end a pixel beyond them.
        width, height = min(width, grid.width), min(height, grid.height)
        x, y = min(x, grid.width - width), min(y, grid.height - height)
        return grid.read(x, y, width, height, into)


def is_misread_by_openslide(path: Path) -> bool:
    """Tell whether OpenSlide would take a TIFF of no maker, but for something else than it is.

    It takes the first page of an OME-TIFF for the slide, be it one channel of many, and the 12 bits
    of a camera for 16, which makes them nearly black.
    """
    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            return bool(tiff.is_ome or tiff.pages.first.bitspersample > 8)
    except TIFF_ERRORS:
        return False


def _levels(tiff: tifffile.TiffFile) -> Sequence[tifffile.TiffPage]:
    """Find the slide's pages, the finest first.

    Raises
    ------
    ValueError
        If there is no image, or several of one size: channels, focal planes or time points.
    """
    if tiff.is_ome:
        return _levels_of_ome(tiff)
    if len(tiff.pages) > _MAX_PAGES:
        raise ValueError(f"{len(tiff.pages)} pages; export one image")
    pages = [page for page in pages_of(tiff) if not _is_beside(page)]
    if not pages:
        raise ValueError("no page is an image of the slide")
    finest = max(pages, key=lambda page: page.imagewidth * page.imagelength)
    smaller = [page for page in (*pages, *_below(finest)) if _is_reduced(page, finest)]
    of_one_size = sum(_size(page) == _size(finest) for page in pages)
    if of_one_size > 1:
        raise ValueError(
            f"{of_one_size} images of {finest.imagewidth} x {finest.imagelength} px, which are "
            "channels, focal planes or time points; export one image"
        )
    by_size = {_size(page): page for page in reversed(smaller) if why_unreadable(page) is None}
    return [finest, *sorted(by_size.values(), key=lambda page: -page.imagewidth)]


def _levels_of_ome(tiff: tifffile.TiffFile) -> Sequence[tifffile.TiffPage]:
    series = [one for one in tiff.series if not _BESIDE.search(one.name)]
    if not series:
        raise ValueError("no image is named otherwise than a label, macro or thumbnail")
    finest = max(series, key=lambda one: one.keyframe.imagewidth * one.keyframe.imagelength)
    for level in finest.levels:
        if len(level.pages) != 1:
            raise ValueError(
                f"{len(level.pages)} planes (axes {level.axes}, {level.shape}): it is fluorescence "
                "or has focal planes or time points; export one image in RGB"
            )
    return [level.keyframe for level in finest.levels]


def _is_beside(page: tifffile.TiffPage) -> bool:
    """Tell whether a page is a label, macro or the like by its flag or description."""
    return page.subfiletype == _MACRO or bool(_BESIDE.search(page.description[:200]))


def _is_reduced(page: tifffile.TiffPage, finest: tifffile.TiffPage) -> bool:
    """Tell whether a page is the whole slide on fewer pixels: of its shape to within one pixel."""
    across = finest.imagewidth / page.imagewidth
    down = finest.imagelength / page.imagelength
    one_pixel = 1 / page.imagewidth + 1 / page.imagelength
    samples = page.samplesperpixel, page.bitspersample
    alike = samples == (finest.samplesperpixel, finest.bitspersample)
    return alike and min(across, down) > 1.2 and abs(across / down - 1) <= one_pixel


def _below(page: tifffile.TiffPage) -> list[tifffile.TiffPage]:
    """List the reduced images that a page holds as SubIFDs."""
    return [] if page.pages is None else [below.aspage() for below in page.pages]


def _size(page: tifffile.TiffPage) -> tuple[int, int]:
    return page.imagewidth, page.imagelength


def _stated_mpp(
    tiff: tifffile.TiffFile, page: tifffile.TiffPage
) -> tuple[float | None, float | None]:
    if tiff.ome_metadata is not None:
        image = next(i for i, one in enumerate(tiff.series) if one.keyframe.index == page.index)
        return ome_mpp(tiff.ome_metadata, image)
    across, down = (page.tags.valueof(name) for name in ("XResolution", "YResolution"))
    if across is None or down is None:
        return None, None
    if tiff.imagej_metadata is not None:
        return imagej_mpp(tiff.imagej_metadata, across), imagej_mpp(tiff.imagej_metadata, down)
    unit = int(page.tags.valueof("ResolutionUnit", _INCH))
    return tag_mpp(across, unit), tag_mpp(down, unit)
