"""Newton's method against a general optimiser, and against what cannot be fitted."""

import numpy as np
import pytest
from scipy.optimize import minimize

from cmil.validation.logistic import fit_logistic


def loss(
    beta: np.ndarray, design: np.ndarray, y: np.ndarray, weights: np.ndarray, offset: np.ndarray
) -> float:
    logit = offset + design @ beta
    return float((weights * np.logaddexp(0, np.where(y == 1, -logit, logit))).sum())


def test_every_weighting_is_where_its_likelihood_is_largest() -> None:
    random = np.random.default_rng(5)
    design = np.column_stack([np.ones(40), random.normal(size=(40, 2))])
    y, offset = random.integers(0, 2, 40), random.normal(size=40) / 3
    weights = random.integers(0, 3, size=(4, 40)).astype(float)
    fit = fit_logistic(design, y, weights, offset, start=np.array([0.1, 0.2, 0.3]))
    for found, likelihood, of in zip(fit.coefficients, fit.log_likelihood, weights, strict=True):
        best = minimize(loss, np.zeros(3), args=(design, y, of, offset), method="BFGS")
        assert found == pytest.approx(best.x, abs=1e-4)
        assert likelihood == pytest.approx(-best.fun)


def test_equals_glm_of_r() -> None:
    """`glm(vs ~ wt, binomial, mtcars)`: 5.7147 (se 2.3014), -1.9105 (0.7279); deviance 31.367."""
    weight = [2.62, 2.875, 2.32, 3.215, 3.44, 3.46, 3.57, 3.19, 3.15, 3.44, 3.44]
    weight += [4.07, 3.73, 3.78, 5.25, 5.424, 5.345, 2.2, 1.615, 1.835, 2.465, 3.52]
    weight += [3.435, 3.84, 3.845, 1.935, 2.14, 1.513, 3.17, 2.77, 3.57, 2.78]
    straight = [0, 0, 1, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    straight += [0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]
    fit = fit_logistic(np.column_stack([np.ones(32), weight]), straight)
    assert fit.coefficients[0] == pytest.approx([5.7147, -1.9105], abs=1e-3)
    assert np.sqrt(np.diag(fit.covariance[0])) == pytest.approx([2.3014, 0.7279], abs=1e-3)
    assert -2 * fit.log_likelihood[0] == pytest.approx(31.367, abs=1e-3)


@pytest.mark.parametrize("y", [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1]])
def test_separated_labels_have_no_fit(y: list[int]) -> None:
    x = np.arange(6.0)
    assert np.isnan(fit_logistic(np.column_stack([np.ones(6), x]), y).coefficients).all()


def test_equal_columns_have_no_fit() -> None:
    assert np.isnan(fit_logistic(np.ones((6, 2)), [0, 1, 0, 1, 0, 1]).coefficients).all()
