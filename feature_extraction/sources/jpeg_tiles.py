"""JPEG tiles of a TIFF, decoded from their bytes: several times as fast as through OpenSlide.

Only files whose levels are plain grids of tiles are read so, and only where the pixels prove equal
to OpenSlide's on opening.
"""

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np
import openslide
import simplejpeg
import tifffile
from numpy.typing import NDArray

from feature_extraction.sources.canvas import Rgb
from feature_extraction.sources.tile_grid import Decode, TileCache, TileGrid

# What tifffile raises on tags that are damaged.
TIFF_ERRORS = (
    tifffile.TiffFileError,
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
# Formats that are one grid of tiles from the top left. Others overlap their tiles (Ventana,
# Trestle), shift them (Leica, Philips) or have none (Hamamatsu).
_PLAIN_GRIDS = {"aperio", "generic-tiff"}
_JPEG, _BLACK_IS_ZERO, _RGB, _YCBCR, _INTERLEAVED = 7, 1, 2, 6, 1
_PROBE_PX = 64
_PROBES = (0.0, 0.31, 0.5, 0.77, 1.0)


# Cairo, which OpenSlide draws with, weighs the neighbours of a place between pixels more coarsely.
INTERPOLATION_DIFFERENCE = 4


class AbsentTileError(Exception):
    """A tile that the scanner left out, as it saw only glass there."""


class OpenBytes:
    """A file of which several threads read different parts without waiting for each other."""

    def __init__(self, path: Path) -> None:
        # Windows would take the end of a line, and of a text, for more than bytes.
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._place = Lock()

    def read(self, offset: int, count: int) -> bytes:
        """Read `count` bytes; ValueError if the file ends before."""
        content = self._part(offset, count)
        if len(content) < count:
            raise ValueError(f"the file ends at byte {offset + len(content)}, within a tile")
        return content

    def _part(self, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, count, offset)
        with self._place:  # on Windows a file has one place to read from
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, count)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        """Give the open file."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self.close()


def pages_of(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """List the main pages of a TIFF with all their tags."""
    return [page.aspage() for page in tiff.pages]


def segment_size(page: tifffile.TiffPage) -> tuple[int, int]:
    """Width and height of a page's tiles or strips."""
    if page.is_tiled:
        return page.tilewidth, page.tilelength
    return page.imagewidth, min(page.rowsperstrip, page.imagelength)


def decode_jpeg(
    tile: bytes,
    tables: bytes | None,
    photometric: int,
    largest: tuple[int, int],
    into: Rgb | None = None,
) -> NDArray[np.uint8]:
    """Decode a JPEG tile of a TIFF.

    The tile may lack its tables, which the TIFF then holds once for all, and does not say whether
    it is RGB or YCbCr, which the TIFF does: both are put in front (TIFF technical note 2; the
    marker is Adobe's APP14).

    Parameters
    ----------
    tile
        The encoded bytes.
    tables
        Value of the tag JPEGTables, if there is one.
    photometric
        Value of the tag PhotometricInterpretation: RGB, YCbCr, or anything else for grey.
    largest
        Height and width beyond which nothing is decoded.
    into
        Memory of that size for the pixels; without it, memory of its own.

    Returns
    -------
    (height, width, 3) uint8

    Raises
    ------
    ValueError
        If the tile is damaged, cut short or too large. libjpeg itself would go on with grey.
    """
    if tile[:2] != b"\xff\xd8":
        raise ValueError("a tile is not JPEG")
    is_colour = photometric in {_RGB, _YCBCR}
    marker = b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0" + bytes([photometric == _YCBCR])
    header = b"\xff\xd8" + (marker if is_colour else b"") + (tables[2:-2] if tables else b"")
    pixels = np.empty((*largest, 3), dtype=np.uint8) if into is None else into
    decoded = simplejpeg.decode_jpeg(header + tile[2:], "RGB", buffer=pixels)
    return np.asarray(decoded, dtype=np.uint8)


