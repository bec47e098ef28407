"""Log-rank tests of k groups: plain, weighted, stratified, for trend, and pair by pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtr

from cohorts.errors import DataError, SettingsError
from survival.follow_up import FollowUp, at_risk, follow_up, group_names
from survival.multiplicity import Correction, adjusted_p


@dataclass(frozen=True)
class FlemingHarrington:
    """Weights S(t-)^rho (1 - S(t-))^gamma, S the Kaplan-Meier curve of all groups together.

    Fleming & Harrington 1991, Counting Processes and Survival Analysis, section 7.2. With gamma 0
    R's `survdiff(rho = rho)`. A rho above 0 looks at early differences, a gamma above 0 at late
    ones.
    """

    rho: float
    gamma: float = 0.0

    def __post_init__(self) -> None:
        """Refuse negative powers."""
        if self.rho < 0 or self.gamma < 0:
            raise SettingsError("rho and gamma of Fleming-Harrington weights: give 0 or more")


Weighting = Literal["log-rank", "gehan", "tarone-ware", "peto-peto"] | FlemingHarrington

_NAMES = {
    "log-rank": "log-rank test",
    "gehan": "Gehan-Breslow test",
    "tarone-ware": "Tarone-Ware test",
    "peto-peto": "Peto-Peto test",
}


@dataclass(frozen=True)
class LogRank:
    """Result of a log-rank test.

    Attributes
    ----------
    chi2, df, p
        Statistic, degrees of freedom and p value; NaN where the groups are never at risk together.
    groups
        `group, n, observed, expected` (events, weighted where the test is), one row for each group.
    method
        Name of the test.
    """

    chi2: float
    df: int
    p: float
    groups: pd.DataFrame
    method: str


@dataclass(frozen=True)
class LogRankTrend:
    """Result of a test for trend; z above 0: the later a group in the order, the more events.

    Attributes
    ----------
    z, p
        Standard normal statistic and two-sided p value; NaN where there is nothing to compare.
    groups
        As in `LogRank`, in the order tested.
    method
        Name of the test.
    """

    z: float
    p: float
    groups: pd.DataFrame
    method: str


class _Sums(NamedTuple):
    """Observed and expected events (k,) and their covariance (k, k), summed over event times."""

    observed: NDArray[np.float64]
    expected: NDArray[np.float64]
    covariance: NDArray[np.float64]


def logrank_test(
    time: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    strata: ArrayLike | None = None,
    *,
    entry: ArrayLike | None = None,
    weighting: Weighting = "log-rank",
) -> LogRank:
    """Test whether k groups share one survival function (Mantel 1966; Peto & Peto 1972).

    Equals R's `survdiff(Surv(time, event) ~ group)` and, with strata,
    `survdiff(Surv(time, event) ~ group + strata(strata))`: observed minus expected events and
    their hypergeometric covariance are summed over strata before the one quadratic form. With
    delayed entry, of which survdiff knows nothing, the sums are over the sets entry < t <= time.

    Parameters
    ----------
    time, event, group
        Time under observation, 1 for an event, and group of each patient (n,).
    strata
        Stratum of each patient (n,), e.g. the centre; within one only, patients are compared.
    entry
        Time from which each patient is observed (n,).
    weighting
        Weight of an event time at which n are at risk: 1 (log-rank), n (Gehan 1965, Breslow 1970),
        the root of n (Tarone & Ware 1977), the product of 1 - d / (n + 1) up to it (Peto & Peto
        1972), as in Klein & Moeschberger 2003, table 7.3; or `FlemingHarrington`. n, d and S are
        those of the stratum.
    """
    names = group_names(group)
    sums, counts = _sums(follow_up(time, event, entry), group, names, strata, weighting)
    compared = sums.expected > 0
    chi2, df = _quadratic_form(
        (sums.observed - sums.expected)[compared], sums.covariance[compared][:, compared]
    )
    table = _table(names, counts, sums)
    return LogRank(chi2, df, float(chdtrc(df, chi2)), table, _method(weighting, strata))


def logrank_trend(
    time: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    order: Sequence[Any],
    strata: ArrayLike | None = None,
    *,
    entry: ArrayLike | None = None,
    weighting: Weighting = "log-rank",
) -> LogRankTrend:
    """Test for a trend over ordered groups, scored 1, 2, ..., k.

    Klein & Moeschberger 2003, Survival Analysis, eq. 7.4.1 and 7.4.2: with scores a, the sum of
    a (O - E) over the root of a' V a. Equals `comp()` of R's survMisc, which survminer calls.

    Parameters
    ----------
    time, event, group, strata, entry, weighting
        As of `logrank_test`.
    order
        Every group once, in the order in which the hazard is thought to rise or fall.

    Raises
    ------
    DataError
        If `order` does not name the groups.
    """
    names = list(order)
    if sorted(names, key=str) != sorted(group_names(group), key=str):
        raise DataError(f"order: name each group once: {', '.join(map(str, group_names(group)))}")
    sums, counts = _sums(follow_up(time, event, entry), group, names, strata, weighting)
    scores = np.arange(1, len(names) + 1)
    variance = float(scores @ sums.covariance @ scores)
    # Scores of groups never at risk together cancel but for rounding.
    estimable = variance > 1e-12 * float(np.trace(sums.covariance))
    z = float("nan")
    if estimable:
        z = float(scores @ (sums.observed - sums.expected)) / variance**0.5
    method = f"{_method(weighting, strata)} for trend"
    return LogRankTrend(z, float(2 * ndtr(-abs(z))), _table(names, counts, sums), method)


def pairwise_logrank(
    time: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    strata: ArrayLike | None = None,
    *,
    correction: Correction,
    entry: ArrayLike | None = None,
    weighting: Weighting = "log-rank",
) -> pd.DataFrame:
    """Test every two groups against each other, with p values corrected for their number.

    Equals `pairwise_survdiff` of R's survminer, whose default correction is Benjamini & Hochberg's.

    Returns
    -------
    pandas.DataFrame
        `group, other, chi2, p, p_adjusted, correction, method`, one row a pair.
    """
    data, groups = follow_up(time, event, entry), np.asarray(group)
    stratum = np.zeros(len(groups)) if strata is None else np.asarray(strata)
    rows = []
    for pair in combinations(group_names(group), 2):
        member = np.isin(groups, pair)
        two = data.of(member)
        test = logrank_test(
            two.time,
            two.event,
            groups[member],
            None if strata is None else stratum[member],
            entry=two.entry,
            weighting=weighting,
        )
        rows.append((*pair, test.chi2, test.p))
    table = pd.DataFrame(rows, columns=["group", "other", "chi2", "p"])
    return table.assign(
        p_adjusted=adjusted_p(table["p"], correction),
        correction=correction,
        method=_method(weighting, strata),
    )


def _sums(
    data: FollowUp,
    group: ArrayLike,
    names: list[Any],
    strata: ArrayLike | None,
    weighting: Weighting,
) -> tuple[_Sums, NDArray[np.intp]]:
    """Sum over strata; also the number of patients in each group."""
    groups = np.asarray(group)
    index = np.full(len(groups), -1)
    for i, name in enumerate(names):
        index[groups == name] = i
    stratum = np.zeros(len(groups)) if strata is None else np.asarray(strata)
    if pd.isna(stratum).any():
        raise DataError("strata: a patient has none; leave the patient out or name a stratum")
    members = [stratum == name for name in np.unique(stratum)]
    parts = [_stratum_sums(data.of(m), index[m], len(names), weighting) for m in members]
    total = _Sums(*(np.sum(values, axis=0) for values in zip(*parts, strict=True)))
    return total, np.bincount(index, minlength=len(names))


def _stratum_sums(data: FollowUp, group: NDArray[np.intp], k: int, weighting: Weighting) -> _Sums:
    times, at = np.unique(data.time[data.event], return_inverse=True)
    died = np.bincount(at * k + group[data.event], minlength=len(times) * k).reshape(-1, k)
    n = np.stack([at_risk(data.of(group == g), times) for g in range(k)], axis=1)
    total, deaths = n.sum(axis=1), died.sum(axis=1)
    weight = _weights(total, deaths, weighting)
    share = n / total[:, None]
    # The last patient at risk alone contributes no variance; 0 / 0 would make it NaN.
    spread = weight**2 * deaths * (total - deaths) / np.maximum(total - 1, 1)
    covariance = np.diag(spread @ share) - (share.T * spread) @ share
    return _Sums(weight @ died, (weight * deaths) @ share, covariance)


def _weights(
    n: NDArray[np.int64], deaths: NDArray[np.int64], weighting: Weighting
) -> NDArray[np.float64]:
    if isinstance(weighting, FlemingHarrington):
        survival = np.concatenate([[1.0], np.cumprod(1 - deaths / n)])[: len(n)]
        return np.asarray(survival**weighting.rho * (1 - survival) ** weighting.gamma)
    if weighting == "log-rank":
        return np.ones(len(n))
    if weighting == "peto-peto":
        return np.asarray(np.cumprod(1 - deaths / (n + 1)))
    return np.asarray(n ** (1.0 if weighting == "gehan" else 0.5))


def _table(names: list[Any], counts: NDArray[np.intp], sums: _Sums) -> pd.DataFrame:
    return pd.DataFrame(
        {"group": names, "n": counts, "observed": sums.observed, "expected": sums.expected}
    )


def _method(weighting: Weighting, strata: ArrayLike | None) -> str:
    if isinstance(weighting, FlemingHarrington):
        name = f"Fleming-Harrington test (rho {weighting.rho:g}, gamma {weighting.gamma:g})"
    else:
        name = _NAMES[weighting]
    return name if strata is None else f"stratified {name}"


def _quadratic_form(
    difference: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[float, int]:
    """Chi-squared of differences that sum to zero, hence without the last group, and its df."""
    df = len(difference) - 1
    if df < 1 or np.linalg.matrix_rank(covariance[:-1, :-1]) < df:
        return float("nan"), max(df, 0)
    solved = np.linalg.solve(covariance[:-1, :-1], difference[:-1])
    return float(difference[:-1] @ solved), df
