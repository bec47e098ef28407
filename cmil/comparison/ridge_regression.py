"""Regressions with a ridge penalty: of a label, of several classes, and of the time to an event."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from survival.partial_likelihood import risk_sets
from survival.ridge import ridge_maximum

_SMALLEST_STEP = 1e-11
_STEPS, _HALVINGS = 100, 40
# Closer than any ranking needs; a step costs little, and a few hundred are usual.
_CLOSE = {"ftol": 1e-12, "gtol": 1e-7, "maxiter": 10_000, "maxfun": 20_000}


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


def ridge_softmax(
    inputs: NDArray[np.float64], classes: NDArray[np.int64], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minimise the sum of weighted log losses of several classes plus |coefficients|^2 / 2 penalty.

    `ridge_logistic` for K classes: intercepts are not penalised, the weight of a patient is
    n / (K n_class). Equals sklearn's `LogisticRegression(C=penalty, class_weight="balanced")`.

    Parameters
    ----------
    inputs
        (n, d), standardised, or the penalty means something else for each.
    classes
        (n,) from 0 to K - 1; all must occur.
    penalty
        Small is strong, as sklearn's C.

    Returns
    -------
    coefficients, intercepts
        (d, K) and (K,): the logits are inputs @ coefficients + intercepts; each sum to 0.
    """
    counts = np.bincount(classes)
    is_of = np.eye(len(counts))[classes]
    weight = (1 / (len(counts) * counts))[classes][:, None]
    design = np.column_stack([inputs, np.ones(len(inputs))])
    shrink = np.append(np.full(inputs.shape[1], 1 / (penalty * len(classes))), 0.0)[:, None]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        at = flat.reshape(design.shape[1], len(counts))
        logits = design @ at
        value = -float((weight * is_of * log_softmax(logits, axis=1)).sum())
        gradient = design.T @ (weight * (softmax(logits, axis=1) - is_of)) + shrink * at
        return value + float((shrink * at**2).sum()) / 2, gradient.ravel()

    start = np.zeros(design.shape[1] * len(counts))
    fit = minimize(loss, start, jac=True, method="L-BFGS-B", options=_CLOSE)
    found = fit.x.reshape(design.shape[1], len(counts))
    found = found - found.mean(axis=1, keepdims=True)
    return found[:-1], found[-1]


def ridge_cox(
    inputs: NDArray[np.float64], outcome: NDArray[np.float64], penalty: float
) -> NDArray[np.float64]:
    """Minimise the negative log partial likelihood plus |coefficients|^2 / (2 penalty).

    Cox 1972 (JRSS B 34:187), ties by Efron 1977; as R's `coxph(Surv(time, event) ~ ridge(inputs,
    theta = 1 / penalty, scale = FALSE))`.

    Parameters
    ----------
    inputs
        (n, d), standardised, or the penalty means something else for each.
    outcome
        (n, 2) times and events, of which there must be one.
    penalty
        Small is strong, as sklearn's C.

    Returns
    -------
    (d,)
        The log hazard ratio is inputs @ coefficients; its level says nothing.
    """
    sets = risk_sets(outcome[:, 0], outcome[:, 1])
    ridge = np.full(inputs.shape[1], 1 / penalty)
    return ridge_maximum(sets, inputs[sets.order], ridge)[0]
