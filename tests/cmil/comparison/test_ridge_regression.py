"""Ridge regressions are at their minimum, as sklearn's and lifelines' are."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from sklearn.linear_model import LogisticRegression

from cmil.comparison.ridge_regression import ridge_cox, ridge_logistic, ridge_softmax


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("width", [1, 4, 40])
def test_equals_sklearn(penalty: float, width: int) -> None:
    rng = np.random.default_rng(width)
    inputs = rng.normal(size=(25, width))
    labels = (inputs[:, 0] + rng.normal(size=25) > 0.5).astype(int)
    solved = LogisticRegression(
        C=penalty, class_weight="balanced", solver="newton-cholesky", tol=1e-9
    ).fit(inputs, labels)
    coefficients, intercept = ridge_logistic(inputs, labels, penalty)
    assert coefficients == pytest.approx(solved.coef_[0], abs=1e-7)
    assert intercept == pytest.approx(solved.intercept_[0], abs=1e-7)


@pytest.mark.parametrize("penalty", [1e-6, 1.0, 1e6])
def test_separable_classes_and_far_patients_end_at_the_minimum(penalty: float) -> None:
    inputs = np.array([[-900.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [700.0, 1.0], [800.0, 1.0]])
    labels = np.array([0, 0, 1, 1, 1])
    coefficients, intercept = ridge_logistic(inputs, labels, penalty)
    weight = np.array([5 / 4, 5 / 4, 5 / 6, 5 / 6, 5 / 6])
    p = 1 / (1 + np.exp(-np.clip(inputs @ coefficients + intercept, -700, 700)))
    residual = weight * (p - labels)
    assert inputs.T @ residual + coefficients / penalty == pytest.approx(np.zeros(2), abs=1e-5)
    assert residual.sum() == pytest.approx(0, abs=1e-7)


def test_inputs_that_say_nothing_give_nothing() -> None:
    coefficients, intercept = ridge_logistic(np.zeros((5, 3)), np.array([0, 0, 0, 0, 1]), 1e-4)
    assert (coefficients == 0).all()
    assert intercept == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("penalty", [1e-3, 1.0])
@pytest.mark.parametrize("width", [1, 40])
def test_several_classes_equal_sklearn(penalty: float, width: int) -> None:
    rng = np.random.default_rng(width)
    inputs = rng.normal(size=(36, width))
    classes = np.append(np.repeat([0, 1, 2], 6), np.zeros(18, int))
    solved = LogisticRegression(C=penalty, class_weight="balanced", tol=1e-9, max_iter=5000)
    expected = solved.fit(inputs, classes).decision_function(inputs)
    coefficients, intercepts = ridge_softmax(inputs, classes, penalty)
    found = inputs @ coefficients + intercepts
    level = expected.mean(axis=1, keepdims=True)  # which the softmax does not see
    assert found == pytest.approx(expected - level, abs=1e-4)


def test_cox_equals_lifelines() -> None:
    """Which penalises the mean likelihood, on standardised inputs; times are tied."""
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(40, 3))
    inputs = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0, ddof=1)
    time = np.ceil(rng.exponential(np.exp(-inputs[:, 0])) * 4)
    outcome = np.column_stack([time, rng.random(40) < 0.7]).astype(float)
    table = pd.DataFrame(inputs).assign(time=outcome[:, 0], event=outcome[:, 1])
    solved = CoxPHFitter(penalizer=1 / (0.5 * 40)).fit(table, "time", "event")
    coefficients = ridge_cox(inputs, outcome, 0.5)
    assert coefficients == pytest.approx(solved.params_.to_numpy(), abs=1e-5)
    nothing = ridge_cox(np.zeros((40, 2)), outcome, 1e-4)
    assert (nothing == 0).all()
