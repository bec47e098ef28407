"""Platt's curve against logistic regression on the same targets, and at its edges."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from cmil.calibration import SMALLEST_SLOPE, Calibration, fit_platt, fit_softmax

logits = st.integers(-3000, 3000).map(lambda i: i / 100)
labelled = st.lists(st.tuples(logits, st.integers(0, 1)), min_size=2, max_size=20).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (40.0, 1.0), (-3.0, 0.02), (0.0, 6.0)])
def test_equals_logistic_regression_on_platts_targets(shift: float, scale: float) -> None:
    rng = np.random.default_rng(5)
    labels = np.array([1] * 9 + [0] * 31)
    x = rng.normal(labels * 1.2, 1) * scale + shift

    fitted = fit_platt(x, labels)

    # A target t of one patient is a positive row of weight t and a negative row of weight 1 - t.
    target = np.where(labels == 1, 10 / 11, 1 / 33)
    rows = np.concatenate([x, x])
    standard = ((rows - x.mean()) / x.std())[:, None]
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(
        standard, np.repeat([1, 0], len(x)), sample_weight=np.concatenate([target, 1 - target])
    )
    slope = oracle.coef_[0, 0] / x.std()
    assert fitted.slope == pytest.approx(slope, rel=1e-4)
    assert fitted(x) == pytest.approx(oracle.predict_proba(standard[: len(x)])[:, 1], abs=1e-5)


def test_separable_logits_give_a_finite_rising_curve() -> None:
    fitted = fit_platt([-9.0, -5.0, 5.0, 9.0], [0, 0, 1, 1])
    assert SMALLEST_SLOPE / 10 < fitted.slope < 10
    assert np.all(np.diff(fitted([-9.0, -5.0, 5.0, 9.0])) > 0)


def test_logits_that_point_the_wrong_way_keep_their_order() -> None:
    logits = [2.0, 1.0, -1.0, -2.0]
    fitted = fit_platt(logits, [0, 0, 1, 1])
    assert fitted.slope * np.std(logits) == pytest.approx(SMALLEST_SLOPE)
    # The best curve is then flat at the share of Platt's targets.
    assert fitted([0.0])[0] == pytest.approx(0.5, abs=1e-4)


def test_logits_that_point_the_wrong_way_keep_the_share_of_positives() -> None:
    fitted = fit_platt([2.0, 1.5, 1.0, -2.0], [0, 0, 0, 1])
    targets = [1 / 5, 1 / 5, 1 / 5, 2 / 3]
    assert fitted([2.0, 1.5, 1.0, -2.0]).mean() == pytest.approx(np.mean(targets), abs=1e-5)


@pytest.mark.parametrize("value", [0.1, 0.7, -13.3, 0.0])
def test_equal_logits_get_the_share_of_positives(value: float) -> None:
    # The standard deviation of three times 0.1 is not 0 in floating point.
    fitted = fit_platt([value] * 3, [1, 0, 0])
    assert 0 < fitted.slope <= 1
    assert fitted([value])[0] == pytest.approx(np.mean([2 / 3, 1 / 4, 1 / 4]), abs=1e-5)


@given(labelled)
def test_probabilities_stay_in_bounds_and_in_order(rows: list[tuple[float, int]]) -> None:
    x = np.array([logit for logit, _ in rows])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit_platt(x, [label for _, label in rows])
        probabilities = fitted(np.sort(x))
    assert np.isfinite([fitted.slope, fitted.intercept]).all()
    assert fitted.slope * (x.std() if np.ptp(x) > 0 else 1) >= SMALLEST_SLOPE * (1 - 1e-9)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert (np.diff(probabilities) >= 0).all()


@given(labelled)
def test_mean_probability_is_the_mean_target(rows: list[tuple[float, int]]) -> None:
    """Where the likelihood is highest its derivative by the intercept vanishes."""
    x, labels = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    cases, controls = labels.sum(), len(labels) - labels.sum()
    targets = np.where(labels == 1, (cases + 1) / (cases + 2), 1 / (controls + 2))
    assert fit_platt(x, labels)(x).mean() == pytest.approx(targets.mean(), abs=1e-4)


def test_extreme_logits_do_not_overflow() -> None:
    extreme = Calibration(slope=2.0, intercept=0.0)([-1e6, 0.0, 1e6])
    assert extreme.tolist() == [0.0, 0.5, 1.0]


def test_softmax_brings_the_frequency_of_classes_back() -> None:
    """Posteriors for even classes, as a balanced loss teaches them; the truth is 80, 15 and 5%."""
    rng = np.random.default_rng(5)
    labels = rng.choice(3, 4000, p=[0.8, 0.15, 0.05])
    seen = rng.normal(size=(4000, 3)) + 2 * np.eye(3)[labels]
    calibrated = fit_softmax(2 * seen, labels)
    scores = calibrated(2 * seen)
    shares = np.bincount(labels) / len(labels)
    np.testing.assert_allclose(scores.mean(axis=0), shares, atol=1e-4)
    assert calibrated.slope == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(np.diff(calibrated.intercept), np.diff(np.log(shares)), atol=0.25)
