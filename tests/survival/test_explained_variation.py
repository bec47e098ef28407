"""Royston & Sauerbrei's D and R2_D, and Nagelkerke's R2."""

import math

import numpy as np
import pytest
from lifelines.datasets import load_rossi

from survival.explained_variation import explained_variation
from survival.weighted_cox import fit_weighted_cox


def test_nagelkerke_equals_coxph_on_rossi() -> None:
    """summary.coxph (before 3.2): Rsquare= 0.074 (max possible= 0.956); R.N is their ratio."""
    rossi = load_rossi()
    x = rossi[["fin", "age", "race", "wexp", "mar", "paro", "prio"]].to_numpy(dtype=float)
    time, event = rossi["week"].to_numpy(dtype=float), rossi["arrest"].to_numpy(dtype=float)
    index = x @ fit_weighted_cox(x, time, event, np.ones((1, 432))).coefficients[0]
    found = explained_variation(index, time, event)
    assert found.nagelkerke == pytest.approx(0.074 / 0.956, abs=6e-4)
    assert found.ci_low < found.r2_d < found.ci_high


def test_normal_index_has_its_known_d_and_share() -> None:
    """A normal index of SD s has D = s k and R2_D = s^2 / (s^2 + pi^2 / 6), k^2 = 8 / pi."""
    rng = np.random.default_rng(1)
    index = rng.normal(size=20_000)
    time = rng.exponential(np.exp(-0.8 * index))
    found = explained_variation(index, time, np.ones(20_000))
    assert found.d == pytest.approx(0.8 * math.sqrt(8 / math.pi), abs=0.04)
    assert found.r2_d == pytest.approx(0.64 / (0.64 + math.pi**2 / 6), abs=0.015)
    reversed_index = explained_variation(-index, time, np.ones(20_000))
    assert (reversed_index.d, reversed_index.r2_d) == pytest.approx((-found.d, found.r2_d), 1e-6)
    assert reversed_index.ci_low < reversed_index.r2_d < reversed_index.ci_high
    # Ranks alone count.
    assert explained_variation(np.exp(index), time, np.ones(20_000)).d == pytest.approx(found.d)


def test_no_maximum_is_noted() -> None:
    found = explained_variation([1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 1, 1])
    assert math.isnan(found.d)
    assert found.note == "not estimable: the likelihood has no maximum"
