"""One page of a TIFF as RGB tiles, whatever its compression, depth, colours and order."""

from collections.abc import Callable, Sequence
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
from feature_extraction.sources.sample_depth import BEYOND_CAMERAS, bits_held, high_byte
from feature_extraction.sources.tile_grid import Decode, TileCache, TileGrid

# A tile or strip is decoded whole. Slides have tiles of 0.1 to 17 million pixels.
MAX_SEGMENT_PIXELS = 64_000_000
_ROWS_PIXELS = 1_000_000
# Glass lies all over a slide: pieces spread over it show how bright it gets.
_MEASURED_PIXELS = 64_000_000
# Of 16 bits by TIFF 6.0, whatever the camera: as good as not stated.
_DEFAULT_MAXIMUM = 65535
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
    bits
        Of a sample, as the file declares them.
    held
        Bits of these that colours use; the same on all levels of a slide.
    """

    photometric: int
    palette: Rgb | None
    opacity: int
    bits: int
    held: int

    @classmethod
    def of(cls, page: tifffile.TiffPage, held: int) -> Self:
        """Read them while the file is open: tifffile loads some tags when they are asked for."""
        palette = None
        if page.photometric == _PALETTE and page.colormap is not None:
            palette = (page.colormap.T >> 8).astype(np.uint8)
        extra = [int(kind) for kind in page.extrasamples]
        opacity = extra[0] if extra else 0
        return cls(int(page.photometric), palette, opacity, int(page.bitspersample), held)


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


def tile_grid(
    page: tifffile.TiffPage, file: OpenBytes, cache: TileCache, level: int, held: int
) -> TileGrid:
    """Cut a page into its tiles or strips, which are decoded as RGB when asked for.

    `held` is what `held_bits` found for the slide.

    Raises
    ------
    ValueError
        If the page has fewer tiles than its size needs.
    """
    size = (page.imagewidth, page.imagelength)
    tile, _, samples = _pieces(page, file)
    colours = Colours.of(page, held)

    def decode(index: int, _into: Rgb | None) -> Rgb:
        return as_rgb(samples(index), colours)

    if _can_be_cut_anywhere(page):
        return TileGrid(size, tile, decode, cache, level)
    shown = _white_where_absent(jpeg_decoder(page, file) or decode, tile)
    return TileGrid(size, tile, shown, cache, level)


def held_bits(pages: Sequence[tifffile.TiffPage], file: OpenBytes) -> int:
    """How many bits of a sample hold light on a slide, asked once for all of its levels.

    The tag MaxSampleValue of the finest page decides. Without it, the coarsest page does, by
    pieces spread over it, or all of them where they are few.
    """
    finest, coarsest = pages[0], pages[-1]
    bits = int(finest.bitspersample)
    if bits != 16 or finest.photometric == _PALETTE:
        return bits
    stated = int(np.max(finest.tags.valueof("MaxSampleValue", default=0)))
    if 0 < stated < _DEFAULT_MAXIMUM:
        return bits_held(bits, stated)
    tile, count, samples = _pieces(coarsest, file)
    looked_at = min(count, max(1, _MEASURED_PIXELS // (tile[0] * tile[1])))
    brightest = 0
    for index in np.linspace(0, count - 1, looked_at).astype(int).tolist():
        try:
            colours = samples(index)[..., : _CHANNELS[coarsest.photometric]]
        except AbsentTileError:
            continue
        brightest = max(brightest, int(colours.max()))
        if brightest >= BEYOND_CAMERAS:
            break
    return bits_held(bits, brightest)


def as_rgb(samples: Samples, colours: Colours) -> Rgb:
    """Convert (height, width, channels) of 8 or 16 bits to RGB of 8, transparency on white."""
    if colours.palette is not None:
        return np.ascontiguousarray(colours.palette[samples[..., 0]])
    channels = _CHANNELS[colours.photometric]
    eight = high_byte(samples[..., :channels], colours.held)
    shown = np.repeat(eight, 3, axis=2) if channels == 1 else eight
    if colours.photometric == _WHITE_IS_ZERO:
        shown = 255 - shown
    if samples.shape[2] > channels and colours.opacity in {_PREMULTIPLIED, _STRAIGHT}:
        opaque = high_byte(samples[..., channels : channels + 1], colours.bits)
        opacity = opaque.astype(np.uint32)
        weight = np.full_like(opacity, 255) if colours.opacity == _PREMULTIPLIED else opacity
        blended = (shown * weight + (255 - opacity) * 255 + 127) // 255
        shown = np.minimum(blended, 255).astype(np.uint8)
    return np.ascontiguousarray(shown)


def _pieces(
    page: tifffile.TiffPage, file: OpenBytes
) -> tuple[tuple[int, int], int, Callable[[int], Samples]]:
    """Width and height of a page's pieces, their number, and what decodes piece `index`."""
    width, height = page.imagewidth, page.imagelength
    if _can_be_cut_anywhere(page):
        rows = max(1, _ROWS_PIXELS // width)
        return (width, rows), -(-height // rows), _uncompressed(page, file, rows)
    tile = segment_size(page)
    count = -(-width // tile[0]) * -(-height // tile[1])
    needed = count * _planes(page)
    if len(page.dataoffsets) < needed or len(page.databytecounts) < needed:
        raise ValueError(f"{len(page.dataoffsets)} tiles or strips where {needed} are needed")
    return tile, count, _decoder(page, file, count)


def _decoder(page: tifffile.TiffPage, file: OpenBytes, tiles: int) -> Callable[[int], Samples]:
    """Decode through tifffile and imagecodecs; channels that are stored apart are put together."""
    decode_segment, tables = page.decode, page.jpegtables
    offsets, counts = np.asarray(page.dataoffsets), np.asarray(page.databytecounts)
    planes_apart = _planes(page)
    options = {"jpegtables": tables} if page.compression in _JPEGS else {}

    def decode(index: int) -> Samples:
        planes = []
        for segment in range(index, index + tiles * planes_apart, tiles):
            if not counts[segment]:
                raise AbsentTileError
            encoded = file.read(int(offsets[segment]), int(counts[segment]))
            decoded = decode_segment(encoded, segment, **options)[0]
            planes.append(np.asarray(decoded)[0])
        return np.concatenate(planes, axis=2)

    return decode


def _uncompressed(page: tifffile.TiffPage, file: OpenBytes, rows: int) -> Callable[[int], Samples]:
    """Read rows straight from the file: such a page may be one strip of many gigabytes."""
    stored = np.dtype(np.uint16 if page.bitspersample == 16 else np.uint8)
    kind = stored.newbyteorder(page.parent.byteorder)
    width, channels, start = page.imagewidth, page.samplesperpixel, int(page.dataoffsets[0])
    height, row_bytes = page.imagelength, width * channels * kind.itemsize

    def decode(index: int) -> Samples:
        count = min(rows, height - index * rows)
        content = file.read(start + index * rows * row_bytes, count * row_bytes)
        return np.frombuffer(content, kind).reshape(count, width, channels).astype(stored)

    return decode


def _white_where_absent(decode: Decode, tile: tuple[int, int]) -> Decode:
    """Show a tile that was left out as the glass it stands for."""

    def decode_or_white(index: int, into: Rgb | None) -> Rgb:
        try:
            return decode(index, into)
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
