"""Smooth calibration curve: the observed frequency as a function of the score."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from cmil.validation.discrimination import FEW
from cmil.validation.estimate import Z
from cmil.validation.logistic import fit_logistic
from survival.spline_basis import distinct_knots, restricted_cubic_spline

METHOD = "logistic regression on a restricted cubic spline of the logit, pointwise Wald band"
_POINTS, _BINS = 101, 25
_FEW = 100
_NEAREST = 1e-6  # scores of 0 and 1 have no logit


def logits_of(scores: ArrayLike) -> NDArray[np.float64]:
    """Logits of probabilities, which are held 1e-6 away from 0 and 1."""
    held = np.clip(np.asarray(scores, dtype=float), _NEAREST, 1 - _NEAREST)
    return np.asarray(logit(held))


def calibration_curve(scores: ArrayLike, labels: ArrayLike) -> pd.DataFrame:
    """Estimate how often patients of each score have the outcome.

    As `CalibrationCurves::val.prob.ci.2(smooth = "rcs")`: logistic regression on a restricted cubic
    spline of the logit with 4 knots, or 3 with fewer than 100 patients, at Harrell's quantiles.

    Parameters
    ----------
    scores, labels
        (n,) probabilities; 0 or 1.

    Returns
    -------
    DataFrame
        `score, observed, ci_low, ci_high` at 101 scores from the lowest to the highest; no row with
        fewer than 10 patients of a label, or where the scores separate the labels.
    """
    p, fitted_on = np.asarray(scores, dtype=float), logits_of(scores)
    y = np.asarray(labels) == 1
    columns = ["score", "observed", "ci_low", "ci_high"]
    if min(y.sum(), (~y).sum()) < FEW:
        return pd.DataFrame(columns=columns, dtype=float)
    fit = fit_logistic(curve_design(fitted_on, fitted_on), y)
    if np.isnan(fit.coefficients).any():
        return pd.DataFrame(columns=columns, dtype=float)
    shown = np.linspace(p.min(), p.max(), _POINTS)
    design = curve_design(logits_of(shown), fitted_on)
    middle = design @ fit.coefficients[0]
    half = Z * np.sqrt(np.einsum("ni,ij,nj->n", design, fit.covariance[0], design))
    drawn = (shown, expit(middle), expit(middle - half), expit(middle + half))
    return pd.DataFrame(dict(zip(columns, drawn, strict=True)))


def curve_design(
    values: NDArray[np.float64], fitted_on: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Ones, the values, and their restricted cubic spline terms; (n, 2) to (n, 4).

    Knots that ties bring together are one knot; with fewer than three there is no spline term.

    Parameters
    ----------
    values
        (n,) where the terms are wanted.
    fitted_on
        (m,) whose quantiles are the knots.
    """
    ones = np.ones((len(values), 1))
    if np.ptp(fitted_on) == 0:
        return ones
    knots = distinct_knots(fitted_on, 3 if len(fitted_on) < _FEW else 4)
    return np.column_stack([ones, restricted_cubic_spline(values, knots)])


def score_histogram(scores: ArrayLike, labels: ArrayLike) -> pd.DataFrame:
    """Count patients of each label in bins of score 0.04 wide.

    Returns
    -------
    DataFrame
        `low, high, positives, negatives`, one row a bin from 0 to 1.
    """
    p, y = np.asarray(scores, dtype=float), np.asarray(labels) == 1
    edges = np.linspace(0, 1, _BINS + 1)
    positives, negatives = np.histogram(p[y], edges)[0], np.histogram(p[~y], edges)[0]
    columns = {"low": edges[:-1], "high": edges[1:]}
    return pd.DataFrame({**columns, "positives": positives, "negatives": negatives})
