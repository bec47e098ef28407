"""How far probabilities are from frequencies: level, spread, distance."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from cmil.validation.bootstrap import weighted_mean
from cmil.validation.calibration_curve import curve_design, logits_of
from cmil.validation.discrimination import FEW, FEWEST, logit_interval, too_few
from cmil.validation.estimate import (
    Estimate,
    Z,
    from_bootstrap,
    from_bootstrap_error,
    not_estimable,
    wald,
)
from cmil.validation.logistic import fit_logistic

ECE_BINS = 10
ECE = f"ece_{ECE_BINS}_equal_count_bins"

_BOOTSTRAP = "bootstrap over patients, by centre"
_BOOTSTRAP_ERROR = "bootstrap standard error over patients, by centre"
_WALD = "logistic regression, Wald"
_SEPARATED = "scores separate the labels: not estimable"

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def calibration_measures(
    scores: ArrayLike, labels: ArrayLike, weights: NDArray[np.float64]
) -> dict[str, Estimate]:
    """Measure the calibration of probabilities.

    Parameters
    ----------
    scores, labels
        (n,) probabilities; 0 or 1.
    weights
        (B, n) bootstrap samples within centres, outcome left free.

    Returns
    -------
    dict
        `intercept_in_the_large` (0 is right: mean level; offset fit) and `slope` (1 is right; below
        it scores are too extreme), as `rms::val.prob` and `CalibrationCurves::val.prob.ci.2` fit
        them; `o_e`, observed over expected; `brier`; `scaled_brier`, 1 less its ratio to that of
        the patients' own prevalence; `ici`, mean distance to the smooth curve (Austin & Steyerberg
        2019, Stat Med 38:4051); the ECE by bins of equally many patients. The last two are above 0
        even where calibration is perfect, the more so the fewer patients. With fewer than 5
        patients of a label nothing but Brier is estimated.
    """
    p, y = np.asarray(scores, dtype=float), (np.asarray(labels) == 1).astype(float)
    positives = int(y.sum())
    fewest = min(positives, len(y) - positives)
    brier = brier_score(p, y)
    names = ("intercept_in_the_large", "slope", "o_e", "brier", "scaled_brier", "ici", ECE)
    if fewest < FEWEST:
        nothing = not_estimable(_WALD, too_few(fewest))
        return {name: brier if name == "brier" else nothing for name in names}
    in_the_large = fit_logistic(np.ones((len(p), 1)), y, offset=logits_of(p))
    slope = fit_logistic(np.column_stack([np.ones(len(p)), logits_of(p)]), y)
    found = (
        _of_fit(in_the_large.coefficients[0, 0], in_the_large.covariance[0, 0, 0]),
        _of_fit(slope.coefficients[0, 1], slope.covariance[0, 1, 1]),
        observed_over_expected(p, y),
        brier,
        _bootstrapped(lambda w: scaled_brier(p, y, w), weights),
        _curve_distance(p, y, weights),
        _distance(lambda w: expected_calibration_error(p, y, w), weights),
    )
    return dict(zip(names, found, strict=True))


def observed_over_expected(scores: ArrayLike, labels: ArrayLike) -> Estimate:
    """Observed over expected number of patients with the outcome.

    The interval is normal on the log scale; see `log_ratio_variance`.
    """
    method = "log scale, linearised variance"
    expected, y = float(np.sum(scores)), np.asarray(labels) == 1
    observed = int(y.sum())
    if not observed:
        return not_estimable(method, "no patient with the outcome: not estimable")
    value = observed / expected
    half = Z * math.sqrt(log_ratio_variance(scores, labels))
    return Estimate(value, value * math.exp(-half), value * math.exp(half), method)


def brier_score(scores: ArrayLike, labels: ArrayLike) -> Estimate:
    """Mean squared distance of probabilities and labels (Brier 1950).

    The interval is normal on the logit scale, by the delta method on the mean: as it is, and by
    percentiles, it covers too little in 60 patients and may reach below 0.
    """
    method = "logit scale, variance of a mean"
    errors = (np.asarray(scores, dtype=float) - np.asarray(labels, dtype=float)) ** 2
    value = float(errors.mean())
    variance = float(errors.var(ddof=1) / len(errors)) if len(errors) > 1 else math.nan
    if not variance > 0 or not 0 < value < 1:
        return Estimate(value, math.nan, math.nan, method, "no spread: no interval")
    low, high = logit_interval(value, variance)
    return Estimate(value, low, high, method)


def log_ratio_variance(scores: ArrayLike, labels: ArrayLike) -> float:
    """Variance of log(O / E), each patient's part being y / mean(y) - p / mean(p).

    The delta method on the two means of the same patients. Of scores that are all alike it is
    (1 - O / n) / O, as for published counts (Debray et al. 2017, BMJ 356:i6460;
    `metamisc::oecalc`), which is too large where scores tell patients apart.
    """
    p, y = np.asarray(scores, dtype=float), np.asarray(labels, dtype=float)
    return float((y / y.mean() - p / p.mean()).var() / len(y))


def scaled_brier(
    scores: ArrayLike, labels: ArrayLike, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1 - Brier / (prevalence (1 - prevalence)), (B,); Steyerberg et al. 2010, Epidemiology 21:128.

    1 is perfect, 0 no better than telling every patient the prevalence.
    """
    p, y = np.asarray(scores, dtype=float), np.asarray(labels, dtype=float)
    prevalence = weighted_mean(y, weights)
    spread = prevalence * (1 - prevalence)
    ratio = np.full(len(weights), np.nan)
    np.divide(weighted_mean((p - y) ** 2, weights), spread, out=ratio, where=spread > 0)
    return np.asarray(1 - ratio)


