"""Cumulative incidence and cause-specific hazards where one event keeps another from happening.

Events are coded 0 for a censored patient, 1 for the event of interest in most studies, and 2 and
above for events that compete with it, e.g. death before metastasis.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from survival.cox import HazardRatio, hazard_ratio
from survival.curves import kaplan_meier
from survival.follow_up import Counts, count_events

METHOD = (
    "Aalen-Johansen; variance of Aalen 1978 as in R's cmprsk::cuminc; "
    "log-log limits as in tidycmprsk"
)
CAUSE_SPECIFIC_METHOD = "Cox 1972, other events censored"

# A difference that changes the percentage a reader takes away.
_NOTABLE_EXCESS = 0.01


@dataclass(frozen=True)
class Overestimate:
    """How far 1 - Kaplan-Meier lies above the cumulative incidence.

    Attributes
    ----------
    time
        Where the two were read.
    incidence, one_minus_km
        Aalen-Johansen estimate, and what censoring the competing events would give instead.
    note
        The warning for the reader; empty where the two agree to one percentage point.
    """

    time: float
    incidence: float
    one_minus_km: float
    note: str


def cumulative_incidence(time: ArrayLike, event: ArrayLike, cause: int = 1) -> pd.DataFrame:
    """Estimate the probability of an event that others compete with (Aalen & Johansen 1978).

    ``F(t) = sum_{u <= t} S(u-) d_cause(u) / n(u)`` with S the Kaplan-Meier curve of any event.
    Equals R's `cmprsk::cuminc`. Its variance is that of Aalen 1978,
    ``sum_{u <= t} S(u-)^2/n^2 [d_cause c_cause (1 - D)^2 + d_other c_other D^2]`` with
    ``D = (F(t) - F(u)) / S(u)`` and ``c = (n - d) / (n - 1)`` for tied events; survival's `survfit`
    has an infinitesimal jackknife instead, which differs a little. Limits are
    ``F^exp(+- z SE / (F log F))``, those of R's `tidycmprsk::cuminc`.

    Parameters
    ----------
    time
        Time under observation (n,), greater than 0.
    event
        Code of each patient's event (n,), 0 for a censored one, who is still at risk of an event
        at the same time.
    cause
        Code of the event of interest; all others above 0 compete.

    Returns
    -------
    pandas.DataFrame
        One row at time 0 and one for each distinct time: `time, n_risk` (just before the time),
        `n_event, n_competing, n_censored` (at the time), `incidence` (just after it), `std_err`,
        `ci_low, ci_high` (95 %, pointwise; NaN where the incidence is 0 or 1).
    """
    counts = count_events(time, event, cause)
    left = counts.of_cause + counts.competing
    survival = np.cumprod(1 - left / counts.at_risk, dtype=np.float64)
    before = np.concatenate([[1.0], survival[:-1]])
    incidence = np.cumsum(before * counts.of_cause / counts.at_risk)
    error = np.sqrt(_variance(counts, before, survival, incidence))
    low, high = _log_log_limits(incidence, error)
    steps = pd.DataFrame(
        {
            "time": counts.time,
            "n_risk": counts.at_risk.astype(np.int64),
            "n_event": counts.of_cause.astype(np.int64),
            "n_competing": counts.competing.astype(np.int64),
            "n_censored": counts.censored.astype(np.int64),
            "incidence": incidence,
            "std_err": error,
            "ci_low": low,
            "ci_high": high,
        }
    )
    start = dict.fromkeys(steps.columns, 0) | {"n_risk": len(np.asarray(time))}
    limits = {"ci_low": np.nan, "ci_high": np.nan}
    return pd.concat([pd.DataFrame([start | limits]).astype(steps.dtypes), steps]).reset_index(
        drop=True
    )


def incidence_at(curve: pd.DataFrame, at: ArrayLike) -> pd.DataFrame:
    """Read a curve of `cumulative_incidence` at stated times.

    Returns
    -------
    pandas.DataFrame
        `time, incidence, std_err, ci_low, ci_high`, one row for each of `at` (k,); NaN after the
        last patient's time, as `cmprsk::timepoints` gives NA.
    """
    times = np.asarray(at, dtype=np.float64)
    row = np.searchsorted(curve["time"].to_numpy(), times, side="right") - 1
    read = curve[["incidence", "std_err", "ci_low", "ci_high"]].iloc[row].reset_index(drop=True)
    read[times > curve["time"].iloc[-1]] = np.nan
    read.insert(0, "time", times)
    return read


def cause_specific_hazard_ratio(
    time: ArrayLike,
    event: ArrayLike,
    covariates: pd.DataFrame,
    cause: int = 1,
    strata: ArrayLike | None = None,
) -> HazardRatio:
    """Hazard ratio of the first covariate on one cause, those with another event being censored.

    Equals R's `coxph(Surv(time, event == cause) ~ covariates + strata(strata))` (Prentice et al.
    1978). It speaks of the rate among those still free of any event, hence of mechanism; what a
    covariate does to the probability of the event is for `fine_gray`.
    """
    return hazard_ratio(time, np.asarray(event) == cause, covariates, strata)


def kaplan_meier_overestimate(
    time: ArrayLike, event: ArrayLike, at: float, cause: int = 1
) -> Overestimate:
    """Compare 1 - Kaplan-Meier, competing events censored, with the cumulative incidence.

    Censoring a competing event says that the patient could still have the event of interest;
    1 - Kaplan-Meier therefore never lies below the incidence (Gooley et al. 1999, Stat Med 18:695).
    """
    codes = np.asarray(event)
    curve = cumulative_incidence(time, codes, cause)
    naive = kaplan_meier(time, codes == cause)
    row = int(np.searchsorted(curve["time"].to_numpy(), at, side="right")) - 1
    incidence = float(curve["incidence"].iloc[row])
    one_minus_km = 1 - float(naive["survival"].iloc[row])
    note = ""
    if one_minus_km - incidence >= _NOTABLE_EXCESS:
        note = (
            f"1 - Kaplan-Meier would overestimate: {one_minus_km:.1%} at {at:g} where the "
            f"cumulative incidence is {incidence:.1%}; it counts patients with a competing event "
            "as if they could still have this one"
        )
    return Overestimate(float(at), incidence, one_minus_km, note)


def tie_factor(tied: NDArray[np.float64], population: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shrink the variance of d tied events among n by (n - d) / (n - 1), as hypergeometric."""
    shrinks = (tied > 1) & (population > 1)
    correction: NDArray[np.float64] = np.divide(
        population - tied, population - 1, out=np.ones(tied.shape), where=shrinks
    )
    return correction


