"""Which pixel belongs to which patch, and in what colour."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmil.heatmap import ColourScale, overlay, patch_map

NAN = float("nan")


def test_patches_lie_where_their_coordinates_say() -> None:
    painted = patch_map(
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
        painted = patch_map(coords, np.array(values), 20, dimensions=(30, 20), shape=(2, 3))
        np.testing.assert_array_equal(painted[0], [values[0], 3, values[1]])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.data())
def test_exactly_the_pixels_a_patch_touches_are_painted(
    rows: int, columns: int, side: int, data: st.DataObject
) -> None:
    x, y = data.draw(st.integers(0, 1000 - side)), data.draw(st.integers(0, 700 - side))
    painted = patch_map(np.array([[x, y]]), np.array([1.0]), side, (1000, 700), (rows, columns))
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
        painted = patch_map(np.array([[x, 0]]), np.array([1.0]), side, (1000, side), (1, columns))
        assert np.flatnonzero(~np.isnan(painted[0])).tolist() == list(expected)


def test_patch_at_the_border_is_cut_off() -> None:
    painted = patch_map(np.array([[15, 15]]), np.array([1.0]), 10, (20, 20), (4, 4))
    assert np.argwhere(~np.isnan(painted)).tolist() == [[3, 3]]


@pytest.mark.parametrize("signed", [False, True])
def test_overlay_leaves_what_has_no_patch_as_it_is(signed: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    painted = np.full((3, 4), NAN, np.float32)
    painted[1, 2] = 5
    blended = overlay(image, painted, ColourScale(-5 if signed else 0, 5, signed))
    changed = (blended != image).any(axis=2)
    assert np.argwhere(changed).tolist() == [[1, 2]]
    assert blended.dtype == np.uint8


def test_overlay_is_half_the_image_and_half_the_colour_at_the_highest() -> None:
    scale = ColourScale(0, 4, signed=False)
    image = np.full((1, 1, 3), 100, np.uint8)
    blended = overlay(image, np.array([[4.0]], np.float32), scale)
    expected = (100 + scale.colour(np.array([4.0]))[0].astype(float)) / 2
    assert blended[0, 0].tolist() == pytest.approx(expected, abs=0.51)


def test_ends_of_the_attention_scale() -> None:
    scale = ColourScale(0.0, 4.0, signed=False)
    low, high = scale.colour(np.array([0.0, 4.0]))
    assert low.tolist() == pytest.approx([68, 1, 84], abs=1)  # viridis from violet
    assert high.tolist() == pytest.approx([253, 231, 36], abs=1)  # to yellow
    beyond = scale.colour(np.array([-1.0, 9.0]))
    assert beyond.tolist() == [low.tolist(), high.tolist()]
    nothing, little, most = scale.opacity(np.array([0.0, 1.0, 4.0])).tolist()
    assert nothing == 0 < little < most == 0.5


def test_ends_and_middle_of_the_contribution_scale() -> None:
    scale = ColourScale(-2.0, 2.0, signed=True)
    blue, white, red = scale.colour(np.array([-2.0, 0.0, 2.0])).astype(int)
    assert blue[2] > blue[0] + 50
    assert red[0] > red[2] + 50
    assert white.min() > 240
    assert scale.opacity(np.array([-2.0, 0.0, 2.0])).tolist() == [0.5, 0, 0.5]


def test_attention_scale_starts_at_nothing_and_reaches_twice_uniform() -> None:
    even = ColourScale.of_attention(np.ones(50))
    assert (even.lowest, even.highest, even.signed) == (0, 2, False)
    peaked = ColourScale.of_attention(np.array([0.0] * 50 + [9.0] * 50))
    assert peaked.highest == 9
    # One patch among many does not stretch the scale for all others.
    outlier = ColourScale.of_attention(np.array([4.0] * 999 + [900.0]))
    assert outlier.highest == 4


def test_contribution_scale_is_symmetric() -> None:
    scale = ColourScale.of_contributions(np.array([-5.0, 1.0, 2.0] * 50))
    assert (scale.lowest, scale.highest, scale.signed) == (-5, 5, True)


def test_contributions_of_nothing_still_have_a_scale() -> None:
    scale = ColourScale.of_contributions(np.zeros(3))
    assert np.isfinite(scale.position(np.zeros(3))).all()
    assert scale.opacity(np.zeros(3)).tolist() == [0, 0, 0]
