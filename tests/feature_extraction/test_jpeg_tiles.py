import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile

from cohorts.errors import ImageError
from feature_extraction.sources.jpeg_tiles import (
    INTERPOLATION_DIFFERENCE,
    OpenBytes,
    decode_jpeg,
)
from feature_extraction.sources.openslide_source import OpenSlideCanvas
from feature_extraction.sources.tile_grid import TileCache, TileGrid


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    """An image on which every misplaced pixel and every wrong colour shows."""
    rng = np.random.default_rng(4)
    coarse = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    return cv2.resize(coarse, (1300, 900), interpolation=cv2.INTER_CUBIC)


def written(path: Path, image: np.ndarray, **options: object) -> Path:
    """Write a TIFF as tifffile does: JPEG tables in a tag of their own."""
    usual = {"tile": (240, 240), "compression": "jpeg", "photometric": "rgb"}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(image, **{**usual, **options})
        tiff.write(image[::4, ::4], subfiletype=1, **{**usual, **options})
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"compressionargs": {"level": 90, "outcolorspace": "rgb"}},
        {"compressionargs": {"level": 90}, "photometric": "ycbcr"},
        {"compressionargs": {"level": 80}, "photometric": "ycbcr", "subsampling": (2, 1)},
    ],
    ids=["rgb", "ycbcr", "subsampled"],
)
def test_pixels_are_those_of_openslide(tmp_path: Path, noisy: np.ndarray, options) -> None:
    """Bit for bit on whole pixels; between them Cairo interpolates more coarsely."""
    rng = np.random.default_rng(1)
    with OpenSlideCanvas(written(tmp_path / "a.tif", noisy, **options)) as canvas:
        assert canvas.levels_read_by_tile == (0, 1)
        for level, (width, height) in enumerate(((1300, 900), (325, 225))):
            for _ in range(25):
                side = int(rng.integers(1, 200))
                x, y = (int(rng.integers(0, length - side)) for length in (width, height))
                ours = canvas._read(level, x, y, side, side)
                theirs = canvas._read_by_openslide(level, x, y, side, side)
                np.testing.assert_array_equal(ours, theirs)
        for _ in range(50):
            x, y = int(rng.integers(0, 1000)), int(rng.integers(0, 600))
            ours = canvas._read(1, x / 4, y / 4, 60, 60)
            theirs = canvas._read_by_openslide(1, x / 4, y / 4, 60, 60)
            assert np.abs(ours.astype(int) - theirs).max() <= INTERPOLATION_DIFFERENCE


@pytest.mark.shared
def test_pixels_of_a_real_slide_are_those_of_openslide(real_slide: Callable[[str], Path]) -> None:
    with OpenSlideCanvas(real_slide("cmu_small_region.svs")) as canvas:
        assert canvas.levels_read_by_tile == (0,)
        for x, y in ((0, 0), (1000, 1203), (1920, 2667)):
            ours = canvas._read(0, x, y, 300, 300)
            np.testing.assert_array_equal(ours, canvas._read_by_openslide(0, x, y, 300, 300))


@pytest.mark.parametrize("options", [{"compression": "deflate"}, {"tile": (256, 128)}])
def test_other_levels_are_left_to_openslide_or_equal(tmp_path: Path, noisy, options) -> None:
    with OpenSlideCanvas(written(tmp_path / "a.tif", noisy, **options)) as canvas:
        assert canvas.levels_read_by_tile == (() if "compression" in options else (0, 1))
        ours = canvas.read_region(1000, 600, 300, 300)
        np.testing.assert_array_equal(ours, canvas._read_by_openslide(0, 1000, 600, 300, 300))


def test_a_level_whose_pixels_differ_is_left_to_openslide(tmp_path: Path, noisy, monkeypatch):
    path = written(tmp_path / "a.tif", noisy)

    def wrong(tile: bytes, *_: object) -> np.ndarray:
        return 255 - decode_jpeg(tile, *_)

    monkeypatch.setattr("feature_extraction.sources.jpeg_tiles.decode_jpeg", wrong)
    with OpenSlideCanvas(path) as canvas:
        assert canvas.levels_read_by_tile == ()
        region = canvas.read_region(64, 64, 64, 64)
        np.testing.assert_array_equal(region, canvas._read_by_openslide(0, 64, 64, 64, 64))


def tag_position(path: Path, code: int, index: int) -> int:
    """Where in the file value `index` of a tag of the first page stands."""
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags[code]
        return tag.valueoffset + index * (4 if tag.dtype == 4 else 2)


def test_a_tile_that_was_left_out_is_what_openslide_shows(pyramid, noisy) -> None:
    path = pyramid(noisy)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, tag_position(path, 325, 7), 0)  # TileByteCounts: row 1, col. 1
    path.write_bytes(content)
    with OpenSlideCanvas(path) as canvas:
        assert 0 in canvas.levels_read_by_tile
        for x, y in ((256, 256), (200, 300), (600, 300)):
            ours = canvas._read(0, x, y, 100, 100)
            np.testing.assert_array_equal(ours, canvas._read_by_openslide(0, x, y, 100, 100))
        assert canvas._read(0, 600, 300, 100, 100).std() > 10