def expected_calibration_error(
    scores: ArrayLike, labels: ArrayLike, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean distance of observed and mean predicted frequency over ten bins, (B,).

    Bins hold equally many patients, tied scores staying together (Naeini et al. 2015, AAAI, with
    quantile bins); it depends on their number, which therefore is part of its name.
    """
    p, y = np.asarray(scores, dtype=float), np.asarray(labels, dtype=float)
    edges = np.quantile(p, np.arange(1, ECE_BINS) / ECE_BINS)
    members = np.searchsorted(edges, p, side="left")[:, None] == np.arange(ECE_BINS)
    return np.asarray(np.abs(weighted_mean(members * (y - p)[:, None], weights)).sum(axis=1))


def integrated_index(
    scores: ArrayLike, labels: ArrayLike, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean distance of the scores to their smooth calibration curve, (B,); NaN where it has none.

    ICI of Austin & Steyerberg 2019, with the curve of `calibration_curve` in place of loess.
    """
    p = np.asarray(scores, dtype=float)
    design = curve_design(logits_of(p), logits_of(p))
    own = fit_logistic(design, labels).coefficients[0]
    start = own if np.isfinite(own).all() else None
    beta = fit_logistic(design, labels, weights, start=start).coefficients
    distance = np.abs(expit(beta @ design.T) - p)
    return np.asarray((weights * distance).sum(axis=1) / len(p))


def _of_fit(value: float, variance: float) -> Estimate:
    if math.isnan(value):
        return not_estimable(_WALD, _SEPARATED)
    return wald(float(value), float(variance), _WALD)


def _bootstrapped(statistic: Statistic, weights: NDArray[np.float64]) -> Estimate:
    value = statistic(np.ones((1, weights.shape[1])))
    return from_bootstrap(float(value[0]), statistic(weights), _BOOTSTRAP)


def _distance(statistic: Statistic, weights: NDArray[np.float64]) -> Estimate:
    value = statistic(np.ones((1, weights.shape[1])))
    return from_bootstrap_error(float(value[0]), statistic(weights), _BOOTSTRAP_ERROR)


def _curve_distance(
    p: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> Estimate:
    if min(y.sum(), len(y) - y.sum()) < FEW:
        note = f"no calibration curve: fewer than {FEW} patients of a label"
        return not_estimable(_BOOTSTRAP_ERROR, note)
    return _distance(lambda w: integrated_index(p, y, w), weights)
