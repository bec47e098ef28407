"""Net benefit of acting on a predicted risk of the event by a horizon, with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cohorts.errors import DataError
from survival.outcome_arrays import outcome_arrays, probabilities
from survival.product_limit import FloatArray, bootstrap_blocks

ALL, NONE = "all", "none"


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit by model and threshold.

    Attributes
    ----------
    table
        `model` (the names given, then "all" and "none"), `threshold`, `flagged` (share at or
        above it), `net_benefit, ci_low, ci_high`, `interventions_avoided` (per 100 patients,
        against treating all), `note`. NaN where no flagged patient is followed to the horizon.
    differences
        `model, than, threshold, difference, ci_low, ci_high`: net benefit of each model less that
        of every model named before it and of treating all, on the same bootstrap samples.
    """

    method: str
    horizon: float
    table: pd.DataFrame
    differences: pd.DataFrame
    samples: int


def survival_decision_curve(
    risks: Mapping[str, ArrayLike],
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    rng: np.random.Generator,
    thresholds: ArrayLike | None = None,
    samples: int = 1000,
) -> DecisionCurve:
    """Decision curves for a survival outcome (Vickers et al. 2008, BMC Med Inform Decis Mak 8:53).

    Among the patients at or above a threshold p the risk by the horizon is one less Kaplan-Meier;
    ``NB = P(flagged) (risk - (1 - risk) p / (1 - p))``. Equals R's `dcurves::dca(Surv(time, event)
    ~ ..., time = horizon)`. Intervals are percentiles of the bootstrap over patients.

    Parameters
    ----------
    risks
        Predicted probability of the event by the horizon, by model; each (n,).
    time, event
        Time under observation, 1 for an event; each (n,).
    horizon
        In the unit of `time`.
    rng
        Source of the bootstrap samples.
    thresholds
        From 0 to below 1, ascending; every hundredth up to 0.99 if not given.
    samples
        Number of bootstrap samples.

    Raises
    ------
    DataError
        If a risk or threshold is not from 0 to 1, or a model is named "all" or "none".
    """
    times, events = outcome_arrays(time, event)
    at = _thresholds(thresholds)
    if not risks or {ALL, NONE} & set(risks):
        raise DataError('risks: name at least one model, and none of them "all" or "none"')
    passed = [
        np.searchsorted(at, probabilities(risk, len(times), name), side="right")
        for name, risk in risks.items()
    ]
    clock = _clock(times, events, horizon)
    value, flagged = _net_benefits(passed, at, clock, np.ones(len(times)))
    drawn = np.array(
        [
            _net_benefits(passed, at, clock, weights)[0]
            for block in bootstrap_blocks(len(times), samples, rng)
            for weights in block
        ]
    ).reshape(samples, *value.shape)
    names = [*risks, ALL]
    limits = _limits(drawn, value)
    parts = [
        _lines(name, at, value[m], limits[:, m], flagged[m], value[-1])
        for m, name in enumerate(names)
    ]
    nothing = np.zeros(len(at))
    parts.append(_lines(NONE, at, nothing, np.zeros((2, len(at))), nothing, value[-1]))
    pairs = [(m, k) for m in range(len(risks)) for k in [*range(m), len(risks)]]
    differences = []
    for m, k in pairs:
        gap = value[m] - value[k]
        low, high = _limits(drawn[:, m] - drawn[:, k], gap)
        columns = {"threshold": at, "difference": gap, "ci_low": low, "ci_high": high}
        differences.append(pd.DataFrame({"model": names[m], "than": names[k], **columns}))
    return DecisionCurve(
        "net benefit, Kaplan-Meier among the flagged, percentile bootstrap",
        float(horizon),
        pd.concat(parts, ignore_index=True),
        pd.concat(differences, ignore_index=True),
        samples,
    )


@dataclass(frozen=True)
class _Clock:
    """Time cut into the moments of events by the horizon, in columns, and what lies after.

    `column` is the number of those moments that a patient outlives or has the event at; `died`
    marks events by the horizon; `beyond` those followed to the horizon.
    """

    column: NDArray[np.intp]
    moments: int
    died: FloatArray
    beyond: FloatArray


