"""Harrell's C against R's counts."""

import numpy as np
import pytest
from lifelines.datasets import load_lung
from lifelines.utils import concordance_index
from scipy.special import logit

from cmil.concordance import concordance
from survival import harrell_c


def test_counts_of_r_in_lung() -> None:
    """R: concordance(Surv(time, status) ~ ph.ecog, lung, reverse = TRUE): 8392, 4258, 7137 tied."""
    lung = load_lung().dropna(subset=["ph.ecog"])
    reached = concordance(lung["ph.ecog"], lung["time"], lung["status"])
    assert reached.value == pytest.approx((8392 + 7137 / 2) / (8392 + 4258 + 7137))


def test_interval_is_that_of_leaving_patients_out() -> None:
    rng = np.random.default_rng(0)
    risk = rng.normal(size=150)
    time = np.ceil(rng.exponential(np.exp(-risk)) * 10)
    event = (rng.random(150) < 0.7).astype(float)
    whole = concordance(risk, time, event)
    assert whole.value == pytest.approx(concordance_index(time, -risk, event))
    without = [
        concordance(np.delete(risk, i), np.delete(time, i), np.delete(event, i)).value
        for i in range(150)
    ]
    error = np.sqrt(149 / 150 * np.sum((np.array(without) - np.mean(without)) ** 2))
    on_logit = logit(whole.ci_high) - logit(whole.value)
    assert on_logit * whole.value * (1 - whole.value) == pytest.approx(1.96 * error, rel=0.05)
    other = harrell_c(risk, time, event)
    assert (whole.ci_low, whole.ci_high) == pytest.approx((other.ci_low, other.ci_high))
    perfect = concordance([3, 2, 1], [1, 2, 3], [1, 1, 1])
    assert (perfect.value, perfect.ci_low, perfect.ci_high) == (1, 1, 1)


def test_no_comparable_pair_is_not_a_number() -> None:
    assert np.isnan(concordance([1, 2], [3, 4], [0, 0]).value)
