"""How well scores tell two classes apart: ROC, AUC, average precision, partial AUC."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from cmil.validation.estimate import Estimate, Z, from_bootstrap, not_estimable
from cmil.validation.roc_samples import (
    Focus,
    RocSamples,
    area,
    average_precision,
    mcclish,
    partial_area,
    roc_samples,
)
from cohorts.errors import DataError

FEWEST, FEW = 5, 10
"""Patients of a label below which nothing is estimated, and below which DeLong gives way."""

_LOGIT = "DeLong, logit scale"
_LOGIT_BOOTSTRAP = "bootstrap standard error over patients, by outcome and centre, logit scale"
_BOOTSTRAP = "bootstrap over patients, by outcome and centre"
_NEWCOMBE = "Hanley-McNeil score interval (Newcombe 2006, method 5)"


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve with its 95% confidence interval, clipped to [0, 1].

    Variance and interval are NaN where a class has one patient only: its spread is not known.
    """

    value: float
    ci_low: float
    ci_high: float
    variance: float


def auc_delong(scores: ArrayLike, labels: ArrayLike) -> Auc:
    """Estimate the AUC, with DeLong's variance and a normal 95% interval.

    DeLong et al. 1988 (Biometrics 44:837), computed from midranks as Sun & Xu 2014 (IEEE Signal
    Process. Lett. 21:1389). Equals R's `pROC::auc`, `pROC::var` and `pROC::ci.auc`.

    Parameters
    ----------
    scores
        (n,) higher means more likely positive.
    labels
        (n,) 0 or 1.

    Raises
    ------
    DataError
        If a class is absent.
    """
    of_cases, of_controls = placements(scores, labels)
    value = float(of_cases.mean())
    variance = variance_of_mean(of_cases) + variance_of_mean(of_controls)
    half = float(norm.ppf(0.975)) * variance**0.5
    low, high = np.clip([value - half, value + half], 0, 1)
    return Auc(value, float(low), float(high), variance)


