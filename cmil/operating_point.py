"""From score to decision: choose a threshold once, then count what it does."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from cmil.discrimination import roc_curve


@dataclass(frozen=True)
class Proportion:
    """k of n with its 95% Wilson interval; all three numbers are NaN where n is 0."""

    k: int
    n: int
    value: float
    ci_low: float
    ci_high: float


def youden_threshold(scores: ArrayLike, labels: ArrayLike) -> float:
    """Choose the threshold with the largest sensitivity + specificity - 1 (Youden 1950).

    It lies midway between the scores it separates, as in `pROC::coords(x="best")`. Among equally
    good thresholds the lowest is taken: at equal Youden index it misses fewer metastases.

    Raises
    ------
    DataError
        If a class is absent.
    """
    curve = roc_curve(scores, labels)
    index = (curve["sensitivity"] + curve["specificity"]).to_numpy()
    best = int(np.flatnonzero(np.isclose(index, index.max(), rtol=0, atol=1e-12))[-1])
    observed = curve["threshold"].to_numpy()
    below = observed[best + 1] if best + 1 < len(observed) else -math.inf
    above = observed[best]
    if math.isinf(above):
        return float(np.nextafter(below, math.inf))
    if math.isinf(below):
        return float(above)
    # Between neighbouring numbers there is no midway; the lower one must stay below.
    middle = float((above + below) / 2)
    return middle if middle > below else float(above)


def wilson(k: int, n: int) -> Proportion:
    """Proportion with the 95% score interval of Wilson 1927 (JASA 22:209).

    Equals R's `prop.test(k, n, correct = FALSE)$conf.int`.
    """
    if n == 0:
        return Proportion(k, n, math.nan, math.nan, math.nan)
    z = float(norm.ppf(0.975))
    p = k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # At k = 0 and k = n the formula ends at 0 and 1 exactly; rounding must not overshoot them.
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    return Proportion(k, n, p, low, high)


def sensitivity(decisions: ArrayLike, labels: ArrayLike) -> Proportion:
    """Share of the positive patients who are called positive."""
    called, truth = np.asarray(decisions) == 1, np.asarray(labels) == 1
    return wilson(int((called & truth).sum()), int(truth.sum()))


def specificity(decisions: ArrayLike, labels: ArrayLike) -> Proportion:
    """Share of the negative patients who are called negative."""
    called, truth = np.asarray(decisions) == 1, np.asarray(labels) == 1
    return wilson(int((~called & ~truth).sum()), int((~truth).sum()))
