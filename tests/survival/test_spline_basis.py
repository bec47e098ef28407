"""The spline's basis by its definition."""

import numpy as np
import pytest

from cohorts.errors import SettingsError
from survival.spline_basis import distinct_knots, knots_at_quantiles, restricted_cubic_spline


def test_basis_is_linear_beyond_the_outer_knots_and_smooth_at_each() -> None:
    knots = np.array([0.1, 0.3, 0.4, 0.9])
    outside = restricted_cubic_spline(np.array([0.9, 1.0, 1.1, 1.2]), knots)
    assert np.diff(outside, 2, axis=0) == pytest.approx(np.zeros((2, 3)), abs=1e-12)
    assert restricted_cubic_spline(np.array([0.0, 0.1]), knots)[:, 1:].tolist() == [[0, 0]] * 2
    for knot in knots:
        near = restricted_cubic_spline(knot + np.array([-2e-4, -1e-4, 0, 1e-4, 2e-4]), knots)
        second = np.diff(near, 2, axis=0)
        assert second[0] == pytest.approx(second[-1], abs=1e-10)


def test_outer_knots_of_few_patients_are_the_fifth_values() -> None:
    values = np.arange(50.0)
    assert knots_at_quantiles(values, 4)[[0, -1]].tolist() == [4, 45]
    assert knots_at_quantiles(np.arange(101.0), 5) == pytest.approx([5, 27.5, 50, 72.5, 95])


def test_knots_that_ties_bring_together_are_one_and_two_leave_the_line() -> None:
    values = np.repeat([0.0, 1.0], 60)
    knots = distinct_knots(values, 4)
    assert knots.tolist() == [0, 1]
    assert restricted_cubic_spline(values, knots).tolist() == values[:, None].tolist()
    assert distinct_knots(np.arange(101.0), 3).tolist() == [10, 50, 90]


def test_other_numbers_of_knots_are_refused() -> None:
    with pytest.raises(SettingsError, match="6 knots: give 3, 4 or 5"):
        knots_at_quantiles(np.arange(200.0), 6)
