"""Whether one score separates patients better than another, or the same score others."""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata, t

from cmil.validation.discrimination import auc_delong, placements, variance_of_mean

_FEW_ENOUGH_TO_LIST, _SWAPS = 13, 10_000


@dataclass(frozen=True)
class AucDifference:
    """AUC of one score less that of another, with its 95% confidence interval and test.

    All but the value are NaN where a class has one patient only. Where the variance is 0 although
    the scores differ, there is no spread to hold the difference against: interval and p are NaN.
    """

    value: float
    ci_low: float
    ci_high: float
    variance: float
    z: float
    p: float


def auc_difference(one: ArrayLike, other: ArrayLike, labels: ArrayLike) -> AucDifference:
    """Test whether two scores of the same patients have the same AUC.

    DeLong et al. 1988 (Biometrics 44:837), eq. 6 with contrast (1, -1). The variance of the
    difference, s11 + s22 - 2 s12, is taken of the patients' own differences in placement, which
    is the same and exactly 0 for scores that order the patients alike. Equals R's
    `pROC::roc.test(paired = TRUE, method = "delong")`; as there, the interval is not cut.

    Parameters
    ----------
    one, other
        (n,) scores, higher means more likely positive.
    labels
        (n,) 0 or 1.

    Raises
    ------
    DataError
        If a class is absent.
    """
    pairs = zip(placements(one, labels), placements(other, labels), strict=True)
    of_cases, of_controls = (ours - theirs for ours, theirs in pairs)
    value = float(of_cases.mean())
    variance = variance_of_mean(of_cases) + variance_of_mean(of_controls)
    if variance > 0:
        spread = variance**0.5
        half, z = float(norm.ppf(0.975)) * spread, value / spread
    else:
        # NaN where a class has one patient; else 0 against 0, or a difference without spread.
        half = z = 0.0 if variance == 0 and value == 0 else float("nan")
    p = float(2 * norm.sf(abs(z)))
    return AucDifference(value, value - half, value + half, variance, z, p)


def few_patients_auc_difference(
    one: ArrayLike,
    other: ArrayLike,
    labels: ArrayLike,
    limits: tuple[tuple[float, float], tuple[float, float]],
    rng: np.random.Generator,
) -> AucDifference:
    """Test and estimate what `auc_difference` does, for patients too few for DeLong's variance.

    The interval is put together from those of both AUCs (MOVER, Zou & Donner 2008, Stat Med
    27:1693, eq. 3 with correlation) and lies within -1 and 1; their correlation is DeLong's. The
    test swaps the mid-ranks of the two scores patient by patient, after Venkatraman & Begg 1996
    (Biometrika 83:835) but of the AUC alone and without ranking anew: all 2^n ways up to 13
    patients, else 10,000 that are drawn, of which the patients as they are is one; its level is
    approximate. Beside a score that is the same for all there is nothing to swap: the labels are
    permuted, which is the exact test of Mann & Whitney 1947 (Ann Math Stat 18:50), all ways up to
    10,000, else as many drawn.

    Parameters
    ----------
    one, other, labels
        As in `auc_difference`.
    limits
        95% limits of the AUC of `one`, and of `other`; a score that is the same for all is 0.5
        without any.
    rng
        Draws the swaps or labels.

    Raises
    ------
    DataError
        If a class is absent.
    """
    plain = auc_difference(one, other, labels)
    gained = rankdata(one) - rankdata(other)
    if not gained.any():  # they order the patients alike
        return plain
    areas, variances = zip(
        *((auc.value, auc.variance) for auc in (auc_delong(s, labels) for s in (one, other))),
        strict=True,
    )
    reach = [
        (0.0, 0.0) if np.ptp(score) == 0 else (area - low, high - area)
        for score, area, (low, high) in zip((one, other), areas, limits, strict=True)
    ]
    both = float(np.sqrt(variances[0] * variances[1]))
    shared = (variances[0] + variances[1] - plain.variance) / (2 * both) if both > 0 else 0.0
    below, above = (
        float(np.sqrt(max(0.0, a**2 + b**2 - 2 * shared * a * b)))
        for a, b in ((reach[0][0], reach[1][1]), (reach[0][1], reach[1][0]))
    )
    is_constant = np.ptp(one) == 0 or np.ptp(other) == 0
    p = (_p_by_labels if is_constant else _p_by_swaps)(gained, np.asarray(labels) == 1, rng)
    low, high = max(-1.0, plain.value - below), min(1.0, plain.value + above)
    return AucDifference(plain.value, low, high, plain.variance, float("nan"), p)


def _p_by_swaps(
    gained: NDArray[np.float64], cases: NDArray[np.bool_], rng: np.random.Generator
) -> float:
    """Two-sided p of the mean rank that cases gain over controls, if the sign of each is chance."""
    weighed = gained * np.where(cases, 1 / cases.sum(), -1 / (~cases).sum())
    if len(gained) <= _FEW_ENOUGH_TO_LIST:
        listed = np.arange(2 ** len(gained))[:, None] >> np.arange(len(gained)) & 1
        signs = 1.0 - 2 * listed
    else:
        signs = rng.choice([-1.0, 1.0], size=(_SWAPS, len(gained)))
        signs[0] = 1
    # Sums of the same terms in another order are the same.
    reached = np.abs(signs @ weighed) >= abs(weighed.sum()) - 1e-9
    return float(reached.mean())


def _p_by_labels(
    gained: NDArray[np.float64], cases: NDArray[np.bool_], rng: np.random.Generator
) -> float:
    """Two-sided p of the mean rank that cases gain over controls, if who is a case is chance."""
    total, many = len(gained), int(cases.sum())
    if math.comb(total, many) <= _SWAPS:
        places = np.array(list(combinations(range(total), many)))
    else:
        places = np.argsort(rng.random((_SWAPS, total)), axis=1)[:, :many]
        places[0] = np.flatnonzero(cases)
    # The mean over controls follows from that over cases; both have the same mean over all ways.
    centred = gained - gained.mean()
    of_cases = np.abs(centred[places].sum(axis=1))
    return float((of_cases >= abs(centred[cases].sum()) - 1e-9).mean())


def unpaired_auc_difference(
    one: ArrayLike, labels_of_one: ArrayLike, other: ArrayLike, labels_of_other: ArrayLike
) -> AucDifference:
    """Test whether a score separates two groups of different patients equally well.

    DeLong's variances of both add; the statistic is held against Student's t with the degrees of
    Welch and Satterthwaite. Equals R's `pROC::roc.test(paired = FALSE, method = "delong")`; the
    interval is of the same t.

    Parameters
    ----------
    one, labels_of_one
        (n,) scores and labels of the first group.
    other, labels_of_other
        (m,) those of the second.

    Raises
    ------
    DataError
        If a class is absent from a group.
    """
    ours, theirs = auc_delong(one, labels_of_one), auc_delong(other, labels_of_other)
    value, variance = ours.value - theirs.value, ours.variance + theirs.variance
    if not variance > 0:
        nan = float("nan")
        return AucDifference(value, nan, nan, variance, nan, nan)
    degrees = variance**2 / (
        ours.variance**2 / (np.size(one) - 1) + theirs.variance**2 / (np.size(other) - 1)
    )
    spread = variance**0.5
    half, statistic = float(t.ppf(0.975, degrees)) * spread, value / spread
    p = float(2 * t.sf(abs(statistic), degrees))
    return AucDifference(value, value - half, value + half, variance, statistic, p)
