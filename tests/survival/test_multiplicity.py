"""Corrected p values against R's p.adjust."""

import numpy as np
import pytest

from survival.multiplicity import adjusted_p

P = [0.01, 0.04, 0.03, np.nan, 0.005]


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        # By hand from the definitions in ?p.adjust, n = 4.
        ("bonferroni", [0.04, 0.16, 0.12, np.nan, 0.02]),
        ("holm", [0.03, 0.06, 0.06, np.nan, 0.02]),
        ("benjamini-hochberg", [0.02, 0.04, 0.04, np.nan, 0.02]),
    ],
)
def test_corrections_equal_p_adjust(correction, expected: list[float]) -> None:
    np.testing.assert_allclose(adjusted_p(P, correction), expected)


def test_no_p_is_above_one_and_none_at_all_is_no_error() -> None:
    assert adjusted_p([0.6, 0.7], "bonferroni").tolist() == [1, 1]
    assert adjusted_p([], "holm").size == 0


def test_holm_steps_down() -> None:
    """Worked out by hand: 5 * 0.01, 4 * 0.02, 3 * 0.03, then no less than the one before."""
    expected = [0.09, 0.05, 0.9, 0.08, 0.09]
    assert adjusted_p([0.04, 0.01, 0.9, 0.02, 0.03], "holm") == pytest.approx(expected)


def test_benjamini_hochberg_rejects_four_of_fifteen() -> None:
    """Benjamini & Hochberg 1995, section 3.1."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262]
    adjusted = adjusted_p([*p, 0.5719, 0.6528, 0.7590, 1.0], "benjamini-hochberg")
    assert (adjusted <= 0.05).sum() == 4
    assert adjusted[0] == pytest.approx(0.0015)
