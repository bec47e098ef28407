"""The log-rank test of k groups, plain or stratified."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc


@dataclass(frozen=True)
class LogRank:
    """Result of a log-rank test.

    Attributes
    ----------
    chi2, df, p
        Statistic, degrees of freedom and p value; NaN where the groups are never at risk together.
    groups
        `group, n, observed, expected` (events), one row for each group.
    """

    chi2: float
    df: int
    p: float
    groups: pd.DataFrame


def logrank_test(
    time: ArrayLike, event: ArrayLike, group: ArrayLike, strata: ArrayLike | None = None
) -> LogRank:
    """Test whether k groups share one survival function (Mantel 1966; Peto & Peto 1972).

    Equals R's `survdiff(Surv(time, event) ~ group)` and, with strata,
    `survdiff(Surv(time, event) ~ group + strata(strata))`: observed minus expected events and
    their hypergeometric covariance are summed over strata before the one quadratic form.

    Parameters
    ----------
    time, event, group
        Time under observation, 1 for an event, and group of each patient (n,).
    strata
        Stratum of each patient (n,), e.g. the centre; within one only, patients are compared.
    """
    times, events = np.asarray(time, dtype=np.float64), np.asarray(event, dtype=bool)
    names, index = np.unique(np.asarray(group), return_inverse=True)
    stratum = np.zeros(len(times)) if strata is None else np.asarray(strata)
    expected, covariance = np.zeros(len(names)), np.zeros((len(names), len(names)))
    for name in np.unique(stratum):
        member = stratum == name
        e, v = _expected(times[member], events[member], index[member], len(names))
        expected += e
        covariance += v
    observed = np.bincount(index[events], minlength=len(names))
    compared = expected > 0
    chi2, df = _quadratic_form((observed - expected)[compared], covariance[compared][:, compared])
    groups = pd.DataFrame(
        {"group": names, "n": np.bincount(index), "observed": observed, "expected": expected}
    )
    return LogRank(chi2, df, float(chdtrc(df, chi2)), groups)


def _expected(
    time: NDArray[np.float64], event: NDArray[np.bool_], group: NDArray[np.intp], k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum expected events (k,) and their covariance (k, k) over the event times of one stratum."""
    times, deaths = np.unique(time[event], return_counts=True)
    at_risk = np.stack([(time[group == g] >= times[:, None]).sum(axis=1) for g in range(k)], axis=1)
    total = at_risk.sum(axis=1)
    share = at_risk / total[:, None]
    # The last patient at risk alone contributes no variance; 0 / 0 would make it NaN.
    spread = deaths * (total - deaths) / np.maximum(total - 1, 1)
    covariance = np.diag(spread @ share) - (share.T * spread) @ share
    return deaths @ share, covariance


def _quadratic_form(
    difference: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[float, int]:
    """Chi-squared of differences that sum to zero, hence without the last group, and its df."""
    df = len(difference) - 1
    if df < 1 or np.linalg.matrix_rank(covariance[:-1, :-1]) < df:
        return float("nan"), max(df, 0)
    solved = np.linalg.solve(covariance[:-1, :-1], difference[:-1])
    return float(difference[:-1] @ solved), df
