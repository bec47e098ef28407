"""Turn logits into probabilities with two numbers fitted on out-of-fold logits."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

# A model that does no better than chance out of fold has a slope around 0. The score must keep
# the order of the logits all the same, or AUC and threshold would speak of different rankings.
SMALLEST_SLOPE = 0.01  # per standard deviation of the logits
# Where the classes separate, the likelihood grows without end.
_LARGEST_SLOPE = 20.0


class Calibration(BaseModel):
    """From a logit to a probability, by way of linear = slope * logit + intercept.

    "logistic": 1 / (1 + exp(-linear)), of a label. "cumulative_hazard": 1 - exp(-exp(linear)), of
    an event by the horizon. "softmax", of several classes, each with an intercept: the softmax
    over their linears.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    link: Literal["logistic", "cumulative_hazard", "softmax"] = "logistic"
    slope: float
    intercept: float | tuple[float, ...]

    def __call__(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities of (n,) logits or, of classes, (n, K)."""
        linear = self.slope * np.asarray(logits, dtype=float) + np.asarray(self.intercept)
        match self.link:
            case "logistic":
                return np.asarray(expit(linear), dtype=float)
            case "cumulative_hazard":
                return np.asarray(-np.expm1(-np.exp(linear)))
            case "softmax":
                return np.asarray(softmax(linear, axis=-1))

    def undone(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Give the softmax of the logits, which had not been calibrated, of (n, K) scores."""
        floor = np.finfo(float).tiny  # where a score was too small to be told from 0
        linear = np.log(np.maximum(np.asarray(scores, dtype=float), floor))
        return np.asarray(softmax((linear - np.asarray(self.intercept)) / self.slope, axis=-1))


def fit_platt(logits: ArrayLike, labels: ArrayLike) -> Calibration:
    """Fit a logistic curve to logits, by maximum likelihood with Platt's targets.

    Platt 1999 (Advances in Large Margin Classifiers, p. 61): the targets are (n1 + 1) / (n1 + 2)
    and 1 / (n0 + 2) instead of 1 and 0, so that separable classes give a finite slope.

    Parameters
    ----------
    logits, labels
        (n,) out-of-fold logits, and 0 or 1.
    """
    x, truth = np.asarray(logits, dtype=float), np.asarray(labels) == 1
    cases, controls = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (cases + 1) / (cases + 2), 1 / (controls + 2))
    # One unit of the optimiser is one standard deviation of the logits. That of equal logits is 0
    # but for rounding, which must not become the unit.
    spread = x.std() if np.ptp(x) > 0 else 1.0
    z = (x - x.mean()) / spread

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        linear = parameters[0] * z + parameters[1]
        error = expit(linear) - target
        value = float(np.sum(np.logaddexp(0, linear) - target * linear))
        return value, np.array([error @ z, error.sum()])

    bounds = [(SMALLEST_SLOPE, None), (None, None)]
    fit = minimize(loss, x0=[1.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    slope = float(fit.x[0] / spread)
    return Calibration(slope=slope, intercept=float(fit.x[1] - slope * x.mean()))


def fit_softmax(logits: ArrayLike, labels: ArrayLike) -> Calibration:
    """Fit a slope, and an intercept for each class, to logits by maximum likelihood.

    Bias-corrected temperature scaling, Alexandari et al. 2020 (ICML, arXiv 1901.06852); the slope
    is 1 / temperature. A model whose loss weighs classes alike gives posteriors for even classes:
    the intercepts bring their frequency back.

    Parameters
    ----------
    logits, labels
        (n, K) out-of-fold logits, and the class of each patient from 0; none is without one.
    """
    x, truth = np.asarray(logits, dtype=float), np.asarray(labels, dtype=int)
    spread = float(x.std()) or 1.0
    z, is_of = x / spread, np.eye(x.shape[1])[truth]

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        linear = parameters[0] * z + np.append(0, parameters[1:])
        error = (softmax(linear, axis=1) - is_of) / len(z)
        value = -float((log_softmax(linear, axis=1) * is_of).sum()) / len(z)
        return value, np.append((error * z).sum(), error.sum(axis=0)[1:])

    bounds = [(SMALLEST_SLOPE, _LARGEST_SLOPE), *[(None, None)] * (x.shape[1] - 1)]
    start = np.append(1.0, np.zeros(x.shape[1] - 1))
    fit = minimize(loss, x0=start, jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    intercepts = tuple(float(value) for value in (0.0, *fit.x[1:]))
    return Calibration(link="softmax", slope=float(fit.x[0] / spread), intercept=intercepts)
