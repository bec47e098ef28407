"""Gray's test of one cumulative incidence in k groups."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from survival.competing_risks import tie_factor
from survival.follow_up import count_events

METHOD = "Gray's test (Gray 1988), as in R's cmprsk::cuminc"

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class GrayTest:
    """Result of Gray's test.

    Attributes
    ----------
    chi2, df, p
        Statistic, degrees of freedom and p value; NaN where the groups cannot be compared.
    groups
        `group, n, events` (of the cause), one row for each group.
    note
        Why there is no statistic, or which groups took no part; else empty.
    """

    chi2: float
    df: int
    p: float
    groups: pd.DataFrame
    note: str
    method: str = METHOD


class _Course(NamedTuple):
    """One stratum at its distinct times (T,), group by group (T, K)."""

    at_risk: _Array
    of_cause: _Array
    competing: _Array
    survival_before: _Array
    survival: _Array
    incidence_before: _Array


def gray_test(
    time: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    cause: int = 1,
    strata: ArrayLike | None = None,
) -> GrayTest:
    """Test whether k groups share one cumulative incidence of an event (Gray 1988).

    Equals R's `cmprsk::cuminc(time, event, group, strata)$Tests` with `rho = 0`. It is to the
    subdistribution hazard what the log-rank test is to the hazard: group i's share of an event is
    taken by ``R_i = n_i (1 - F_i(t-)) / S_i(t-)``, which keeps those who had a competing event.
    Scores and their covariance are summed over strata before the one quadratic form.

    Parameters
    ----------
    time, event, group
        Time under observation, code of the event (0 censored), and group of each patient (n,).
    cause
        Code of the event of interest; all others above 0 compete.
    strata
        Stratum of each patient (n,), e.g. the centre; within one only, patients are compared.
    """
    times, codes = np.asarray(time, dtype=np.float64), np.asarray(event, dtype=np.int64)
    names, index = np.unique(np.asarray(group), return_inverse=True)
    stratum = np.zeros(len(times)) if strata is None else np.asarray(strata)
    score, covariance = np.zeros(len(names)), np.zeros((len(names), len(names)))
    for name in np.unique(stratum):
        member = stratum == name
        course = _course(times[member], codes[member], index[member], len(names), cause)
        part, spread = _score(course)
        score += part
        covariance += spread
    groups = pd.DataFrame(
        {
            "group": names,
            "n": np.bincount(index, minlength=len(names)),
            "events": np.bincount(index[codes == cause], minlength=len(names)),
        }
    )
    compared = np.diag(covariance) > 0
    df = max(int(compared.sum()) - 1, 0)
    kept = np.flatnonzero(compared)[:-1]
    if df == 0 or np.linalg.matrix_rank(covariance[np.ix_(kept, kept)]) < df:
        note = "not estimable: no event at a time when two groups are under observation"
        return GrayTest(float("nan"), df, float("nan"), groups, note)
    chi2 = float(score[kept] @ np.linalg.solve(covariance[np.ix_(kept, kept)], score[kept]))
    left_out = ", ".join(str(name) for name in names[~compared])
    note = f"never compared with another group: {left_out}" if left_out else ""
    return GrayTest(chi2, df, float(chdtrc(df, chi2)), groups, note)


def _course(
    time: _Array, event: NDArray[np.int64], group: NDArray[np.intp], k: int, cause: int
) -> _Course:
    """Follow each group over the distinct times of all of them."""
    distinct = np.unique(time)
    shape = (len(distinct), k)
    at_risk, of_cause, competing = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for g in range(k):
        counts = count_events(time[group == g], event[group == g], cause)
        position = np.searchsorted(distinct, counts.time)
        of_cause[position, g], competing[position, g] = counts.of_cause, counts.competing
        leaving = np.zeros(len(distinct))
        leaving[position] = counts.of_cause + counts.competing + counts.censored
        at_risk[:, g] = leaving[::-1].cumsum()[::-1]
    hazard = _ratio(of_cause + competing, at_risk)
    survival = np.cumprod(1 - hazard, axis=0, dtype=np.float64)
    before = np.vstack([np.ones(k), survival[:-1]])
    incidence = np.cumsum(before * _ratio(of_cause, at_risk), axis=0)
    incidence_before = np.vstack([np.zeros(k), incidence[:-1]])
    return _Course(at_risk, of_cause, competing, before, survival, incidence_before)


def _score(course: _Course) -> tuple[_Array, _Array]:
    """Score (K,) of Gray 1988, eq. 2.3, and its covariance (K, K); rows of both sum to zero.

    Under the hypothesis the groups share one incidence F, whose hazard is estimated with the
    weights ``u_k = n_k / S_k(t-)``; to first order the score is then a sum of martingales of
    the groups' cause-specific processes, and its covariance one of their predictable variations.
    """
    deaths = course.of_cause.sum(axis=1)
    weight = _ratio(course.at_risk, course.survival_before)
    total = weight.sum(axis=1)
    at_risk = weight * (1 - course.incidence_before)
    expected = deaths[:, None] * _ratio(at_risk, at_risk.sum(axis=1)[:, None])
    score = (course.of_cause - expected).sum(axis=0)

    pooled = np.cumsum(_ratio(deaths, total))
    pooled_before = np.concatenate([[0.0], pooled[:-1]])
    # How the score of group i moves with an event of group k: (T, i, k).
    share = _ratio(weight, total[:, None])
    own = np.eye(weight.shape[1]) * weight[:, :, None]
    direct = own - weight[:, :, None] * share[:, None, :]
    rate = _ratio(deaths, total * (1 - pooled_before))
    running = np.cumsum(direct * rate[:, None, None], axis=0)
    later = running[-1] - running

    remaining = _ratio(1 - pooled[:, None], course.survival)
    lasting = 1 - remaining
    lasting[course.survival <= 0] = 1.0
    of_cause = direct + lasting[:, None, :] * later
    competing = remaining[:, None, :] * later
    # Under the hypothesis a group's events of the cause are what the pooled hazard expects.
    ties = tie_factor(
        np.broadcast_to(deaths[:, None], weight.shape), total[:, None] * course.survival_before
    )
    of_cause_variance = (
        ties * course.survival_before * _ratio(deaths[:, None], total[:, None] * course.at_risk)
    )
    competing_variance = (
        tie_factor(course.competing, course.at_risk)
        * course.survival_before**2
        * _ratio(course.competing, course.at_risk**2)
    )
    covariance = np.einsum("tik,tjk,tk->ij", of_cause, of_cause, of_cause_variance)
    covariance += np.einsum("tik,tjk,tk->ij", competing, competing, competing_variance)
    return score, covariance


def _ratio(above: _Array, below: _Array) -> _Array:
    """Divide, and give 0 where nobody is left to divide by."""
    above, below = np.broadcast_arrays(above, below)
    quotient: _Array = np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
    return quotient
