"""Colours of patches: told apart, only where patches are, and never so strong that cells vanish."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_extraction.preview.patch_painting import colour_of, paint_patches, swatch
from feature_extraction.selection import REASONS

PALE = (240, 220, 226)


def plain(width: int, height: int) -> np.ndarray:
    return np.broadcast_to(np.array(PALE, np.uint8), (height, width, 3)).copy()


def painted(coords: list[tuple[int, int]], reason: list[int], side: int, scale: int = 1):
    """An image of 400 x 300 level-0 px, shrunk by `scale`."""
    image = plain(400 // scale, 300 // scale)
    return image, paint_patches(
        image, np.array(coords), np.array(reason, np.uint8), side, (400, 300)
    )


@settings(deadline=None)
@given(
    corner=st.tuples(st.integers(0, 350), st.integers(0, 250)),
    side=st.integers(1, 120),
    why=st.integers(0, 9),
    scale=st.integers(1, 9),
)
def test_nothing_beyond_the_patch_is_touched(
    corner: tuple[int, int], side: int, why: int, scale: int
) -> None:
    image, shown = painted([corner], [why], side, scale)
    rows, columns = np.nonzero((image != shown).any(axis=2))
    assert len(rows)
    # A pixel of the small image covers `x` by `y` pixels of the large one, or a part of them.
    y, x = np.array([300, 400]) / image.shape[:2]
    assert columns.min() >= corner[0] / x - 1
    assert columns.max() <= (corner[0] + side) / x + 1
    assert rows.min() >= corner[1] / y - 1
    assert rows.max() <= (corner[1] + side) / y + 1


def test_without_patches_the_image_stays_as_it_is() -> None:
    image = plain(40, 30)
    none = np.zeros((0, 2), np.int64)
    shown = paint_patches(image, none, np.zeros(0, np.uint8), 10, (40, 30))
    np.testing.assert_array_equal(shown, image)


def test_every_reason_has_its_colour_and_its_hatching() -> None:
    swatches = [swatch(reason, 36) for reason in range(len(REASONS))]
    outlines = [tuple(shown[0, 0].tolist()) for shown in swatches]
    assert len(set(outlines)) == len(REASONS)
    patterns = {(shown == shown[5, 7]).all(axis=2).tobytes() for shown in swatches}
    assert len(patterns) == len(REASONS)


@pytest.mark.parametrize("why", range(10))
def test_cells_show_through(why: int) -> None:
    """Of the contrast of what lies in a patch, at least half is left nearly everywhere."""
    patch, here = np.array([[0, 0]]), np.array([why], np.uint8)
    dark, pale = (
        paint_patches(np.full((80, 80, 3), grey, np.uint8), patch, here, 80, (80, 80)).astype(int)
        for grey in (60, 220)
    )
    inside = (pale - dark)[4:-4, 4:-4]
    assert inside.min() >= 79
    assert np.median(inside) > 0.7 * 160


def test_dropped_lies_over_kept_where_they_overlap() -> None:
    for order in ([0, 1], [1, 0]):
        coords = [(0, 0), (50, 0)] if order == [0, 1] else [(50, 0), (0, 0)]
        _, shown = painted(coords, order, 100)
        assert shown[50, 51].tolist() == shown[50, 149 - 1].tolist()  # its outline, left and right


def test_tiny_patches_are_outlined_together() -> None:
    coords = [(x, y) for y in range(0, 200, 4) for x in range(0, 200, 4)]
    _, shown = painted(coords, [4] * len(coords), 4)
    inner = shown[1:199, 1:199].reshape(-1, 3)
    assert len(np.unique(inner, axis=0)) == 1
    edge = np.abs(shown[100, 199].astype(int) - colour_of(4)).max()
    assert edge < np.abs(inner[0].astype(int) - colour_of(4)).max()
