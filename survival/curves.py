"""Kaplan-Meier curves, medians and numbers at risk, as R's survival package reports them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from cohorts.errors import DataError
from survival.follow_up import FollowUp, at_risk, count_events, follow_up, group_names

Interval = Literal["log", "log-log", "plain"]

# The tolerance of R's all.equal(), by which a curve lies at a quantile.
_TOLERANCE = float(np.sqrt(np.finfo(np.float64).eps))
_Z = float(ndtri(0.975))


class MedianTime(NamedTuple):
    """A median with its 95 % confidence limits, in the unit of time; NaN where not reached."""

    median: float
    ci_low: float
    ci_high: float


def kaplan_meier(
    time: ArrayLike,
    event: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    interval: Interval = "log",
) -> pd.DataFrame:
    """Estimate the survival function (Kaplan & Meier 1958) with Greenwood's variance.

    Equals R's `survfit(Surv(time, event) ~ 1, conf.type = interval)`, and with delayed entry
    `survfit(Surv(entry, time, event) ~ 1)`. With s the standard error of log S, the limits are
    ``S exp(-+ z s)`` (log), ``S^exp(-+ z s / log S)`` (log-log) or ``S -+ z S s`` (plain), cut at
    0 and 1. Where R has none (S of 0; for log-log also S of 1) they are NaN.

    Parameters
    ----------
    time
        Time under observation (n,).
    event
        1 for an event, 0 for a censored patient (n,). A patient censored at the time of an event
        is still at risk of it.
    entry
        Time from which each patient is observed (n,); before it, nobody is at risk.
    interval
        Scale of the confidence limits; "log" is R's default, "log-log" that of lifelines.

    Returns
    -------
    pandas.DataFrame
        One row where observation starts (time 0, or the first entry) and one for each distinct
        time: `time, n_risk` (just before the time), `n_event, n_censored` (at the time),
        `survival` (just after it), `std_err` (of survival), `ci_low, ci_high` (95 %, pointwise).

    Raises
    ------
    DataError
        If times, events or entries do not serve, see `survival.follow_up.follow_up`.
    """
    return curve_of(follow_up(time, event, entry), interval)


def curve_of(data: FollowUp, interval: Interval = "log") -> pd.DataFrame:
    """Give the `kaplan_meier` of patients already checked."""
    start = max(0.0, float(data.entry.min()))
    counts = count_events(data.time, data.event, cause=1)
    events, n_risk = counts.of_cause, at_risk(data, counts.time)
    surviving = n_risk - events
    hazard_variance = np.divide(
        events, n_risk * surviving, out=np.full(len(events), np.nan), where=surviving > 0
    )
    survival = np.asarray(np.cumprod(surviving / n_risk), dtype=np.float64)
    log_error: NDArray[np.float64] = np.sqrt(np.cumsum(hazard_variance))
    ci_low, ci_high = _limits(survival, log_error, interval)
    return pd.DataFrame(
        {
            "time": np.append(start, counts.time),
            "n_risk": np.append(np.sum(data.entry <= start), n_risk),
            "n_event": np.append(0, events).astype(np.int64),
            "n_censored": np.append(0, counts.censored).astype(np.int64),
            "survival": np.append(1.0, survival),
            "std_err": np.append(0.0, survival * log_error),
            "ci_low": np.append(1.0, ci_low),
            "ci_high": np.append(1.0, ci_high),
        }
    )


def curves_by_group(
    time: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    interval: Interval = "log",
) -> pd.DataFrame:
    """Give each group's `kaplan_meier`, with the column `group` in front."""
    data, groups = follow_up(time, event, entry), np.asarray(group)
    parts = []
    for name in group_names(group):
        curve = curve_of(data.of(groups == name), interval)
        curve.insert(0, "group", name)
        parts.append(curve)
    return pd.concat(parts, ignore_index=True)


def survival_at(curve: pd.DataFrame, times: Sequence[float]) -> pd.DataFrame:
    """Read survival with its limits off a curve at stated times, e.g. at five years.

    Equals R's `summary(survfit(...), times = times)`. After the last time under observation a curve
    that has not reached 0 says nothing: NaN, with the reason in `note`.

    Returns
    -------
    pandas.DataFrame
        `time, survival, std_err, ci_low, ci_high, note`, one row for each time.
    """
    at = np.asarray(times, dtype=np.float64)
    known = curve["time"].to_numpy()
    row = np.searchsorted(known, at, side="right") - 1
    outside = (row < 0) | ((at > known[-1]) & (curve["survival"].iloc[-1] > 0))
    values = curve[["survival", "std_err", "ci_low", "ci_high"]].iloc[row].reset_index(drop=True)
    values[outside] = np.nan
    values.insert(0, "time", at)
    reason = f"not estimable: observation is from {known[0]:g} to {known[-1]:g}"
    return values.assign(note=np.where(outside, reason, ""))


