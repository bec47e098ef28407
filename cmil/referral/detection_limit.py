"""The smallest tumour fraction that the frozen model finds with 95% probability."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from cmil.validation.decisions import wilson
from cohorts.errors import DataError, SettingsError

METHOD = (
    "logistic regression of detection on log10 of the planted fraction, sandwich variance over "
    "patients, Fieller's interval"
)
_MOST_STEPS = 50
_FLATTEST = 1e-8  # of the likelihood's gradient, per bag


@dataclass(frozen=True)
class DetectionCurve:
    """Probability of detection over the planted fraction, and where it reaches the target.

    Attributes
    ----------
    intercept, slope
        logit P(detected) = intercept + slope * log10(fraction); NaN where not estimable.
    covariance
        (2, 2) of them.
    limit, ci_low, ci_high
        Fraction detected with probability `target`; NaN where not estimable, see `note`. A limit
        of the interval is NaN where it lies at infinity.
    patients
        Whose patches were mixed.
    """

    intercept: float
    slope: float
    covariance: NDArray[np.float64]
    target: float
    limit: float
    ci_low: float
    ci_high: float
    patients: int
    bags: int
    method: str
    note: str

    def __call__(self, fractions: ArrayLike) -> pd.DataFrame:
        """Probability at (n,) fractions: `fraction, probability, ci_low, ci_high` (Wald, logit)."""
        x = np.asarray(fractions, dtype=float)
        design = np.stack([np.ones_like(x), np.log10(x)], axis=1)
        linear = design @ (self.intercept, self.slope)
        half = norm.ppf(0.975) * np.sqrt(np.einsum("ni,ij,nj->n", design, self.covariance, design))
        low, high = expit(linear - half), expit(linear + half)
        return pd.DataFrame(
            {"fraction": x, "probability": expit(linear), "ci_low": low, "ci_high": high}
        )


def detection_by_fraction(fractions: ArrayLike, detected: ArrayLike) -> pd.DataFrame:
    """Share of bags detected at each planted fraction, 0 included: that is the false alarms.

    Returns
    -------
    DataFrame
        `fraction, detected, bags, share, ci_low, ci_high` (Wilson, as if bags were independent).
    """
    table = pd.DataFrame({"fraction": fractions, "detected": detected})
    rows = []
    for fraction, group in table.groupby("fraction"):
        share = wilson(int(group["detected"].sum()), len(group))
        rows.append((fraction, share.k, share.n, share.value, share.ci_low, share.ci_high))
    columns = ["fraction", "detected", "bags", "share", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def detection_curve(
    fractions: ArrayLike, detected: ArrayLike, patients: ArrayLike, target: float = 0.95
) -> DetectionCurve:
    """Fit the detection curve and its limit, after CLSI EP17-A2 with a logit link.

    The point estimates equal R's `glm(detected ~ log10(fraction), binomial)`; the variance is
    `sandwich::vcovCL(fit, patients)`; the interval of the limit is Fieller's 1954 (JRSS B 16:175),
    of which `MASS::dose.p` gives the delta method's variant. Bags without tumour are left out:
    their fraction has no logarithm.

    Parameters
    ----------
    fractions, detected, patients
        (n,) planted fraction of each bag, whether its decision was "metastasis", and whose
        patches it holds.

    Raises
    ------
    DataError
        If a fraction lies outside 0 to 1.
    SettingsError
        If the target does not lie between 0 and 1.
    """
    if not 0 < target < 1:
        raise SettingsError(f"target is {target:g}; give a probability between 0 and 1, e.g. 0.95")
    fraction = np.asarray(fractions, dtype=float)
    if not ((fraction >= 0) & (fraction <= 1)).all():
        raise DataError("a planted fraction is missing or outside 0 to 1")
    planted = fraction > 0
    x, y = np.log10(fraction[planted]), np.asarray(detected, dtype=float)[planted]
    _, clusters = np.unique(np.asarray(patients)[planted], return_inverse=True)
    count = len(np.unique(clusters))
    note = _not_estimable(x, y, count)
    if note:
        nan = math.nan
        nothing = np.full((2, 2), nan)
        return DetectionCurve(nan, nan, nothing, target, nan, nan, nan, count, len(x), METHOD, note)
    design = np.stack([np.ones_like(x), x], axis=1)
    beta = _fit(design, y)
    covariance = _sandwich(design, y, beta, clusters)
    at = float(logit(target))
    limit = (at - beta[0]) / beta[1]
    low, high = _fieller(beta, covariance, at)
    notes = []
    if beta[1] <= 0:
        limit, low, high = (math.nan,) * 3
        notes.append("the fitted curve does not rise with the fraction: no limit")
    elif limit > x.max():
        limit, high = math.nan, math.nan
        notes.append(
            f"at the largest fraction, {10 ** x.max():.3g}, the fitted curve is below "
            f"{target:.0%}: the limit lies above it"
        )
    elif limit < x.min():
        notes.append("the limit lies below the smallest fraction planted: extrapolated")
    if not notes and not math.isfinite(low):
        notes.append("the slope is too uncertain for a bounded interval")
    return DetectionCurve(
        intercept=float(beta[0]),
        slope=float(beta[1]),
        covariance=covariance,
        target=target,
        limit=float(10**limit),
        ci_low=float(10**low),
        ci_high=float(10**high),
        patients=count,
        bags=len(x),
        method=METHOD,
        note="; ".join(notes),
    )


def _not_estimable(x: NDArray[np.float64], y: NDArray[np.float64], patients: int) -> str:
    if patients < 3:
        return f"{patients} patient(s) with planted tumour: no interval"
    if y.all():
        return f"every bag was detected: the limit lies below {10 ** x.min():.3g}"
    if not y.any():
        return f"no bag was detected: the limit lies above {10 ** x.max():.3g}"
    highest_missed, lowest_found = x[y == 0].max(), x[y == 1].min()
    if highest_missed <= lowest_found:
        return (
            f"all bags up to {10**highest_missed:.3g} were missed and all from "
            f"{10**lowest_found:.3g} on detected: the limit lies between; plant fractions there"
        )
    if x[y == 0].min() >= x[y == 1].max():
        return "detection falls with the fraction: no limit"
    return ""


def _fit(design: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maximum likelihood by Newton's steps, halved where they overshoot."""
    beta = np.zeros(2)
    for _ in range(_MOST_STEPS):
        p = expit(design @ beta)
        gradient = design.T @ (y - p)
        if np.abs(gradient).max() <= _FLATTEST * len(y):
            break
        step = np.linalg.solve((design * (p * (1 - p))[:, None]).T @ design, gradient)
        while _log_likelihood(design, y, beta + step) < _log_likelihood(design, y, beta) - 1e-9:
            step = step / 2
        beta = beta + step
    return beta


