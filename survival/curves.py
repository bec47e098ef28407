"""Kaplan-Meier curves, medians and numbers at risk, as R's survival package reports them."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

# The tolerance of R's all.equal(), by which print.survfit decides that a curve lies at one half.
_TOLERANCE = float(np.sqrt(np.finfo(np.float64).eps))


class MedianTime(NamedTuple):
    """A median with its 95 % confidence limits, in the unit of time; NaN where not reached."""

    median: float
    ci_low: float
    ci_high: float


def kaplan_meier(time: ArrayLike, event: ArrayLike) -> pd.DataFrame:
    """Estimate the survival function (Kaplan & Meier 1958) with Greenwood's variance.

    Equals R's `survfit(Surv(time, event) ~ 1)` with its default `conf.type = "log"`:
    ``S exp(-+ z sqrt(sum d / (n (n - d))))``, cut at 1. Where the curve has reached 0, standard
    error and limits are NaN, as in R.

    Parameters
    ----------
    time
        Time under observation (n,), greater than 0.
    event
        1 for an event, 0 for a censored patient (n,). A patient censored at the time of an event
        is still at risk of it.

    Returns
    -------
    pandas.DataFrame
        One row at time 0 and one for each distinct time: `time, n_risk` (just before the time),
        `n_event, n_censored` (at the time), `survival` (just after it), `std_err` (of survival),
        `ci_low, ci_high` (95 %, pointwise).
    """
    distinct, position = np.unique(np.asarray(time, dtype=np.float64), return_inverse=True)
    leaving = np.bincount(position)
    events = np.bincount(position, weights=np.asarray(event, dtype=np.float64))
    at_risk = leaving[::-1].cumsum()[::-1]
    surviving = at_risk - events
    hazard_variance = np.divide(
        events, at_risk * surviving, out=np.full(len(events), np.nan), where=surviving > 0
    )
    survival = np.cumprod(surviving / at_risk)
    log_error = np.sqrt(np.cumsum(hazard_variance))
    width = np.exp(ndtri(0.975) * log_error)
    start = pd.DataFrame(
        {
            "time": [0.0],
            "n_risk": [len(position)],
            "n_event": [0],
            "n_censored": [0],
            "survival": [1.0],
            "std_err": [0.0],
            "ci_low": [1.0],
            "ci_high": [1.0],
        }
    )
    steps = pd.DataFrame(
        {
            "time": distinct,
            "n_risk": at_risk,
            "n_event": events.astype(np.int64),
            "n_censored": leaving - events.astype(np.int64),
            "survival": survival,
            "std_err": survival * log_error,
            "ci_low": survival / width,
            "ci_high": np.minimum(survival * width, 1.0),
        }
    )
    return pd.concat([start, steps], ignore_index=True)


def median_time(curve: pd.DataFrame) -> MedianTime:
    """Read the median and its limits off a curve, as R's `print.survfit` does.

    Each is the first time at which the curve, or its lower or upper limit, is at or below one
    half; where it lies at one half over an interval, the middle of the interval.
    """
    time = curve["time"].to_numpy()
    return MedianTime(
        *(_half_way(time, curve[line].to_numpy()) for line in ("survival", "ci_low", "ci_high"))
    )


def median_follow_up(time: ArrayLike, event: ArrayLike) -> MedianTime:
    """Median follow-up by the reverse Kaplan-Meier method (Schemper & Smith 1996).

    Equals R's `survfit(Surv(time, 1 - event) ~ 1)`: censoring is the event, so a patient who died
    counts as followed for at least that long.
    """
    return median_time(kaplan_meier(time, 1 - np.asarray(event, dtype=np.float64)))


def numbers_at_risk(time: ArrayLike, group: ArrayLike, at: ArrayLike) -> pd.DataFrame:
    """Count the patients still at risk, by R's convention: those with time >= t.

    Equals `n.risk` of R's `summary(survfit(...), times = at, extend = TRUE)`. A patient whose
    time is t itself counts, whether the time ends in an event or not.

    Parameters
    ----------
    time, group
        Time under observation and group of each patient (n,).
    at
        Times at which to count (k,).

    Returns
    -------
    pandas.DataFrame
        `group, time, n_risk`: k rows for each group.
    """
    times, groups = np.asarray(time, dtype=np.float64), np.asarray(group)
    at = np.asarray(at, dtype=np.float64)
    rows = [
        pd.DataFrame(
            {
                "group": name,
                "time": at,
                "n_risk": (times[groups == name] >= at[:, None]).sum(axis=1),
            }
        )
        for name in np.unique(groups)
    ]
    return pd.concat(rows, ignore_index=True)


def _half_way(time: NDArray[np.float64], line: NDArray[np.float64]) -> float:
    """Give the time at which a falling line crosses one half: `minmin` in R's print.survfit."""
    below = np.flatnonzero(line < 0.5 + _TOLERANCE)
    if not below.size:
        return float("nan")
    first = below[0]
    lower = np.flatnonzero(line < line[first])
    if abs(line[first] - 0.5) < _TOLERANCE and lower.size:
        return float(time[first] + time[lower[0]]) / 2
    return float(time[first])
