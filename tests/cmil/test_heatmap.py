"""In what colour a value is drawn, and how opaque."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cmil.heatmap import ColourScale, overlay
from cmil.patch_map import PatchMap

NAN = float("nan")


def pixelwise(values: NDArray[np.float32]) -> PatchMap:
    rows, columns = values.shape
    return PatchMap(values, np.ones(rows, np.int64), np.ones(columns, np.int64))


@pytest.mark.parametrize("signed", [False, True])
def test_overlay_leaves_what_has_no_patch_as_it_is(signed: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    painted = np.full((3, 4), NAN, np.float32)
    painted[1, 2] = 5
    blended = image.copy()
    overlay(blended, pixelwise(painted), ColourScale(-5 if signed else 0, 5, signed))
    changed = (blended != image).any(axis=2)
    assert np.argwhere(changed).tolist() == [[1, 2]]


def test_overlay_is_half_the_image_and_half_the_colour_at_the_highest() -> None:
    scale = ColourScale(0, 4, signed=False)
    image = np.full((1, 1, 3), 100, np.uint8)
    overlay(image, pixelwise(np.array([[4.0]], np.float32)), scale)
    expected = (100 + scale.colour(np.array([4.0]))[0].astype(float)) / 2
    assert image[0, 0].tolist() == pytest.approx(expected, abs=0.51)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_overlay_is_the_blend_of_image_and_colour_to_within_one_level(
    seed: int, signed: bool
) -> None:
    rng = np.random.default_rng(seed)
    heights, widths = rng.integers(1, 20, 4), rng.integers(1, 5, 3)
    values = rng.normal(0, 3, (4, 3)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = NAN
    painted = PatchMap(values, heights, widths)
    # A view with gaps, as a cut-out of a larger picture has.
    image = rng.integers(0, 256, (heights.sum(), 2 * widths.sum(), 3), dtype=np.uint8)[:, ::2]
    scale = ColourScale(-4 if signed else 0, 4, signed)
    known = np.nan_to_num(painted.canvas(), nan=scale.lowest)
    opacity = np.where(np.isnan(painted.canvas()), 0, scale.opacity(known))[..., None]
    expected = image * (1 - opacity) + scale.colour(known) * opacity
    overlay(image, painted, scale)
    np.testing.assert_allclose(image, expected, atol=1)


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
