"""One page of a TIFF as RGB tiles, whatever its compression, depth, colours and order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import tifffile
from numpy.typing import NDArray

from feature_extraction.sources.canvas import Rgb
from feature_extraction.sources.jpeg_tiles import (
    AbsentTileError,
    OpenBytes,
    jpeg_decoder,
    segment_size,
)
from feature_extraction.sources.tile_grid import TileCache, TileGrid

# A tile or strip is decoded whole. Slides have tiles of 0.1 to 17 million pixels.
MAX_SEGMENT_PIXELS = 64_000_000
_ROWS_PIXELS = 1_000_000
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _YCBCR: 3}
_JPEGS = {6, 7, 33007, 34892}
_JPEG2000 = {33003, 33004, 33005, 34712}
_PREMULTIPLIED, _STRAIGHT = 1, 2

Samples = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Colours:
    """What the samples of a page mean.

    Attributes
    ----------
    photometric
        Value of the tag PhotometricInterpretation.
    palette
        (entries, 3) uint8, where samples are indices.
    opacity
        Value of the tag ExtraSamples for the first channel beyond the colours: whether these are
        multiplied by it already or not; 0 for a channel that means something else, left out.
    """

    photometric: int
    palette: Rgb | None
    opacity: int

    @classmethod
    def of(cls, page: tifffile.TiffPage) -> Self:
        """Read them while the file is open: tifffile loads some tags when they are asked for."""
        palette = None
        if page.photometric == _PALETTE and page.colormap is not None:
            palette = (page.colormap.T >> 8).astype(np.uint8)
        extra = [int(kind) for kind in page.extrasamples]
        return cls(int(page.photometric), palette, extra[0] if extra else 0)


def why_unreadable(page: tifffile.TiffPage) -> str | None:
    """Say why a page is no image of stained cells that can be read in parts, or None if it is."""
    photometric, samples = page.photometric, page.samplesperpixel
    reason = None
    if samples not in {1, 3, 4}:
        reason = (
            f"{samples} channels: it is fluorescence or multispectral, "
            "and a stained slide has 1, 3 or 4"
        )
    elif photometric not in _CHANNELS or samples < _CHANNELS[photometric]:
        reason = f"colours of kind {tifffile.PHOTOMETRIC(photometric).name}; export it as RGB"
    elif page.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)}:
        reason = f"{page.bitspersample}-bit pixels of type {page.dtype}; export it with 8 bits"
    elif page.compression != 1 and page.compression not in tifffile.TIFF.DECOMPRESSORS:
        reason = f"compression {int(page.compression)}, which is not known; export it with JPEG"
    elif photometric == _YCBCR and page.compression not in _JPEGS | _JPEG2000:
        reason = "YCbCr colours without JPEG; export it as RGB"
    elif page.imagedepth != 1:
        reason = f"{page.imagedepth} focal planes in one image; export one plane"
    elif (pixels := _segment_pixels(page)) > MAX_SEGMENT_PIXELS:
        reason = (
            f"pieces of {pixels // 1_000_000} million pixels that can only be decoded whole; "
            "export it as a tiled pyramidal TIFF"
        )
    return reason


def tile_grid(page: tifffile.TiffPage, file: OpenBytes, cache: TileCache, level: int) -> TileGrid:
    """Cut a page into its tiles or strips, which are decoded as RGB when asked for.

    Raises
    ------
    ValueError
        If the page has fewer tiles than its size needs.
    """
    size = (page.imagewidth, page.imagelength)
    if _can_be_cut_anywhere(page):
        rows = max(1, _ROWS_PIXELS // page.imagewidth)
        strip = (page.imagewidth, rows)
        return TileGrid(size, strip, _uncompressed(page, file, rows), cache, level)
    tile = segment_size(page)
    needed = -(-size[0] // tile[0]) * -(-size[1] // tile[1]) * _planes(page)
    if len(page.dataoffsets) < needed or len(page.databytecounts) < needed:
        raise ValueError(f"{len(page.dataoffsets)} tiles or strips where {needed} are needed")
    decode = jpeg_decoder(page, file) or _decoder(page, file, needed // _planes(page))
    return TileGrid(size, tile, _white_where_absent(decode, tile), cache, level)


def as_rgb(samples: Samples, colours: Colours) -> Rgb:
    """Convert (height, width, channels) of 8 or 16 bits to RGB of 8, transparency on white."""
    if colours.palette is not None:
        return np.ascontiguousarray(colours.palette[samples[..., 0]])
    shift = 8 * (samples.dtype.itemsize - 1)
    eight: Rgb = (samples >> shift).astype(np.uint8)
    channels = _CHANNELS[colours.photometric]
    shown = np.repeat(eight[..., :1], 3, axis=2) if channels == 1 else eight[..., :3]
    if colours.photometric == _WHITE_IS_ZERO:
        shown = 255 - shown
    if eight.shape[2] > channels and colours.opacity in {_PREMULTIPLIED, _STRAIGHT}:
        opacity = eight[..., channels : channels + 1].astype(np.uint32)
        weight = np.full_like(opacity, 255) if colours.opacity == _PREMULTIPLIED else opacity
        blended = (shown * weight + (255 - opacity) * 255 + 127) // 255
        shown = np.minimum(blended, 255).astype(np.uint8)
    return np.ascontiguousarray(shown)


def _decoder(page: tifffile.TiffPage, file: OpenBytes, tiles: int) -> Callable[[int], Rgb]:
    """Decode through tifffile and imagecodecs; channels that are stored apart are put together."""
    colours = Colours.of(page)
    decode_segment, tables = page.decode, page.jpegtables
    offsets, counts = np.asarray(page.dataoffsets), np.asarray(page.databytecounts)
    planes_apart = _planes(page)
    options = {"jpegtables": tables} if page.compression in _JPEGS else {}

    def decode(index: int) -> Rgb:
        planes = []
        for segment in range(index, index + tiles * planes_apart, tiles):
            if not counts[segment]:
                raise AbsentTileError
            encoded = file.read(int(offsets[segment]), int(counts[segment]))
            decoded = decode_segment(encoded, segment, **options)[0]
            planes.append(np.asarray(decoded)[0])
        return as_rgb(np.concatenate(planes, axis=2), colours)

    return decode


def _uncompressed(page: tifffile.TiffPage, file: OpenBytes, rows: int) -> Callable[[int], Rgb]:
    """Read rows straight from the file: such a page may be one strip of many gigabytes."""
    stored = np.dtype(np.uint16 if page.bitspersample == 16 else np.uint8)
    kind = stored.newbyteorder(page.parent.byteorder)
    width, channels, start = page.imagewidth, page.samplesperpixel, int(page.dataoffsets[0])
    height, colours = page.imagelength, Colours.of(page)
    row_bytes = width * channels * kind.itemsize

    def decode(index: int) -> Rgb:
        count = min(rows, height - index * rows)
        content = file.read(start + index * rows * row_bytes, count * row_bytes)
        samples = np.frombuffer(content, kind).reshape(count, width, channels)
        return as_rgb(samples.astype(stored), colours)

    return decode


def _white_where_absent(
    decode: Callable[[int], Rgb], tile: tuple[int, int]
) -> Callable[[int], Rgb]:
    """Show a tile that was left out as the glass it stands for."""

    def decode_or_white(index: int) -> Rgb:
        try:
            return decode(index)
        except AbsentTileError:
            return np.full((tile[1], tile[0], 3), 255, dtype=np.uint8)

    return decode_or_white


def _planes(page: tifffile.TiffPage) -> int:
    return page.samplesperpixel if page.planarconfig == 2 else 1


def _segment_pixels(page: tifffile.TiffPage) -> int:
    if _can_be_cut_anywhere(page):
        return page.imagewidth
    width, height = segment_size(page)
    return width * height


def _can_be_cut_anywhere(page: tifffile.TiffPage) -> bool:
    whole_bytes = page.bitspersample in {8, 16} and page.fillorder == 1
    return bool(not page.is_tiled and _planes(page) == 1 and whole_bytes and page.is_contiguous)
