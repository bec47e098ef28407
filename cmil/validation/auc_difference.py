"""Whether one score separates patients better than another, or the same score others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, t

from cmil.validation.discrimination import auc_delong, placements, variance_of_mean


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