def _clock(time: FloatArray, event: FloatArray, horizon: float) -> _Clock:
    died = event * (time <= horizon)
    moments = np.unique(time[died == 1])
    column = np.searchsorted(moments, time, side="right")
    return _Clock(column, len(moments), died, (time >= horizon).astype(np.float64))


def _net_benefits(
    passed: list[NDArray[np.intp]], at: FloatArray, clock: _Clock, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Net benefit and share flagged (models + 1, k) in one sample; the last is treating all."""
    total = weights.sum()
    odds = at / (1 - at)
    everyone = np.ones(len(weights), dtype=np.intp)
    survival, _ = _survival_of_flagged(everyone, 1, clock, weights)
    of_all = (1 - survival) - survival * odds
    benefits, shares = [], []
    for thresholds_passed in passed:
        survival, flagged = _survival_of_flagged(thresholds_passed, len(at), clock, weights)
        share = flagged / total
        benefits.append(share * ((1 - survival) - survival * odds))
        shares.append(share)
    return np.array([*benefits, of_all]), np.array([*shares, np.ones(len(at))])


def _survival_of_flagged(
    passed: NDArray[np.intp], thresholds: int, clock: _Clock, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Kaplan-Meier at the horizon among those who pass each threshold, and their weight (k,)."""
    # Cells run from the highest threshold and the latest moment, so that sums run forwards.
    shape = (thresholds + 1, clock.moments + 1)
    cell = (thresholds - passed) * shape[1] + clock.moments - clock.column
    size = shape[0] * shape[1]
    present = np.bincount(cell, weights=weights, minlength=size).reshape(shape)[:-1]
    present = present.cumsum(axis=0).cumsum(axis=1)[::-1]
    died = np.bincount(cell, weights=weights * clock.died, minlength=size).reshape(shape)[:-1, :-1]
    hazard = died.cumsum(axis=0)[::-1]
    # Where nobody is present nobody dies, and 0 over anything will do.
    hazard /= np.maximum(present[:, :-1], 1e-300)
    survival = np.prod(1 - hazard, axis=1)
    beyond = np.bincount(passed, weights=weights * clock.beyond, minlength=thresholds + 1)
    followed = beyond[::-1].cumsum()[::-1][1:] > 0
    flagged = present[:, -1].astype(np.float64)
    return np.where((flagged > 0) & ~followed, np.nan, survival), flagged


def _limits(drawn: FloatArray, value: FloatArray) -> FloatArray:
    """95% limits over samples; none where the value, or more than 5% of the samples, has none."""
    unknown = np.isnan(value) | (np.isnan(drawn).mean(axis=0) > 0.05)
    limits = np.nanpercentile(np.where(unknown, 0.0, drawn), [2.5, 97.5], axis=0)
    return np.where(unknown, np.nan, limits)


def _lines(
    name: str,
    at: FloatArray,
    value: FloatArray,
    limits: FloatArray,
    flagged: FloatArray,
    of_all: FloatArray,
) -> pd.DataFrame:
    odds = np.divide(at, 1 - at)
    avoided = np.divide(value - of_all, odds, out=np.full(len(at), np.nan), where=odds > 0)
    return pd.DataFrame(
        {
            "model": name,
            "threshold": at,
            "flagged": flagged,
            "net_benefit": value,
            "ci_low": limits[0],
            "ci_high": limits[1],
            "interventions_avoided": 100 * avoided,
            "note": np.where(
                np.isnan(value), "not estimable: no flagged patient is followed to the horizon", ""
            ),
        }
    )


def _thresholds(thresholds: ArrayLike | None) -> FloatArray:
    if thresholds is None:
        return np.arange(100) / 100
    at = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    if not ((at >= 0) & (at < 1)).all() or (np.diff(at) <= 0).any():
        raise DataError("thresholds: give probabilities from 0 to below 1, ascending, each once")
    return at
