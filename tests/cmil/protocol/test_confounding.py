"""Cramer's V and how well a centre is told, by hand, by other programs, and under the null."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ncx2

from cmil.protocol.confounding import cramers_v, predict_centre

# Hair and eye colour of 592 students (Snee 1974; R's HairEyeColor, both sexes).
HAIR_EYE = [[68, 20, 15, 5], [119, 84, 54, 29], [26, 17, 14, 14], [7, 94, 10, 16]]


def test_cramers_v_of_hair_and_eye_colour() -> None:
    found = cramers_v(HAIR_EYE)
    # R: chisq.test(margin.table(HairEyeColor, 1:2)): X-squared = 138.29, df = 9.
    assert found.chi2 == pytest.approx(138.2898, abs=1e-4)
    # Bergsma's correction by hand: phi2+ = 138.2898/592 - 9/591, k~ = 4 - 9/591.
    excess, fewer = 138.2898 / 592 - 9 / 591, 4 - 9 / 591
    assert found.v == pytest.approx(math.sqrt(excess / (fewer - 1)), abs=1e-6)
    # The limits are those at which the statistic found is the 97.5% and the 2.5% point.
    for limit, level in ((found.ci_low, 0.975), (found.ci_high, 0.025)):
        assert ncx2.cdf(found.chi2, 9, limit**2 * 592 * 3) == pytest.approx(level, abs=1e-6)
    assert found.ci_low < found.v < found.ci_high


def test_no_and_full_association() -> None:
    none = cramers_v([[20, 20], [30, 30]])
    assert (none.v, none.ci_low, none.p) == (0, 0, 1)
    assert math.isnan(none.ci_high) and "no upper limit" in none.note
    full = cramers_v([[30, 0], [0, 30]])
    assert full.v == pytest.approx(1, abs=1e-3) and full.ci_low > 0.7
    assert math.isnan(cramers_v([[3, 4]]).v) and "one row" in cramers_v([[3, 4]]).note
    assert "4 of 4 expected" in cramers_v([[2, 3], [3, 2]]).note


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(1, 40), min_size=3, max_size=3), min_size=2, max_size=4))
def test_order_and_transposition_make_no_difference(table: list[list[int]]) -> None:
    counts = np.array(table)
    found = cramers_v(counts)
    for other in (counts[::-1], counts[:, ::-1], counts.T):
        turned = cramers_v(other)
        assert turned.v == pytest.approx(found.v, abs=1e-9)
        assert turned.ci_high == pytest.approx(found.ci_high, abs=1e-6, nan_ok=True)
    if math.isnan(found.ci_high):
        assert found.ci_low == 0 and "no upper limit" in found.note
    else:
        assert 0 <= found.ci_low <= found.ci_high <= 1


def test_interval_covers_the_association_it_was_drawn_from() -> None:
    rng = np.random.default_rng(3)
    cells = np.array([[0.30, 0.15], [0.20, 0.35]])
    expected = cells.sum(axis=1, keepdims=True) * cells.sum(axis=0)
    truth = math.sqrt(((cells - expected) ** 2 / expected).sum())
    drawn = rng.multinomial(120, cells.ravel(), size=400).reshape(-1, 2, 2)
    found = [cramers_v(table) for table in drawn]
    covered = np.mean([one.ci_low <= truth <= one.ci_high for one in found])
    assert 0.92 <= covered <= 0.98


def test_centre_is_told_where_it_leaves_a_mark_and_not_where_it_does_not() -> None:
    rng = np.random.default_rng(0)
    centres = np.repeat(["Bern", "Lund", "Oslo"], 30)
    noise = rng.normal(size=(90, 40))
    marked = noise + 4 * (centres == "Lund")[:, None] * (np.arange(40) < 3)
    told = predict_centre(marked, centres, np.random.default_rng(1))
    assert told.beats_chance and told.by_chance == pytest.approx(1 / 3)
    not_told = [
        predict_centre(rng.normal(size=(90, 10)), centres, np.random.default_rng(i)).beats_chance
        for i in range(20)
    ]
    assert sum(not_told) <= 2
    again = predict_centre(marked, centres, np.random.default_rng(1))
    assert again == told


def test_small_centres_are_left_out_and_counted() -> None:
    inputs = np.random.default_rng(0).normal(size=(23, 2))
    centres = ["A"] * 10 + ["B"] * 10 + ["C"] * 3
    found = predict_centre(inputs, centres, np.random.default_rng(0))
    assert found.centres == 2 and found.patients == 20 and "1 centres of fewer" in found.note
    alone = predict_centre(inputs[:13], ["A"] * 10 + ["C"] * 3, np.random.default_rng(0))
    assert math.isnan(alone.accuracy) and "fewer than two centres" in alone.note
