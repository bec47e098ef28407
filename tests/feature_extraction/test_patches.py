from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cohorts.errors import ImageError
from cohorts.manifest import Slide
from feature_extraction import ExtractionSettings
from feature_extraction.geometry import patch_grid
from feature_extraction.patch_reading import block_readers
from feature_extraction.patches import PatchBlock, Reading
from feature_extraction.sources import open_source


def blocks_of(slide: Slide, settings: ExtractionSettings) -> Sequence[PatchBlock]:
    with block_readers(slide, open_source(slide), Reading(settings)) as readers:
        return [reader() for reader in readers]


def patches_of(slide: Slide, settings: ExtractionSettings) -> tuple[np.ndarray, np.ndarray]:
    """Corners and pixels of all patches."""
    blocks = blocks_of(slide, settings)
    return np.concatenate([b.coords for b in blocks]), np.concatenate([b.pixels for b in blocks])


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(0, 120), st.integers(0, 120))
def test_the_grid_covers_every_pixel_and_stays_inside(side: int, more: int, below: int) -> None:
    width, height = side + more, side + below
    grid = patch_grid(width, height, side)
    assert grid.dtype == np.int64
    assert grid.min() >= 0
    assert (grid + side <= [width, height]).all()
    covered = np.zeros((height, width), dtype=bool)
    for x, y in grid.tolist():
        covered[y : y + side, x : x + side] = True
    assert covered.all()
    assert len(grid) == -(-width // side) * -(-height // side)
    assert grid.tolist() == sorted(grid.tolist(), key=lambda corner: (corner[1], corner[0]))
    assert len(np.unique(grid, axis=0)) == len(grid)


SQUARE = 256  # px at level 0
SIDE_MICRONS = 64.0  # at 0.25 microns per pixel


@pytest.fixture
def board(pyramid, checkerboard) -> Path:
    return pyramid(checkerboard(2048, 1536, SQUARE), mpp=SIDE_MICRONS / SQUARE)


def agreement(
    coords: np.ndarray, pixels: np.ndarray, microns_per_px: float, stated: float
) -> float:
    """Share of patch pixels, away from edges, that show the square they should show."""
    patch_px = pixels.shape[1]
    centres = (np.arange(patch_px) + 0.5) * microns_per_px
    right = wanted = 0
    for (x, y), patch in zip(coords * stated, pixels, strict=True):
        across, down = (x + centres) / SIDE_MICRONS, (y + centres) / SIDE_MICRONS
        odd = np.add.outer(down.astype(int), across.astype(int)) % 2
        margin = 1.5 * microns_per_px / SIDE_MICRONS
        clear_x = np.abs(across - across.round()) > margin
        clear_y = np.abs(down - down.round()) > margin
        clear = np.outer(clear_y, clear_x)
        right += ((patch[..., 0] > 127) == odd)[clear].sum()
        wanted += clear.sum()
    assert wanted > 1000
    return float(right / wanted)


@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.5, 1.0, 1.3, 2.0, 4.0])
def test_squares_of_known_size_have_it_at_any_resolution(
    board: Path, slide_at, chosen, mpp: float
) -> None:
    """From level 0, from the levels 4 and 16 times coarser, and between them."""
    coords, pixels = patches_of(slide_at(board), chosen(mpp=mpp, patch_px=64, min_stained=0))
    assert agreement(coords, pixels, mpp, 0.25) > 0.995
    assert agreement(coords, pixels, mpp * 1.25, 0.25) < 0.95  # the measure can tell


