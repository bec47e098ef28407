"""Which pixel belongs to which patch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cmil.patch_map import patch_map

NAN = float("nan")


def canvas_of(
    coords: NDArray[np.int64],
    values: NDArray[np.floating],
    side: int,
    dimensions: tuple[int, int],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    return patch_map(coords, values, side, dimensions, shape).canvas()


def painted_one_by_one(
    coords: NDArray[np.int64],
    values: NDArray[np.floating],
    side: int,
    dimensions: tuple[int, int],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """The definition: patches in order of their values, each over all pixels that it touches."""
    canvas = np.full(shape, np.nan, dtype=np.float32)
    for i in np.argsort(values, kind="stable"):
        (x, y), (width, height), (rows, columns) = coords[i], dimensions, shape
        right, bottom = -(-(x + side) * columns // width), -(-(y + side) * rows // height)
        canvas[y * rows // height : bottom, x * columns // width : right] = values[i]
    return canvas


def test_patches_lie_where_their_coordinates_say() -> None:
    painted = canvas_of(
        np.array([[0, 0], [40, 20]]), np.array([1.0, 2.0]), 20, dimensions=(80, 60), shape=(6, 8)
    )
    expected = np.full((6, 8), NAN)
    expected[0:2, 0:2] = 1
    expected[2:4, 4:6] = 2
    np.testing.assert_array_equal(painted, expected)
    assert painted.dtype == np.float32


def test_where_patches_overlap_the_higher_value_stays() -> None:
    for values in ([3.0, -1.0], [-1.0, 3.0]):
        coords = np.array([[0, 0], [10, 0]])
        painted = canvas_of(coords, np.array(values), 20, dimensions=(30, 20), shape=(2, 3))
        np.testing.assert_array_equal(painted[0], [values[0], 3, values[1]])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.data())
def test_exactly_the_pixels_a_patch_touches_are_painted(
    rows: int, columns: int, side: int, data: st.DataObject
) -> None:
    x, y = data.draw(st.integers(0, 1000 - side)), data.draw(st.integers(0, 700 - side))
    painted = canvas_of(np.array([[x, y]]), np.array([1.0]), side, (1000, 700), (rows, columns))
    for row in range(rows):
        for column in range(columns):
            # In whole numbers: pixel (row, column) covers [column, column + 1) * 1000 / columns.
            touched = (
                column * 1000 < (x + side) * columns
                and (column + 1) * 1000 > x * columns
                and row * 700 < (y + side) * rows
                and (row + 1) * 700 > y * rows
            )
            assert np.isnan(painted[row, column]) != touched


def test_no_pixel_is_lost_or_won_by_rounding() -> None:
    """In floating point 200 * (35 / 1000) lies above 7 and 750 * (36 / 1000) below 27."""
    for x, side, columns, expected in ((0, 200, 35, range(7)), (750, 250, 36, range(27, 36))):
        painted = canvas_of(np.array([[x, 0]]), np.array([1.0]), side, (1000, side), (1, columns))
        assert np.flatnonzero(~np.isnan(painted[0])).tolist() == list(expected)


def test_patch_at_the_border_is_cut_off() -> None:
    painted = canvas_of(np.array([[15, 15]]), np.array([1.0]), 10, (20, 20), (4, 4))
    assert np.argwhere(~np.isnan(painted)).tolist() == [[3, 3]]


@pytest.mark.parametrize("step", [40, 25, 40.7])
@pytest.mark.parametrize("shape", [(1, 1), (9, 13), (70, 100), (700, 1000)])
def test_grid_of_patches_is_painted_as_one_by_one(step: float, shape: tuple[int, int]) -> None:
    """Without gaps, overlapping, and between pixels; coarser than the canvas and finer."""
    x, y = (np.arange(0, end - 39, step).astype(int) for end in (1000, 700))
    coords = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    values = np.random.default_rng(0).normal(size=len(coords))
    painted = canvas_of(coords, values, 40, (1000, 700), shape)
    expected = painted_one_by_one(coords, values, 40, (1000, 700), shape)
    np.testing.assert_array_equal(painted, expected)


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 300))
def test_patches_anywhere_are_painted_as_one_by_one(seed: int, patches: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    dimensions, shape = rng.integers(100, 1000, 2).tolist(), rng.integers(1, 120, 2).tolist()
    coords = rng.integers(0, dimensions, (patches, 2))
    values = rng.integers(-3, 4, patches).astype(np.float32)
    painted = canvas_of(coords, values, side, tuple(dimensions), tuple(shape))
    expected = painted_one_by_one(coords, values, side, tuple(dimensions), tuple(shape))
    np.testing.assert_array_equal(painted, expected)