def median_time(curve: pd.DataFrame) -> MedianTime:
    """Read the median and its limits off a curve, as R's `print.survfit` does.

    Each is the first time at which the curve, or its lower or upper limit, is at or below one
    half; where it lies at one half until a later step, the middle between the two.
    """
    time = curve["time"].to_numpy()
    lines = (curve[name].to_numpy() for name in ("survival", "ci_low", "ci_high"))
    return MedianTime(*(_crossing(time, line, 0.5) for line in lines))


def quantile_times(curve: pd.DataFrame, quantiles: Sequence[float]) -> pd.DataFrame:
    """Give the times by which a share of the patients has had the event, with limits.

    Equals R's `quantile(survfit(...), quantiles)`. It differs from `median_time` in one case, as R
    does: a curve that lies at the quantile up to its end gives the middle of that last stretch.

    Returns
    -------
    pandas.DataFrame
        `quantile, time, ci_low, ci_high`; NaN where not reached.
    """
    shares = np.asarray(quantiles, dtype=np.float64)
    if not ((shares > 0) & (shares < 1)).all():
        raise DataError("quantiles: give shares of patients between 0 and 1, e.g. 0.25")
    time = curve["time"].to_numpy()
    last = float(time[-1])
    columns = {"time": "survival", "ci_low": "ci_low", "ci_high": "ci_high"}
    return pd.DataFrame(
        {"quantile": shares}
        | {
            name: [_crossing(time, curve[line].to_numpy(), 1 - share, last) for share in shares]
            for name, line in columns.items()
        }
    )


def median_follow_up(
    time: ArrayLike, event: ArrayLike, *, entry: ArrayLike | None = None
) -> MedianTime:
    """Median follow-up by the reverse Kaplan-Meier method (Schemper & Smith 1996).

    Equals R's `survfit(Surv(time, 1 - event) ~ 1)`: censoring is the event, so a patient who died
    counts as followed for at least that long.
    """
    data = follow_up(time, event, entry)
    return median_time(curve_of(replace(data, event=~data.event)))


def numbers_at_risk(
    time: ArrayLike,
    group: ArrayLike,
    at: ArrayLike,
    *,
    event: ArrayLike | None = None,
    entry: ArrayLike | None = None,
) -> pd.DataFrame:
    """Count the patients still at risk, by R's convention: those with entry < t <= time.

    Equals `n.risk` of R's `summary(survfit(...), times = at, extend = TRUE)`. A patient whose
    time is t itself counts, whether the time ends in an event or not. Those who enter first of all
    count from their entry on, that time included, so that a table starts with them.

    Parameters
    ----------
    time, group
        Time under observation and group of each patient (n,).
    at
        Times at which to count (k,).
    event
        1 for an event, 0 for a censored patient (n,); adds the cumulative counts.
    entry
        Time from which each patient is observed (n,).

    Returns
    -------
    pandas.DataFrame
        `group, time, n_risk`: k rows for each group. With events also `n_event, n_censored`:
        who has had an event or was censored up to t, t included.
    """
    known = np.zeros(np.shape(time)[0]) if event is None else event
    data, groups = follow_up(time, known, entry), np.asarray(group)
    ticks = np.asarray(at, dtype=np.float64)
    first = data.entry.min()
    earlier = np.where(data.entry == first, np.nextafter(first, -np.inf), data.entry)
    data = replace(data, entry=earlier)
    rows = []
    for name in group_names(group):
        one = data.of(groups == name)
        counts = {"group": name, "time": ticks, "n_risk": at_risk(one, ticks)}
        if event is not None:
            for column, kind in (("n_event", one.event), ("n_censored", ~one.event)):
                counts[column] = np.searchsorted(np.sort(one.time[kind]), ticks, side="right")
        rows.append(pd.DataFrame(counts))
    return pd.concat(rows, ignore_index=True)


def _limits(
    survival: NDArray[np.float64], log_error: NDArray[np.float64], interval: Interval
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Limits of survival from the standard error of its logarithm: R's `survfit_confint`."""
    if interval == "plain":
        half = _Z * survival * log_error
        return np.maximum(survival - half, 0.0), np.minimum(survival + half, 1.0)
    inside = np.where((survival > 0) & ((survival < 1) | (interval == "log")), survival, np.nan)
    if interval == "log":
        width = np.exp(_Z * log_error)
        return inside / width, np.minimum(inside * width, 1.0)
    width = np.exp(_Z * log_error / -np.log(inside))
    return inside**width, inside ** (1 / width)


def _crossing(
    time: NDArray[np.float64],
    line: NDArray[np.float64],
    level: float,
    end: float | None = None,
) -> float:
    """Give the time at which a falling line crosses a level; where it rests there, the middle.

    A line that rests there up to the end rests until `end`, if that is given. `minmin` in R's
    print.survfit without it, `quantile.survfit` with it.
    """
    below = np.flatnonzero(line < level + _TOLERANCE)
    if not below.size:
        return float("nan")
    first = float(time[below[0]])
    if abs(line[below[0]] - level) >= _TOLERANCE:
        return first
    lower = np.flatnonzero(line < line[below[0]] - _TOLERANCE)
    until = float(time[lower[0]]) if lower.size else end
    return first if until is None else (first + until) / 2