def test_the_resolution_in_the_manifest_overrides_the_files(board: Path, slide_at, chosen) -> None:
    wanted = chosen(mpp=1.0, patch_px=64, min_stained=0)
    (own, *_) = blocks_of(slide_at(board), wanted)
    (given_, *_) = blocks_of(slide_at(board, mpp=0.5), wanted)
    assert (own.geometry.side, own.geometry.source_mpp) == (256, 0.25)
    assert (given_.geometry.side, given_.geometry.source_mpp) == (128, 0.5)
    assert given_.geometry.patch_mpp == 1.0
    # 128 level-0 px lie in one square, 256 are exactly one
    assert set(np.unique(given_.pixels[0] // 128)) == {0}


def test_native_patches_are_the_pixels_as_they_are(tmp_path: Path, slide_at, chosen, smear) -> None:
    image = smear(100, 70, cells=30)
    Image.fromarray(image).save(tmp_path / "a.png")
    coords, pixels = patches_of(slide_at(tmp_path / "a.png"), chosen(min_stained=0))
    assert len(coords) == 4 * 3
    for (x, y), patch in zip(coords.tolist(), pixels, strict=True):
        np.testing.assert_array_equal(patch, image[y : y + 32, x : x + 32])


@pytest.mark.parametrize("slide", [True, False])
def test_background_is_left_out(tmp_path: Path, pyramid, slide_at, chosen, slide: bool) -> None:
    image = np.full((320, 480, 3), 240, dtype=np.uint8)
    cv2.circle(image, (240, 160), 50, (120, 60, 150), -1)
    path = pyramid(image) if slide else tmp_path / "a.png"
    if not slide:
        Image.fromarray(image).save(path)
    wanted = chosen(min_stained=0.05)
    coords, pixels = patches_of(slide_at(path), wanted)
    grid = patch_grid(480, 320, 32)
    stained = [(image[y : y + 32, x : x + 32] < 200).all(axis=2).mean() for x, y in grid.tolist()]
    surely = {tuple(c) for c, s in zip(grid.tolist(), stained, strict=True) if s > 0.15}
    maybe = {tuple(c) for c, s in zip(grid.tolist(), stained, strict=True) if s > 0}
    assert surely <= {tuple(c) for c in coords.tolist()} <= maybe
    assert all((patch < 200).any() for patch in pixels)
    all_coords, _ = patches_of(slide_at(path), chosen(min_stained=0))
    np.testing.assert_array_equal(all_coords, grid)


def test_many_patches_come_in_blocks_in_the_order_of_the_grid(pyramid, slide_at, chosen) -> None:
    path = pyramid(np.full((300, 400, 3), 90, dtype=np.uint8))
    blocks = blocks_of(slide_at(path), chosen())
    assert len(blocks) > 2
    coords = np.concatenate([block.coords for block in blocks])
    np.testing.assert_array_equal(coords, patch_grid(400, 300, 32))
    assert {int(index) for block in blocks for index in block.image_index} == {0}
    assert len(blocks[0].without_pixels().pixels) == 0
    np.testing.assert_array_equal(blocks[0].without_pixels().coords, blocks[0].coords)


def test_fields_of_a_folder_are_cut_one_after_the_other(
    tmp_path: Path, slide_at, chosen, smear
) -> None:
    (tmp_path / "fields").mkdir()
    images = [smear(64, 64, seed=1), smear(96, 64, seed=2)]
    for name, image in zip("ab", images, strict=True):
        Image.fromarray(image).save(tmp_path / "fields" / f"{name}.png")
    slide = slide_at(tmp_path / "fields", mpp=0.25)
    blocks = blocks_of(slide, chosen(mpp=0.5, patch_px=16, min_stained=0))
    assert [set(block.image_index.tolist()) for block in blocks] == [{0}, {1}]
    assert [len(block.coords) for block in blocks] == [4, 6]
    for block, image in zip(blocks, images, strict=True):
        x, y = block.coords[-1]
        expected = cv2.resize(image[y : y + 32, x : x + 32], (16, 16), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(block.pixels[-1], expected)


def cells(folder: Path, *sizes: tuple[int, int]) -> Path:
    """Images of one dark disc each, as wide as the shorter side, in the middle."""
    folder.mkdir()
    for position, (width, height) in enumerate(sizes):
        image = np.full((height, width, 3), 240, dtype=np.uint8)
        cv2.circle(image, (width // 2, height // 2), min(width, height) // 3, (90, 40, 130), -1)
        Image.fromarray(image).save(folder / f"{position}.png")
    return folder


def test_a_cell_is_taken_whole_and_keeps_its_shape(tmp_path: Path, slide_at, chosen) -> None:
    folder = cells(tmp_path / "cells", (120, 60), (50, 90), (64, 64))
    (block,) = blocks_of(slide_at(folder), chosen(images="cells", patch_px=64))
    assert block.coords.tolist() == [[0, 0]] * 3
    assert block.image_index.tolist() == [0, 1, 2]
    for patch, shorter, longer in zip(block.pixels, (60, 50, 64), (120, 90, 64), strict=True):
        rows, columns = np.nonzero(patch[..., 1] < 140)
        diameter = 2 * (shorter // 3) / longer * 64
        assert np.ptp(rows) + 1 == pytest.approx(diameter, abs=2.5)
        assert np.ptp(columns) + 1 == pytest.approx(diameter, abs=2.5)
        assert rows.mean() == pytest.approx(31.5, abs=1.5)
        assert columns.mean() == pytest.approx(31.5, abs=1.5)
        corners = patch[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert (corners == 240).all()  # the border is repeated, not blackened


def test_a_cell_smaller_than_a_patch_is_enlarged(tmp_path: Path, slide_at, chosen) -> None:
    folder = cells(tmp_path / "cells", (20, 10))
    (block,) = blocks_of(slide_at(folder), chosen(images="cells", patch_px=64))
    assert block.pixels.shape == (1, 64, 64, 3)


def refusal_of(slide: Slide, settings: ExtractionSettings) -> str:
    with pytest.raises(ImageError) as refusal:
        blocks_of(slide, settings)
    assert len(str(refusal.value).splitlines()) == 1
    return str(refusal.value)


def test_a_slide_without_resolution_says_where_to_give_it(
    tmp_path: Path, slide_at, chosen: Callable[..., ExtractionSettings], smear
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smear(300, 300), tile=(256, 256), photometric="rgb")
    message = refusal_of(slide_at(path), chosen(mpp=0.5))
    assert "states no resolution" in message
    assert 'column "mpp"' in message
    assert 'mpp = "native"' in message
    assert len(blocks_of(slide_at(path, mpp=0.25), chosen(mpp=0.5, min_stained=0))) == 1
    assert blocks_of(slide_at(path), chosen(min_stained=0))[0].geometry.source_mpp is None


def test_a_printers_resolution_is_none(pyramid, slide_at, chosen, smear) -> None:
    path = pyramid(smear(300, 300), mpp=254.0)
    assert "states no resolution" in refusal_of(slide_at(path), chosen(mpp=0.5))
    assert len(blocks_of(slide_at(path, mpp=0.5), chosen(mpp=0.5, min_stained=0))) == 4


def test_an_image_smaller_than_a_patch_is_refused(tmp_path: Path, slide_at, chosen, smear) -> None:
    Image.fromarray(smear(100, 40)).save(tmp_path / "a.png")
    message = refusal_of(slide_at(tmp_path / "a.png", mpp=0.25), chosen(mpp=0.5))
    assert "100 x 40 pixels are smaller than one patch of 64 x 64" in message
    assert "lower patch_px or mpp" in message


def test_of_many_fields_the_one_that_does_not_serve_is_named(
    tmp_path: Path, slide_at, chosen, smear
) -> None:
    (tmp_path / "fields").mkdir()
    for name, width in (("a.png", 90), ("b.png", 20)):
        Image.fromarray(smear(width, 90)).save(tmp_path / "fields" / name)
    assert 'image "b.png": 20 x 90' in refusal_of(slide_at(tmp_path / "fields"), chosen())


def test_a_whole_slide_is_not_a_cell(pyramid, slide_at, chosen, smear) -> None:
    message = refusal_of(slide_at(pyramid(smear(300, 300))), chosen(images="cells"))
    assert 'images = "fields"' in message