@pytest.mark.parametrize("kept", [0, 2, 300, -3])
def test_a_tile_cut_short_is_refused_and_not_grey(noisy: np.ndarray, kept: int) -> None:
    encoded = imagecodecs.jpeg8_encode(noisy[:256, :256], level=90)
    with pytest.raises(ValueError, match=r"JPEG|JFIF|jpeg"):
        decode_jpeg(encoded[:kept], None, 6, (256, 256))


def test_a_tile_larger_than_it_may_be_is_not_decoded(noisy: np.ndarray) -> None:
    encoded = imagecodecs.jpeg8_encode(noisy[:512, :512], level=90)
    with pytest.raises(ValueError, match="buffer"):
        decode_jpeg(encoded, None, 6, (256, 256))


def test_a_damaged_tile_is_named_with_its_place(tmp_path: Path, noisy) -> None:
    path = written(tmp_path / "a.tif", np.tile(noisy, (2, 2, 1)))
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[14], tiff.pages[0].databytecounts[14]
    content = bytearray(path.read_bytes())
    content[offset + count // 2 : offset + count] = bytes(count - count // 2)
    path.write_bytes(content)
    with OpenSlideCanvas(path) as canvas:
        assert canvas.levels_read_by_tile == (0, 1)
        assert canvas.read_region(0, 0, 240, 240).std() > 10
        with pytest.raises(ImageError, match=r'"a\.tif" cannot be read at x 700, y 250') as refusal:
            canvas.read_region(700, 250, 100, 100)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("with_pread", [True, False])
def test_threads_read_parts_of_a_file_with_and_without_pread(
    tmp_path: Path, monkeypatch, with_pread: bool
) -> None:
    """Windows has no os.pread."""
    if not with_pread:
        monkeypatch.delattr(os, "pread", raising=False)
    content = np.random.default_rng(0).bytes(20_000) + b"\r\n\x1a" * 50
    (tmp_path / "a").write_bytes(content)
    parts = [(start, 150) for start in range(0, 20_000, 7)] * 3
    with OpenBytes(tmp_path / "a") as file, ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda part: file.read(*part), parts))
        assert read == [content[start : start + count] for start, count in parts]
        with pytest.raises(ValueError, match="the file ends at byte 20150"):
            file.read(20_100, 60)


def test_threads_that_read_at_once_get_the_same_pixels(pyramid, noisy) -> None:
    places = [(x, y) for y in range(0, 700, 50) for x in range(0, 1100, 50)]
    with OpenSlideCanvas(pyramid(noisy)) as canvas, ThreadPoolExecutor(4) as pool:

        def read(place: tuple[int, int]) -> bytes:
            return canvas.read_region(*place, 160, 160).tobytes()

        assert list(pool.map(read, places)) == [read(place) for place in places]


def test_tiles_are_decoded_once_and_held_within_bounds() -> None:
    decoded: list[int] = []

    def decode(index: int, _into: np.ndarray | None) -> np.ndarray:
        decoded.append(index)
        return np.full((10, 10, 3), index, dtype=np.uint8)

    cache = TileCache(capacity=12 * 300)
    grid = TileGrid((100, 30), (10, 10), decode, cache, 0)
    for x in range(0, 93, 7):
        grid.read(x, 3, 7, 7)
    assert decoded == list(range(10))  # of the row of tiles, each once
    grid.read(0, 4, 7, 6)
    assert len(decoded) == 10
    for index in range(10, 30):
        grid.read(index % 10 * 10 + 1, index // 10 * 10 + 1, 3, 3)
    grid.read(0, 3, 7, 7)
    assert decoded == [*range(30), 0]  # forgotten meanwhile
    assert cache.held_bytes <= 12 * 300


def test_a_region_is_cut_from_the_right_tiles() -> None:
    whole = np.random.default_rng(0).integers(0, 255, (37, 53, 3), dtype=np.uint8)

    def decode(index: int, _into: np.ndarray | None) -> np.ndarray:
        top, left = index // 6 * 8, index % 6 * 10
        return whole[top : top + 8, left : left + 10].copy()

    grid = TileGrid((53, 37), (10, 8), decode, TileCache(), 0)
    for x, y, width, height in ((0, 0, 53, 37), (9, 7, 2, 2), (10, 8, 10, 8), (41, 30, 12, 7)):
        np.testing.assert_array_equal(
            grid.read(x, y, width, height), whole[y : y + height, x : x + width]
        )
    with pytest.raises(IndexError, match="beyond"):
        grid.read(50, 0, 4, 4)
