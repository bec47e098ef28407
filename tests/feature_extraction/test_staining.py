import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_extraction.staining import (
    STAINED_ABSORBANCE,
    glass_colour,
    stained_mask,
    stained_share,
)


def on_glass(colour: tuple[int, int, int], glass: int = 245) -> np.ndarray:
    """An image with one quarter of `colour`."""
    image = np.full((40, 40, 3), glass, dtype=np.uint8)
    image[:20, :20] = colour
    return image


def test_glass_is_the_brightest_colour_and_never_darker_than_glass_can_be() -> None:
    image = np.full((50, 50, 3), (110, 60, 150), dtype=np.uint8)
    assert glass_colour(image).tolist() == [200, 200, 200]
    image[:5] = (250, 236, 222)
    image[0, 0] = 255
    assert glass_colour(image).dtype == np.float64
    assert glass_colour(image).tolist() == [250, 236, 222]


@pytest.mark.parametrize("colour", [(110, 60, 150), (225, 180, 190), (120, 150, 245)])
@pytest.mark.parametrize("glass", [215, 245, 255])
def test_stain_in_any_channel_is_marked_and_glass_is_not(
    colour: tuple[int, int, int], glass: int
) -> None:
    """A nucleus, a pale red cell, blue cytoplasm."""
    mask = stained_mask(on_glass(tuple(c * glass // 245 for c in colour), glass))
    assert mask[:20, :20].all()
    assert mask.sum() == 400


def test_the_border_is_the_stated_absorbance_of_the_glass() -> None:
    border = 250 * 10**-STAINED_ABSORBANCE
    for level, stained in ((math.floor(border), True), (math.ceil(border), False)):
        assert stained_mask(on_glass((250, level, 250), 250))[:20, :20].all() == stained


def test_uneven_light_is_not_stain() -> None:
    light = np.linspace(225, 250, 64).astype(np.uint8)
    image = np.broadcast_to(light[None, :, None], (64, 64, 3))
    assert not stained_mask(image).any()


def test_an_image_full_of_stain_is_stained_though_it_shows_no_glass() -> None:
    assert stained_mask(np.full((30, 30, 3), (110, 60, 150), dtype=np.uint8)).all()


@st.composite
def masked_images(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int], np.ndarray, int]:
    width, height = draw(st.integers(1, 120)), draw(st.integers(1, 120))
    w, h = draw(st.integers(1, width)), draw(st.integers(1, height))
    mask = np.random.default_rng(draw(st.integers(0, 1000))).random((h, w)) < 0.4
    side = draw(st.integers(1, min(width, height)))
    corner = st.tuples(st.integers(0, width - side), st.integers(0, height - side))
    corners = draw(st.lists(corner, min_size=1, max_size=8))
    return mask, (width, height), np.array(corners, dtype=np.int64), side


@settings(max_examples=200, deadline=None)
@given(masked_images())
def test_the_share_is_that_of_the_mask_pixels_a_patch_touches(
    drawn: tuple[np.ndarray, tuple[int, int], np.ndarray, int],
) -> None:
    mask, (width, height), corners, side = drawn
    across, down = Fraction(mask.shape[1], width), Fraction(mask.shape[0], height)
    touched = [
        mask[
            math.floor(y * down) : math.ceil((y + side) * down),
            math.floor(x * across) : math.ceil((x + side) * across),
        ].mean()
        for x, y in corners.tolist()
    ]
    share = stained_share(mask, (width, height), corners, side)
    assert share.dtype == np.float32
    np.testing.assert_allclose(share, touched, rtol=1e-6)
