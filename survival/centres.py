"""The hazard ratio of a score in each centre, pooled over centres, and without each of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from cohorts.random_effects import RandomEffects, leave_one_out, pool
from survival.cox import cox_regression

_COLUMNS = ["centre", "n", "events", "hr", "ci_low", "ci_high", "p", "weight", "method", "note"]


@dataclass(frozen=True)
class CentreHazards:
    """Hazard ratios of one term over centres; limits are 95 %.

    Attributes
    ----------
    centres
        `centre, n, events, hr, ci_low, ci_high, p, weight` (percent in the pooled ratio, 0 where
        not estimable), `method, note`; in order of the centre's name.
    pooled
        One row: `hr, ci_low, ci_high, adhoc_ci_low, adhoc_ci_high` (see `log_pooled`), `p` (t test
        with centres - 1 degrees of freedom), `prediction_low, prediction_high, tau2,
        tau2_ci_low, tau2_ci_high, i2, q, q_p, centres, method, note`.
    left_out
        `left_out, hr, ci_low, ci_high, prediction_low, prediction_high, tau2, i2, centres, note`:
        pooled without that centre; of those with an estimate.
    log_pooled
        What `cohorts.random_effects.pool` gave, of log hazard ratios.
    """

    centres: pd.DataFrame
    pooled: pd.DataFrame
    left_out: pd.DataFrame
    log_pooled: RandomEffects


def centre_hazard_ratios(
    time: ArrayLike,
    event: ArrayLike,
    covariates: pd.DataFrame,
    centre: ArrayLike,
    entry: ArrayLike | None = None,
) -> CentreHazards:
    """Fit the hazard ratio of the first covariate in every centre and pool them.

    Equals R's `coxph` in each centre and `metafor::rma(log(hr), se^2, test = "knha")`. A Cox model
    stratified by centre gives one ratio too, but its interval takes the ratio to be the same
    everywhere; here a new centre's may differ, and the prediction interval says by how much.

    Parameters
    ----------
    time, event
        Time under observation and 1 for an event (n,).
    covariates
        Numeric columns (n rows), the term of interest first, in the same unit in every centre.
    centre
        Centre of each patient (n,).
    entry
        Time from which a patient is under observation (n,); without it, from 0.
    """
    times, events, names = np.asarray(time), np.asarray(event), np.asarray(centre)
    entries = None if entry is None else np.asarray(entry, dtype=np.float64)
    taken = ("hr", "ci_low", "ci_high", "p", "coefficient", "se", "method")
    lines = []
    for name in np.unique(names):
        member = names == name
        began = None if entries is None else entries[member]
        found = cox_regression(times[member], events[member], covariates[member], entry=began)
        lines.append(
            {"centre": str(name), "n": found.n, "events": found.events}
            | {name: found.table[name].iloc[0] for name in taken}
            | {"note": found.note}
        )
    table = pd.DataFrame(lines)
    estimate, error = (table.pop(name).to_numpy(np.float64) for name in ("coefficient", "se"))
    variance = error**2
    pooled = pool(estimate, variance)
    centres = table.assign(weight=pooled.weights)[_COLUMNS]
    return CentreHazards(
        centres, _pooled(pooled), _without_each(centres["centre"], estimate, variance), pooled
    )


def _pooled(pooled: RandomEffects) -> pd.DataFrame:
    degrees = pooled.centres - 1
    p = 2 * stdtr(degrees, -abs(pooled.estimate / pooled.se)) if degrees > 0 else np.nan
    ratios = ["ci_low", "ci_high", "adhoc_ci_low", "adhoc_ci_high"]
    ratios += ["prediction_low", "prediction_high"]
    as_they_are = ("tau2", "tau2_ci_low", "tau2_ci_high", "i2", "q", "q_p", "centres", "method")
    row: dict[str, object] = {"hr": float(np.exp(pooled.estimate))}
    row |= {name: float(np.exp(getattr(pooled, name))) for name in ratios}
    row |= {"p": float(p)} | {name: getattr(pooled, name) for name in (*as_they_are, "note")}
    return pd.DataFrame([row])


def _without_each(
    centre: "pd.Series[str]", estimate: NDArray[np.float64], variance: NDArray[np.float64]
) -> pd.DataFrame:
    used = np.isfinite(estimate) & np.isfinite(variance)
    without = leave_one_out(estimate[used], variance[used]).rename(columns={"estimate": "hr"})
    ratios = ["hr", "ci_low", "ci_high", "prediction_low", "prediction_high"]
    without[ratios] = np.exp(without[ratios].astype(np.float64))
    without.insert(0, "left_out", centre[used].to_numpy())
    return without