def _variance(
    counts: Counts,
    before: NDArray[np.float64],
    survival: NDArray[np.float64],
    incidence: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Aalen's variance at each time; the square in F(t) is multiplied out into running sums."""
    n = counts.at_risk
    of_cause, competing = (
        before**2 * tie_factor(d, n) * d / n**2 for d in (counts.of_cause, counts.competing)
    )
    # After the time at which all have left, F no longer grows: D is 0 there.
    inverse = np.divide(1.0, survival, out=np.zeros_like(survival), where=survival > 0)
    share = 1 + incidence * inverse
    squared = np.cumsum(of_cause * share**2 + competing * (share - 1) ** 2)
    mixed = np.cumsum((of_cause * share + competing * (share - 1)) * inverse)
    inverse_squared = np.cumsum((of_cause + competing) * inverse**2)
    variance: NDArray[np.float64] = squared - 2 * incidence * mixed + incidence**2 * inverse_squared
    return np.maximum(variance, 0.0)


def _log_log_limits(
    incidence: NDArray[np.float64], error: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    inside = (incidence > 0) & (incidence < 1)
    f = np.where(inside, incidence, 0.5)
    width = ndtri(0.975) * error / (f * np.log(f))
    # log F is negative: the exponent that is below 1 gives the upper limit.
    return (
        np.where(inside, f ** np.exp(-width), np.nan),
        np.where(inside, f ** np.exp(width), np.nan),
    )
