"""Writing an RGB image as a pyramidal, tiled JPEG TIFF, the form that slide viewers read.

Written by hand after the TIFF 6.0 specification because a JPEG tile that is already encoded is
all that is needed: sections 2 (structure), 15 (tiles) and 22 with technical note 2 (JPEG).
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cohorts.files import whole_file

TILE = 256
_DOWNSAMPLES = (1, 4, 16)
_SHORT, _LONG, _RATIONAL = 3, 4, 5
_FORMATS = {_SHORT: "H", _LONG: "I", _RATIONAL: "I"}
_BYTES = {_SHORT: 2, _LONG: 4, _RATIONAL: 8}

_Tag = tuple[int, int, tuple[int, ...]]


def write_pyramid(path: Path, image: NDArray[np.uint8], *, mpp: float, quality: int) -> None:
    """Write `image` at full size and reduced 4 and 16 times, whole or not at all.

    Parameters
    ----------
    path
        The file; its folder is made where missing.
    image
        (height, width, 3) RGB.
    mpp
        Microns per pixel at full size, kept to four decimals in the resolution tags.
    quality
        JPEG quality, 1 to 100.
    """
    with whole_file(path) as partial, partial.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, 0))
        link = 4
        for downsample in _DOWNSAMPLES:
            level = _reduced(image, downsample)
            offsets, counts = [], []
            for tile in _tiles(level, quality):
                offsets.append(file.tell())
                counts.append(file.write(tile))
            file.write(b"\0" * (file.tell() % 2))
            directory = file.tell()
            tags = _tags(level, mpp * downsample, offsets, counts, reduced=downsample > 1)
            block, next_link = _directory(tags, directory)
            file.write(block)
            file.seek(link)
            file.write(struct.pack("<I", directory))
            file.seek(0, 2)
            link = next_link


def _reduced(image: NDArray[np.uint8], downsample: int) -> NDArray[np.uint8]:
    if downsample == 1:
        return image
    height, width = image.shape[0] // downsample, image.shape[1] // downsample
    small = cv2.resize(image, (max(width, 1), max(height, 1)), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def _tiles(image: NDArray[np.uint8], quality: int) -> Iterator[bytes]:
    """Encode the tiles row by row; those over the edge repeat the last pixel, as JPEG likes it."""
    below, right = -image.shape[0] % TILE, -image.shape[1] % TILE
    padded = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    for top in range(0, padded.shape[0], TILE):
        for left in range(0, padded.shape[1], TILE):
            tile = padded[top : top + TILE, left : left + TILE]
            _, encoded = cv2.imencode(".jpg", cv2.cvtColor(tile, cv2.COLOR_RGB2BGR), options)
            yield encoded.tobytes()


def _tags(
    image: NDArray[np.uint8], mpp: float, offsets: list[int], counts: list[int], *, reduced: bool
) -> list[_Tag]:
    pixels_per_cm = (10**8, round(mpp * 10**4))
    return [
        (254, _LONG, (int(reduced),)),  # NewSubfileType: 1 is a reduced image
        (256, _LONG, (image.shape[1],)),  # ImageWidth
        (257, _LONG, (image.shape[0],)),  # ImageLength
        (258, _SHORT, (8, 8, 8)),  # BitsPerSample
        (259, _SHORT, (7,)),  # Compression: JPEG
        (262, _SHORT, (6,)),  # PhotometricInterpretation: YCbCr
        (277, _SHORT, (3,)),  # SamplesPerPixel
        (282, _RATIONAL, pixels_per_cm),  # XResolution
        (283, _RATIONAL, pixels_per_cm),  # YResolution
        (284, _SHORT, (1,)),  # PlanarConfiguration: interleaved
        (296, _SHORT, (3,)),  # ResolutionUnit: centimetre
        (322, _LONG, (TILE,)),  # TileWidth
        (323, _LONG, (TILE,)),  # TileLength
        (324, _LONG, tuple(offsets)),  # TileOffsets
        (325, _LONG, tuple(counts)),  # TileByteCounts
        (530, _SHORT, (2, 2)),  # YCbCrSubSampling, as the encoder is told
    ]


def _directory(tags: list[_Tag], start: int) -> tuple[bytes, int]:
    """Pack the tags for the file position `start`; also where the next directory's offset goes."""
    link = start + 2 + 12 * len(tags)
    entries, overflow = struct.pack("<H", len(tags)), b""
    for code, kind, values in tags:
        data = struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values)
        if len(data) > 4:
            field = struct.pack("<I", link + 4 + len(overflow))
            overflow += data
        else:
            field = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", code, kind, len(data) // _BYTES[kind]) + field
    return entries + b"\0\0\0\0" + overflow, link
