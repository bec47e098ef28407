"""Ridge logistic regression is at its minimum, as sklearn's is."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cmil.comparison.ridge_regression import ridge_logistic


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