def jpeg_decoder(page: tifffile.TiffPage, file: OpenBytes) -> Decode | None:
    """Give what decodes tile or strip `index` of a page, or None if these are not 8-bit JPEG.

    The decoder raises AbsentTileError for a tile the scanner left out, and ValueError for a
    damaged one.
    """
    channels = 3 if page.photometric in {_RGB, _YCBCR} else 1
    is_plain = page.compression == _JPEG and page.bitspersample == 8
    is_whole = page.samplesperpixel == channels and page.planarconfig == _INTERLEAVED
    if not (is_plain and is_whole and page.photometric in {_BLACK_IS_ZERO, _RGB, _YCBCR}):
        return None
    offsets, counts = np.asarray(page.dataoffsets), np.asarray(page.databytecounts)
    tables, photometric = page.jpegtables, int(page.photometric)
    (width, height), (whole_width, whole_height) = segment_size(page), _size_of(page)
    across = -(-whole_width // width)

    def decode(index: int, into: Rgb | None) -> Rgb:
        if not counts[index]:
            raise AbsentTileError
        encoded = file.read(int(offsets[index]), int(counts[index]))
        tile = decode_jpeg(encoded, tables, photometric, (height, width), into)
        # At the level's edge a tile may be cut off, but not within the level.
        rows = min(height, whole_height - index // across * height)
        columns = min(width, whole_width - index % across * width)
        if not (rows <= tile.shape[0] <= height and columns <= tile.shape[1] <= width):
            raise ValueError(f"a tile has {tile.shape[1]} x {tile.shape[0]} px")
        return tile

    return decode


class JpegLevels:
    """The levels of a slide that may be read tile by tile; none where that is not certain."""

    def __init__(self, path: Path, sizes: Sequence[tuple[int, int]]) -> None:
        self._file = OpenBytes(path)
        self._grids: Mapping[int, TileGrid] = {}
        try:
            if openslide.OpenSlide.detect_format(path) in _PLAIN_GRIDS:
                self._grids = _equal_to_openslide(path, _grids(path, sizes, self._file))
        except BaseException:
            self._file.close()
            raise

    @property
    def levels(self) -> Sequence[int]:
        """Which levels are read tile by tile."""
        return tuple(self._grids)

    def read(
        self, level: int, x: float, y: float, width: int, height: int, into: Rgb | None = None
    ) -> Rgb | None:
        """Read a region of a level, or None where OpenSlide has to: at the edge, over a gap."""
        if level not in self._grids:
            return None
        try:
            return self._grids[level].read(x, y, width, height, into)
        except (AbsentTileError, IndexError):
            return None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _grids(path: Path, sizes: Sequence[tuple[int, int]], file: OpenBytes) -> Mapping[int, TileGrid]:
    """Find the page of each level by its size."""
    cache = TileCache()
    grids: dict[int, TileGrid] = {}
    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            for page in pages_of(tiff):
                size = _size_of(page)
                if not page.is_tiled or size not in sizes or sizes.index(size) in grids:
                    continue
                level, decode = sizes.index(size), jpeg_decoder(page, file)
                if decode is not None:
                    grids[level] = TileGrid(size, segment_size(page), decode, cache, level)
    except TIFF_ERRORS:
        return {}  # OpenSlide has opened the file and reads it, at its own speed
    return grids


def _size_of(page: tifffile.TiffPage) -> tuple[int, int]:
    return page.imagewidth, page.imagelength


def _equal_to_openslide(path: Path, grids: Mapping[int, TileGrid]) -> Mapping[int, TileGrid]:
    """Keep the levels whose pixels are OpenSlide's, at places spread over them."""
    if not grids:
        return grids
    try:
        # On its own: after an error OpenSlide refuses everything, damage nobody looks at included.
        with openslide.OpenSlide(path) as judge:
            return {level: grid for level, grid in grids.items() if _is_equal(judge, level, grid)}
    except (openslide.OpenSlideError, ValueError):
        return {}


def _is_equal(judge: openslide.OpenSlide, level: int, grid: TileGrid) -> bool:
    downsample = judge.level_downsamples[level]
    side = min(_PROBE_PX, grid.width, grid.height)
    compared = 0
    for share in _PROBES:
        x, y = (int(share * (whole - side) * downsample) for whole in (grid.width, grid.height))
        try:
            ours = grid.read(x / downsample, y / downsample, side, side)
        except (AbsentTileError, IndexError):
            continue
        theirs = np.asarray(judge.read_region((x, y), level, (side, side)))[..., :3]
        if np.abs(ours.astype(int) - theirs).max() > INTERPOLATION_DIFFERENCE:
            return False
        compared += 1
    return compared > 0