def _log_likelihood(
    design: NDArray[np.float64], y: NDArray[np.float64], beta: NDArray[np.float64]
) -> float:
    linear = design @ beta
    return float((y * linear - np.logaddexp(0, linear)).sum())


def _sandwich(
    design: NDArray[np.float64],
    y: NDArray[np.float64],
    beta: NDArray[np.float64],
    clusters: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Liang & Zeger 1986; HC1 and G / (G - 1) as `sandwich::vcovCL` has it."""
    p = expit(design @ beta)
    bread = np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)
    groups = int(clusters.max()) + 1
    scores = np.zeros((groups, 2))
    np.add.at(scores, clusters, design * (y - p)[:, None])
    correction = groups / (groups - 1) * (len(y) - 1) / (len(y) - 2)
    return np.asarray(correction * bread @ scores.T @ scores @ bread)


def _fieller(
    beta: NDArray[np.float64], covariance: NDArray[np.float64], at: float
) -> tuple[float, float]:
    """Points x at which a + b x - at is not told from 0; NaN where they do not end."""
    z2 = float(norm.ppf(0.975)) ** 2
    a, b = beta[0] - at, beta[1]
    square = b**2 - z2 * covariance[1, 1]
    if square <= 0:
        return math.nan, math.nan
    linear = a * b - z2 * covariance[0, 1]
    constant = a**2 - z2 * covariance[0, 0]
    half = math.sqrt(max(linear**2 - square * constant, 0))
    return (-linear - half) / square, (-linear + half) / square
