"""A number with its 95% interval, how it was found, and what is to be said of it."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Z = float(ndtri(0.975))
_FEWEST_SAMPLES = 0.8


@dataclass(frozen=True)
class Estimate:
    """Value and 95% interval; NaN where not estimable, with a `note` that says why."""

    value: float
    ci_low: float
    ci_high: float
    method: str
    note: str = ""


def not_estimable(method: str, note: str) -> Estimate:
    """Say why there is no number."""
    return Estimate(math.nan, math.nan, math.nan, method, note)


def from_bootstrap(value: float, samples: NDArray[np.float64], method: str) -> Estimate:
    """Give a value the 2.5 and 97.5% points of its bootstrap samples.

    Percentile interval (Efron & Tibshirani 1993, section 13.3). Samples in which the statistic has
    no value are left out and counted in the note; with more than a fifth there is no interval.

    Parameters
    ----------
    value
        On the patients themselves.
    samples
        (B,) on the bootstrap samples.
    method
        Names the resampling.
    """
    if math.isnan(value):
        return not_estimable(method, "not estimable")
    known = samples[np.isfinite(samples)]
    if len(known) < _FEWEST_SAMPLES * len(samples) or not len(known):
        return Estimate(
            value, math.nan, math.nan, method, "no value in too many bootstrap samples: no interval"
        )
    low, high = np.quantile(known, [0.025, 0.975])
    missing = len(samples) - len(known)
    note = f"no value in {missing} of {len(samples)} bootstrap samples" if missing else ""
    return Estimate(value, float(low), float(high), method, note)


def wald(value: float, variance: float, method: str) -> Estimate:
    """Give a value its normal interval."""
    half = Z * math.sqrt(variance)
    return Estimate(value, value - half, value + half, method)


def from_bootstrap_error(value: float, samples: NDArray[np.float64], method: str) -> Estimate:
    """Give a distance, which cannot be below 0, a normal interval by its bootstrap standard error.

    A resampled distance lies above its own value: percentiles may leave out the value itself.

    Parameters
    ----------
    value, samples, method
        As for `from_bootstrap`.
    """
    percentiles = from_bootstrap(value, samples, method)
    if math.isnan(percentiles.ci_low):
        return percentiles
    half = Z * float(np.std(samples[np.isfinite(samples)], ddof=1))
    return replace(percentiles, ci_low=max(0.0, value - half), ci_high=value + half)
