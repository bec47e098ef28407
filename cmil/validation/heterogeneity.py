"""How far centres differ: each by itself, all by random effects, and all but each."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from cmil.validation.calibration_curve import logits_of
from cmil.validation.calibration_measures import log_ratio_variance
from cmil.validation.decisions import count
from cmil.validation.discrimination import FEWEST, auc_delong, hanley_mcneil_variance, too_few
from cmil.validation.estimate import Z
from cmil.validation.logistic import fit_logistic
from cohorts.random_effects import leave_one_out, pool

_BACK: Mapping[str, Callable[[ArrayLike], NDArray[np.float64]]] = {
    "logit": expit,
    "log": np.exp,
    "identity": np.asarray,
}
_POOLED = ("estimate", "ci_low", "ci_high")
_OF_CENTRE = ["measure", "threshold_name", "centre", "patients", "positives"]
_OF_CENTRE += ["value", "ci_low", "ci_high", "weight", "note"]
_ADHOC, _PREDICTED = ("adhoc_ci_low", "adhoc_ci_high"), ("prediction_low", "prediction_high")
_SPREAD = ("tau2", "tau2_ci_low", "tau2_ci_high", "i2", "q", "q_p", "centres", "method", "note")


@dataclass(frozen=True)
class Transformed:
    """One centre's estimate on the scale it is pooled on; NaN with a note where there is none."""

    value: float
    variance: float
    note: str = ""


@dataclass(frozen=True)
class Heterogeneity:
    """What centres say by themselves, together, and without each in turn.

    Tables share `measure` (`auc, o_e, slope, sensitivity, specificity`) and `threshold_name`, empty
    where there is no threshold; their numbers are back on the measure's own scale, but `tau2`.

    `centres`: `centre, patients, positives, value, ci_low, ci_high, weight, note`; `pooled`:
    `scale, value, ci_low, ci_high, adhoc_ci_low, adhoc_ci_high, prediction_low, prediction_high,
    tau2, tau2_ci_low, tau2_ci_high, i2, q, q_p, centres, method, note`; `leave_one_out`:
    `left_out, value, ci_low, ci_high, prediction_low, prediction_high, tau2, i2, centres, note`.
    """

    centres: pd.DataFrame
    pooled: pd.DataFrame
    leave_one_out: pd.DataFrame


def heterogeneity(patients: pd.DataFrame, thresholds: Mapping[str, float]) -> Heterogeneity:
    """Pool each measure over centres by random effects.

    AUC, sensitivity and specificity on the logit scale, O:E on the log scale, the slope as it is
    (Snell et al. 2018, Stat Methods Med Res 27:3505; Debray et al. 2017, BMJ 356:i6460).

    Parameters
    ----------
    patients
        With columns `centre, score, label`.
    thresholds
        Locked thresholds by name.
    """
    centres, pooled, without = [], [], []
    groups = {str(name): group for name, group in patients.groupby("centre", sort=True)}
    for measure, threshold_name, scale, of in _measures(thresholds):
        key = {"measure": measure, "threshold_name": threshold_name}
        found = [of(group["score"], group["label"]) for group in groups.values()]
        y, v = [one.value for one in found], [one.variance for one in found]
        together, back = pool(y, v), _BACK[scale]
        for (name, group), one, weight in zip(groups.items(), found, together.weights, strict=True):
            half = Z * math.sqrt(one.variance)
            low, middle, high = back([one.value - half, one.value, one.value + half])
            row = {"centre": name, "patients": len(group), "positives": int(group["label"].sum())}
            limits = {"value": middle, "ci_low": low, "ci_high": high}
            centres.append({**key, **row, **limits, "weight": weight, "note": one.note})
        limits = {
            name: float(back(getattr(together, name))) for name in (*_POOLED, *_ADHOC, *_PREDICTED)
        }
        rest = {name: getattr(together, name) for name in _SPREAD}
        pooled.append({**key, "scale": scale, **limits, **rest})
        left = leave_one_out(y, v)
        shown = [*_POOLED, *_PREDICTED]
        left[shown] = back(left[shown].to_numpy(dtype=float))
        without.append(left.assign(**key, left_out=list(groups)))
    order = ["measure", "threshold_name", "left_out", *_POOLED, *_PREDICTED]
    left_out = pd.concat(without, ignore_index=True)[[*order, "tau2", "i2", "centres", "note"]]
    named = {"estimate": "value"}
    return Heterogeneity(
        pd.DataFrame(centres, columns=_OF_CENTRE),
        pd.DataFrame(pooled).rename(columns=named),
        left_out.rename(columns=named),
    )