def placements(
    scores: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place each patient among those of the other class; both parts have the AUC for their mean.

    V10 and V01 of DeLong et al. 1988, eq. 4 and 5, from midranks (Sun & Xu 2014, eq. 8 and 9).

    Returns
    -------
    of_cases, of_controls
        (n1,) share of the controls that each case exceeds, (n0,) share of the cases that exceed
        each control; a tie counts one half. In the order of the scores.

    Raises
    ------
    DataError
        If a class is absent.
    """
    placed = np.asarray(scores, dtype=float)
    positive = np.asarray(labels) == 1
    cases, controls = placed[positive], placed[~positive]
    if not len(cases) or not len(controls):
        raise DataError("AUC needs both labels; one is absent")
    among_all = rankdata(np.concatenate([cases, controls]))
    of_cases = (among_all[: len(cases)] - rankdata(cases)) / len(controls)
    of_controls = 1 - (among_all[len(cases) :] - rankdata(controls)) / len(cases)
    return of_cases, of_controls


def variance_of_mean(values: NDArray[np.float64]) -> float:
    """Variance of the mean of (n,) independent values; NaN where there is only one."""
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else math.nan


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> pd.DataFrame:
    """Every point of the empirical ROC curve.

    Returns
    -------
    DataFrame
        `threshold, sensitivity, specificity`, from "no one is positive" (threshold infinity) to
        "everyone is". A patient is called positive at a score of at least the threshold.

    Raises
    ------
    DataError
        If a class is absent.
    """
    placed, truth = np.asarray(scores, dtype=float), np.asarray(labels) == 1
    if truth.all() or not truth.any():
        raise DataError("a ROC curve needs both labels; one is absent")
    thresholds = np.append(np.inf, np.unique(placed)[::-1])
    called = placed[:, None] >= thresholds[None, :]
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "sensitivity": called[truth].mean(axis=0),
            "specificity": 1 - called[~truth].mean(axis=0),
        }
    )


def estimate_auc(scores: ArrayLike, labels: ArrayLike, weights: NDArray[np.float64]) -> Estimate:
    """Estimate the AUC with the interval that holds what it says at this number of patients.

    DeLong's variance on the logit scale, expit(logit A +- z se / (A (1 - A))) (Pepe 2003, p. 107):
    DeLong's normal interval is too short above an AUC of 0.8. Where a label has fewer than 10
    patients, the standard error of the logit by bootstrap over patients, the AUC drawn from 0 and 1
    by half a pair; percentiles would be too short. Where every patient is on the right side, so
    that neither has a width, the score interval of Newcombe 2006 (Stat Med 25:559, method 5).
    Below 5 patients of a label nothing is estimated.

    Parameters
    ----------
    scores, labels
        (n,) higher means more likely positive; 0 or 1.
    weights
        (B, n) bootstrap samples within outcome and centre.
    """
    positive = np.asarray(labels) == 1
    cases, controls = int(positive.sum()), int((~positive).sum())
    fewest = min(cases, controls)
    if fewest < FEWEST:
        return not_estimable(_LOGIT, too_few(fewest))
    auc = auc_delong(scores, labels)
    if not auc.variance > 0:
        low, high = newcombe_interval(auc.value, cases, controls)
        return Estimate(auc.value, low, high, _NEWCOMBE, "no spread for DeLong's variance")
    if fewest < FEW:
        samples = area(roc_samples(scores, labels, weights))
        low, high = _logit_bootstrap(auc.value, samples, cases * controls)
        return Estimate(auc.value, low, high, _LOGIT_BOOTSTRAP)
    low, high = logit_interval(auc.value, auc.variance)
    return Estimate(auc.value, low, high, _LOGIT)


def _logit_bootstrap(value: float, samples: NDArray[np.float64], pairs: int) -> tuple[float, float]:
    drawn = logit((pairs * samples + 0.5) / (pairs + 1))
    middle = logit((pairs * value + 0.5) / (pairs + 1))
    half = Z * float(np.std(drawn, ddof=1))
    return float(expit(middle - half)), float(expit(middle + half))


def too_few(fewest: int) -> str:
    """Say of how few patients of a label nothing is estimated."""
    if fewest == 0:
        return "one label only: not estimable"
    return f"{fewest} patients of a label, fewer than {FEWEST}: not estimable"


def logit_interval(value: float, variance: float) -> tuple[float, float]:
    """Give the normal 95% interval on the logit scale, by the delta method; 0 < value < 1."""
    half = Z * math.sqrt(variance) / (value * (1 - value))
    return float(expit(logit(value) - half)), float(expit(logit(value) + half))


def newcombe_interval(value: float, cases: int, controls: int) -> tuple[float, float]:
    """Give the AUCs whose Hanley-McNeil variance puts the observed one 1.96 errors away.

    Newcombe 2006 (Stat Med 25:559), method 5: symmetrical in cases and controls, and of positive
    width where the AUC is 0 or 1.
    """

    def excess(theta: float) -> float:
        return (value - theta) ** 2 - Z**2 * hanley_mcneil_variance(theta, cases, controls)

    low = 0.0 if value == 0 else float(brentq(excess, 0.0, min(value, 1 - 1e-9)))
    high = 1.0 if value == 1 else float(brentq(excess, max(value, 1e-9), 1.0))
    return low, high


def hanley_mcneil_variance(value: float, cases: int, controls: int) -> float:
    """Variance of an AUC if scores of both labels were exponential; Newcombe 2006, method 5.

    Hanley & McNeil 1982 (Radiology 143:29), symmetrical in cases and controls.
    """
    pairs = (cases + controls) / 2 - 1
    spread = 1 + pairs * ((1 - value) / (2 - value) + value / (1 + value))
    return value * (1 - value) * spread / (cases * controls)


def ranking_measures(
    scores: ArrayLike, labels: ArrayLike, weights: NDArray[np.float64]
) -> dict[str, Estimate]:
    """Estimate what else the ROC curve tells, with bootstrap intervals.

    Parameters
    ----------
    scores, labels, weights
        As for `estimate_auc`.

    Returns
    -------
    dict
        `average_precision`, for which chance is the prevalence, and
        `partial_auc_specificity_0.9_to_1` and `partial_auc_sensitivity_0.9_to_1`, rescaled by
        McClish 1989 so that 0.5 is chance: `pROC::auc(partial.auc, partial.auc.focus,
        partial.auc.correct = TRUE)`, the interval by bootstrap as in `pROC::ci.auc`.
    """
    positive = np.asarray(labels) == 1
    fewest = int(min(positive.sum(), (~positive).sum()))
    if fewest < FEWEST:
        return dict.fromkeys(_RANKING, not_estimable(_BOOTSTRAP, too_few(fewest)))
    own = roc_samples(scores, labels, np.ones((1, len(positive))))
    drawn = roc_samples(scores, labels, weights)
    found = {
        name: from_bootstrap(float(statistic(own)[0]), statistic(drawn), _BOOTSTRAP)
        for name, statistic in _RANKING.items()
    }
    below = "below chance, where McClish's correction has no meaning"
    return {
        name: not_estimable(_BOOTSTRAP, below) if math.isnan(one.value) else one
        for name, one in found.items()
    }


def _corrected(focus: Focus) -> Callable[[RocSamples], NDArray[np.float64]]:
    return lambda roc: mcclish(partial_area(roc, 0.9, 1.0, focus), 0.9, 1.0)


_RANKING: Mapping[str, Callable[[RocSamples], NDArray[np.float64]]] = {
    "average_precision": average_precision,
    "partial_auc_specificity_0.9_to_1": _corrected("specificity"),
    "partial_auc_sensitivity_0.9_to_1": _corrected("sensitivity"),
}
