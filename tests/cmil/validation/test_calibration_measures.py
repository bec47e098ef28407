"""Calibration of scores whose distortion is known, and of what cannot be judged."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from cmil.validation.bootstrap import patient_weights
from cmil.validation.calibration_measures import (
    ECE,
    brier_score,
    calibration_measures,
    expected_calibration_error,
    observed_over_expected,
    scaled_brier,
)
from cmil.validation.estimate import Z


def weights_of(n: int, samples: int = 200) -> np.ndarray:
    return patient_weights(pd.DataFrame({"c": [0] * n}), samples, np.random.default_rng(1))


def large(n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(8)
    truth = expit(random.normal(-0.5, 1.2, n))
    return truth, (random.random(n) < truth).astype(int)


def test_known_distortion_is_found() -> None:
    """Scores twice as extreme have slope 1/2; shifted by 1 on the logit scale, intercept -1."""
    truth, labels = large()
    weights = weights_of(len(truth), 5)
    bold = calibration_measures(expit(2 * logit(truth)), labels, weights)
    assert bold["slope"].value == pytest.approx(0.5, abs=0.02)
    high = calibration_measures(expit(logit(truth) + 1), labels, weights)
    assert high["intercept_in_the_large"].value == pytest.approx(-1, abs=0.05)
    assert high["slope"].value == pytest.approx(1, abs=0.04)
    assert high["o_e"].value == pytest.approx(labels.sum() / expit(logit(truth) + 1).sum())
    right = calibration_measures(truth, labels, weights)
    for name, perfect in (("intercept_in_the_large", 0), ("slope", 1), ("o_e", 1)):
        assert right[name].ci_low < perfect < right[name].ci_high
    assert right["ici"].value < 0.01 < high["ici"].value
    assert right[ECE].value < 0.015 < high[ECE].value


def test_observed_over_expected_by_hand() -> None:
    """30 of 100 observed, 25 expected: 1.2, log variance 0.7 / 30."""
    found = observed_over_expected(np.full(100, 0.25), np.repeat([1, 0], [30, 70]))
    half = math.exp(1.959964 * math.sqrt(0.7 / 30))
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx(
        (1.2, 1.2 / half, 1.2 * half)
    )


def test_brier_scaled_by_the_patients_own_prevalence() -> None:
    labels = np.array([1, 1, 0, 0, 0])
    ones = np.ones((1, 5))
    assert scaled_brier(np.full(5, 0.4), labels, ones) == pytest.approx([0])
    assert scaled_brier(labels, labels, ones) == pytest.approx([1])
    assert np.isnan(scaled_brier(np.full(5, 0.4), np.zeros(5), ones)).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_ece_lies_between_the_overall_and_the_mean_distance(
    rows: list[tuple[float, int]],
) -> None:
    scores, labels = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = expected_calibration_error(scores, labels, np.ones((1, len(scores))))[0]
    assert abs(scores.mean() - labels.mean()) - 1e-9 <= found
    assert found <= np.abs(scores - labels).mean() + 1e-9


def test_ece_of_ten_bins_by_hand() -> None:
    """Ten patients, one a bin: the mean distance of score and label."""
    scores = np.arange(10) / 10 + 0.05
    labels = np.repeat([0, 1], 5)
    found = expected_calibration_error(scores, labels, np.ones((1, 10)))
    assert found == pytest.approx([np.abs(scores - labels).mean()])


def test_what_cannot_be_judged_has_a_reason() -> None:
    scores = np.linspace(0.05, 0.95, 40)
    few = calibration_measures(scores, np.repeat([0, 1], [37, 3]), weights_of(40))
    assert few["slope"].note == "3 patients of a label, fewer than 5: not estimable"
    assert few["brier"].ci_low < few["brier"].value < few["brier"].ci_high
    some = calibration_measures(scores, np.tile([0, 0, 0, 0, 1], 8), weights_of(40))
    assert math.isfinite(some["slope"].value)
    assert some["ici"].note == "no calibration curve: fewer than 10 patients of a label"
    apart = calibration_measures(scores, np.repeat([0, 1], 20), weights_of(40))
    assert math.isnan(apart["slope"].value)
    assert "separate" in apart["slope"].note
    level = calibration_measures(np.full(40, 0.5), np.repeat([0, 1], 20), weights_of(40))
    assert math.isnan(level["slope"].value)
    assert level["intercept_in_the_large"].value == pytest.approx(0)
    ends = calibration_measures(np.repeat([0.0, 1.0], 20), np.tile([0, 1], 20), weights_of(40))
    assert math.isfinite(ends["slope"].value)


def test_brier_has_the_limits_of_a_mean_on_the_logit_scale() -> None:
    scores, labels = np.array([0.1, 0.2, 0.9, 0.6, 0.3]), np.array([0, 0, 1, 1, 1])
    found = brier_score(scores, labels)
    assert found.value == pytest.approx(0.142)  # (0.01 + 0.04 + 0.01 + 0.16 + 0.49) / 5
    half = Z * np.std([0.01, 0.04, 0.01, 0.16, 0.49], ddof=1) / 5**0.5 / (0.142 * 0.858)
    assert logit(found.ci_high) - logit(0.142) == pytest.approx(half)
    assert logit(0.142) - logit(found.ci_low) == pytest.approx(half)
    perfect = brier_score(labels, labels)
    assert perfect.value == 0 and np.isnan(perfect.ci_low) and "no spread" in perfect.note