def logit_auc(scores: ArrayLike, labels: ArrayLike) -> Transformed:
    """Logit of the AUC, with DeLong's variance by the delta method.

    Where every patient is on the right side, half a pair is taken off, and the variance is that of
    Hanley and McNeil at the AUC that leaves.
    """
    positive = np.asarray(labels) == 1
    cases, controls = int(positive.sum()), int((~positive).sum())
    if min(cases, controls) < FEWEST:
        return Transformed(math.nan, math.nan, too_few(min(cases, controls)))
    auc = auc_delong(scores, labels)
    return logit_of_auc(auc.value, auc.variance, cases, controls)


def logit_of_auc(value: float, variance: float, cases: int, controls: int) -> Transformed:
    """Logit of an AUC of so many patients of either label, as `logit_auc` has it."""
    note = ""
    if not variance > 0:
        pairs = cases * controls
        value = (pairs * value + 0.5) / (pairs + 1)
        variance = hanley_mcneil_variance(value, cases, controls)
        note = "every patient on one side: half a pair added, Hanley-McNeil variance"
    return Transformed(float(logit(value)), variance / (value * (1 - value)) ** 2, note)


def logit_proportion(k: int, n: int) -> Transformed:
    """Logit of k of n; a half is added to both cells where one is empty (`escalc("PLO")`)."""
    if n == 0:
        return Transformed(math.nan, math.nan, "no patient of this label")
    added = 0.5 if k in (0, n) else 0.0
    yes, no = k + added, n - k + added
    note = "a half added to an empty cell" if added else ""
    return Transformed(math.log(yes / no), 1 / yes + 1 / no, note)


def log_observed_over_expected(scores: ArrayLike, labels: ArrayLike) -> Transformed:
    """Log of observed over expected, with `log_ratio_variance`."""
    observed = float(np.sum(labels))
    if observed == 0:
        return Transformed(math.nan, math.nan, "no patient with the outcome: not estimable")
    value = math.log(observed / float(np.sum(scores)))
    variance = log_ratio_variance(scores, labels)
    if not variance > 1e-12:
        return Transformed(value, math.nan, "labels go with scores: no variance")
    return Transformed(value, variance)


def slope(scores: ArrayLike, labels: ArrayLike) -> Transformed:
    """Calibration slope, with the variance of logistic regression."""
    positive = np.asarray(labels) == 1
    fewest = int(min(positive.sum(), (~positive).sum()))
    if fewest < FEWEST:
        return Transformed(math.nan, math.nan, too_few(fewest))
    x = logits_of(scores)
    fit = fit_logistic(np.column_stack([np.ones(len(x)), x]), positive)
    if np.isnan(fit.coefficients).any():
        return Transformed(math.nan, math.nan, "scores separate the labels: not estimable")
    return Transformed(float(fit.coefficients[0, 1]), float(fit.covariance[0, 1, 1]))


_Measure = tuple[str, str, str, Callable[[pd.Series, pd.Series], Transformed]]


def _measures(thresholds: Mapping[str, float]) -> list[_Measure]:
    def sensitivity_at(threshold: float) -> Callable[[pd.Series, pd.Series], Transformed]:
        def of(scores: pd.Series, labels: pd.Series) -> Transformed:
            counts = count(scores, labels, threshold)
            return logit_proportion(counts.true_positive, counts.positives)

        return of

    def specificity_at(threshold: float) -> Callable[[pd.Series, pd.Series], Transformed]:
        def of(scores: pd.Series, labels: pd.Series) -> Transformed:
            counts = count(scores, labels, threshold)
            return logit_proportion(counts.true_negative, counts.negatives)

        return of

    measures: list[_Measure] = [
        ("auc", "", "logit", logit_auc),
        ("o_e", "", "log", log_observed_over_expected),
        ("slope", "", "identity", slope),
    ]
    for name, threshold in thresholds.items():
        measures.append(("sensitivity", name, "logit", sensitivity_at(threshold)))
        measures.append(("specificity", name, "logit", specificity_at(threshold)))
    return measures
