"""A mean over patients with its interval: the patient is the unit of every claim."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t


@dataclass(frozen=True)
class Mean:
    """Mean of one value a patient, with its 95% interval and the p value of a mean of 0.

    Interval and p are NaN where they are not estimable: fewer than two patients, or no spread.
    """

    patients: int
    mean: float
    ci_low: float
    ci_high: float
    p: float

    def within(self, lowest: float, highest: float) -> "Mean":
        """Cut the interval where the measure ends."""
        low, high = (float(np.clip(end, lowest, highest)) for end in (self.ci_low, self.ci_high))
        return replace(self, ci_low=low, ci_high=high)


def mean_over_patients(values: ArrayLike, no_effect: float = 0.0) -> Mean:
    """Average over patients, those without a value (NaN) left out.

    Student's t with n - 1 degrees of freedom. Equals R's `t.test(values, mu = no_effect)`.

    Parameters
    ----------
    values
        (patients,)
    no_effect
        Mean that p tests.
    """
    every = np.asarray(values, dtype=np.float64)
    known = every[~np.isnan(every)]
    size = len(known)
    mean = float(known.mean()) if size else math.nan
    spread = float(known.std(ddof=1)) if size > 1 else 0.0
    if not spread > 1e-12 * max(1.0, abs(mean)):
        return Mean(size, mean, math.nan, math.nan, math.nan)
    error = spread / size**0.5
    half = float(t.ppf(0.975, size - 1)) * error
    p = 2 * float(t.sf(abs(mean - no_effect) / error, size - 1))
    return Mean(size, mean, mean - half, mean + half, p)
