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
