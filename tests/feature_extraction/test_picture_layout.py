"""Words fit their place and scale bars have round lengths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from feature_extraction.preview.picture_layout import (
    draw_scale_bar,
    font,
    length_text,
    paragraph,
    round_length,
    shortened,
)


@settings(deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cc", "Cs"]), max_size=120))
def test_shortened_text_fits_and_keeps_both_ends(text: str) -> None:
    short = shortened(text, font(12), 90)
    if short != text:
        assert font(12).getlength(short) <= 90
        assert short[0] == text[0]
        assert len(short) < len(text) + 1


def test_paragraph_breaks_lines_and_cuts_what_is_too_long() -> None:
    one = paragraph("short", 200, 14)
    two = paragraph("word " * 12, 200, 14)
    name = paragraph("W" * 400, 200, 14)
    assert two.height > one.height == name.height
    for sheet in (one, two, name):
        assert sheet.width == 200


@settings(deadline=None)
@given(st.floats(0.01, 1e7))
def test_round_length_is_the_longest_of_1_2_5(longest: float) -> None:
    length = round_length(longest)
    assert length <= longest < 2.5000001 * length
    assert f"{length:.0e}"[0] in "125"


@pytest.mark.parametrize(
    ("microns", "text"), [(50, "50 µm"), (0.5, "0.5 µm"), (2000, "2 mm"), (111.9, "112 µm")]
)
def test_lengths_in_words(microns: float, text: str) -> None:
    assert length_text(microns) == text


@pytest.mark.parametrize(("microns_per_px", "expected"), [(0.5, 100), (2.0, 100), (10.0, 100)])
def test_scale_bar_has_the_length_it_states(microns_per_px: float, expected: int) -> None:
    """A quarter of 800 px is 200 px: 100, 400 and 2000 um, of which 100, 200 and 2000 are round."""
    picture = Image.new("RGB", (800, 600), "grey")
    draw_scale_bar(picture, microns_per_px)
    row = np.asarray(picture)[600 - 10 - 9]
    length = int((row < 40).all(axis=1).sum())
    microns = round_length(200 * microns_per_px)
    assert abs(length - microns / microns_per_px) <= 1
    assert length >= expected - 1
