"""Means over patients, against R."""

import math

import numpy as np
import pytest

from cmil.explanations.over_patients import mean_over_patients


def test_students_interval_of_r() -> None:
    """R 4, ?t.test: t.test(extra ~ paired) of `sleep`; Student 1908.

    t.test(with(sleep, extra[group == 1] - extra[group == 2])): mean -1.58, 95% interval
    -2.4598858 to -0.7001142, p = 0.002833.
    """
    first = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    second = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    found = mean_over_patients([*(first - second), math.nan])
    assert found.patients == 10
    assert found.mean == pytest.approx(-1.58)
    assert (found.ci_low, found.ci_high) == pytest.approx((-2.4598858, -0.7001142))
    assert found.p == pytest.approx(0.00283289, rel=1e-5)
    moved = mean_over_patients(first - second + 0.5, no_effect=0.5)
    assert moved.p == pytest.approx(found.p)


@pytest.mark.parametrize(
    ("values", "mean"), [([], math.nan), ([math.nan], math.nan), ([0.3], 0.3), ([0.3] * 3, 0.3)]
)
def test_without_spread_there_is_no_interval(values: list[float], mean: float) -> None:
    found = mean_over_patients(values)
    assert math.isnan(found.ci_low)
    assert math.isnan(found.p)
    assert found.mean == pytest.approx(mean, nan_ok=True)
