"""The smooth curve: how many terms it has, and what it finds."""

import numpy as np
import pytest
from scipy.special import expit, logit

from cmil.validation.calibration_curve import calibration_curve, curve_design


def test_fewer_patients_or_knots_make_a_plainer_curve() -> None:
    assert curve_design(np.zeros(3), np.linspace(0, 1, 100)).shape == (3, 4)
    assert curve_design(np.zeros(3), np.linspace(0, 1, 99)).shape == (3, 3)
    assert curve_design(np.zeros(3), np.repeat([0.0, 1.0], 60)).shape == (3, 2)
    assert curve_design(np.zeros(3), np.zeros(60)).shape == (3, 1)


def test_curve_follows_the_true_frequency() -> None:
    random = np.random.default_rng(2)
    scores = random.uniform(0.02, 0.98, 4000)
    truth = expit(0.6 * logit(scores) - 0.4)
    curve = calibration_curve(scores, random.random(4000) < truth)
    expected = expit(0.6 * logit(curve["score"]) - 0.4)
    assert np.abs(curve["observed"] - expected).max() < 0.06
    inside = (curve["ci_low"] < expected) & (expected < curve["ci_high"])
    assert inside.mean() > 0.9
    assert curve["score"].iloc[[0, -1]].tolist() == pytest.approx([scores.min(), scores.max()])


def test_no_curve_without_enough_patients_of_a_label_or_where_scores_separate() -> None:
    scores = np.linspace(0.1, 0.9, 30)
    assert calibration_curve(scores, np.repeat([0, 1], [21, 9])).empty
    assert calibration_curve(scores, np.repeat([0, 1], 15)).empty
