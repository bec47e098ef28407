"""How well scores tell two classes apart: ROC, AUC and its confidence interval."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from cohorts.errors import DataError


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
