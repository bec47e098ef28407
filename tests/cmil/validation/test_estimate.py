"""What becomes of bootstrap samples that have no value."""

import math

import numpy as np
import pytest

from cmil.validation.estimate import from_bootstrap, from_bootstrap_error, wald

SAMPLES = np.arange(1000.0)


def test_percentiles_and_what_is_missing() -> None:
    found = from_bootstrap(500.0, SAMPLES, "bootstrap")
    assert (found.ci_low, found.ci_high) == pytest.approx((24.975, 974.025))
    some = from_bootstrap(500.0, np.append(SAMPLES, [np.nan] * 10), "bootstrap")
    assert some.note == "no value in 10 of 1010 bootstrap samples"
    assert some.ci_low == found.ci_low
    many = from_bootstrap(500.0, np.append(SAMPLES, [np.nan] * 300), "bootstrap")
    assert math.isnan(many.ci_low)
    assert "no interval" in many.note
    assert math.isnan(from_bootstrap(math.nan, SAMPLES, "bootstrap").ci_high)


def test_distance_keeps_its_value_inside_and_ends_at_0() -> None:
    samples = np.random.default_rng(0).normal(0.1, 0.02, 5000)
    found = from_bootstrap_error(0.03, samples, "bootstrap")
    assert found.ci_low == 0
    assert found.ci_high == pytest.approx(0.03 + 1.96 * 0.02, abs=0.002)


def test_wald() -> None:
    assert wald(1.0, 0.04, "").ci_high == pytest.approx(1 + 1.959964 * 0.2)
