"""Logistic regression by Newton's method, of one sample or of all bootstrap samples at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

_STEPS, _HALVINGS = 50, 12
_PRECISION, _SINGULAR = 1e-7, 1e-11


@dataclass(frozen=True)
class LogisticFit:
    """Fits of B weightings, NaN where the likelihood has no maximum.

    `coefficients` (B, p), `covariance` (B, p, p) the inverse of the information,
    `log_likelihood` (B,).
    """

    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]


def fit_logistic(
    design: NDArray[np.float64],
    labels: ArrayLike,
    weights: NDArray[np.float64] | None = None,
    offset: NDArray[np.float64] | None = None,
    start: NDArray[np.float64] | None = None,
) -> LogisticFit:
    """Fit P(label) = expit(offset + design @ coefficients) by maximum likelihood.

    Newton's method, a step that lowers the likelihood halved; equals R's `glm(family = binomial)`.

    Parameters
    ----------
    design
        (n, p) with its column of ones, if there is to be one.
    labels
        (n,) 0 or 1.
    weights
        (B, n) as `patient_weights` gives them; None for one fit to the patients themselves.
    offset
        (n,) a part of the logit with coefficient 1.
    start
        (p,) where to start, 0 by default.
    """
    y = np.asarray(labels, dtype=float)
    patients, parameters = design.shape
    drawn = np.ones((1, patients)) if weights is None else weights
    fixed = np.zeros(patients) if offset is None else offset
    pairs = (design[:, :, None] * design[:, None, :]).reshape(patients, -1)
    beta = np.tile(np.zeros(parameters) if start is None else start, (len(drawn), 1))
    if np.linalg.matrix_rank(design) < parameters:
        return _nowhere(len(drawn), parameters)

    reached = _likelihood(fixed + beta @ design.T, y, drawn)
    running = np.arange(len(drawn))
    for _ in range(_STEPS):
        now, of = beta[running], drawn[running]
        gradient, information = _derivatives(fixed + now @ design.T, y, of, design, pairs)
        step = np.linalg.solve(_steady(information), gradient[:, :, None])[:, :, 0]
        likelihood = _likelihood(fixed + (now + step) @ design.T, y, of)
        for _ in range(_HALVINGS):
            worse = likelihood < reached[running] - 1e-9 * np.abs(reached[running])
            if not worse.any():
                break
            step[worse] /= 2
            proposed = fixed + (now[worse] + step[worse]) @ design.T
            likelihood[worse] = _likelihood(proposed, y, of[worse])
        beta[running], reached[running] = now + step, likelihood
        running = running[np.abs(step).max(axis=1) > _PRECISION]
        if not len(running):
            break
    _, information = _derivatives(fixed + beta @ design.T, y, drawn, design, pairs)
    covariance = np.asarray(np.linalg.inv(_steady(information)), dtype=float)
    # Where the labels separate, the information vanishes in a direction, or Newton runs on.
    smallest = np.linalg.eigvalsh(information)[:, 0]
    lost = smallest < _SINGULAR * np.trace(information, axis1=1, axis2=2)
    lost[running] = True
    beta[lost], covariance[lost], reached[lost] = np.nan, np.nan, np.nan
    return LogisticFit(beta, covariance, reached)


def _likelihood(
    logit: NDArray[np.float64], y: NDArray[np.float64], drawn: NDArray[np.float64]
) -> NDArray[np.float64]:
    each = np.where(y == 1, -logit, logit)
    np.logaddexp(0, each, out=each)
    return -np.asarray(np.einsum("bn,bn->b", drawn, each))


def _derivatives(
    logit: NDArray[np.float64],
    y: NDArray[np.float64],
    drawn: NDArray[np.float64],
    design: NDArray[np.float64],
    pairs: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    parameters = design.shape[1]
    p = expit(logit)
    gradient = (drawn * (y - p)) @ design
    information = ((drawn * p * (1 - p)) @ pairs).reshape(-1, parameters, parameters)
    return gradient, information


def _steady(information: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add a trace of a ridge: a bootstrap sample may hold too few distinct patients."""
    ridge = 1e-12 * np.trace(information, axis1=1, axis2=2) + 1e-200
    return np.asarray(information + ridge[:, None, None] * np.eye(information.shape[1]))


def _nowhere(fits: int, parameters: int) -> LogisticFit:
    return LogisticFit(
        np.full((fits, parameters), np.nan),
        np.full((fits, parameters, parameters), np.nan),
        np.full(fits, np.nan),
    )
