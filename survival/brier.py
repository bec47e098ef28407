"""Brier score of predicted survival, weighted by inverse censoring, against Kaplan-Meier."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cohorts.errors import DataError
from survival.concordance import WeightSource
from survival.outcome_arrays import outcome_arrays, probabilities
from survival.product_limit import (
    FloatArray,
    StepCurve,
    bootstrap_blocks,
    censoring_curve,
    event_curve,
)
from survival.support import SUPPORT, Support

_MEASURES = ("brier", "null", "ipa")


@dataclass(frozen=True)
class BrierScore:
    """Squared error of predicted survival at each time and over all, with bootstrap intervals.

    Attributes
    ----------
    table
        One row a time: `time`; `brier`, of the null model `null` (the Kaplan-Meier curve of the
        same patients), and `ipa`, one less their ratio (index of prediction accuracy, Kattan &
        Gerds 2018), each with `_ci_low` and `_ci_high`; `note`.
    integrated
        The same three over the estimable times, by trapezoids, divided by their span: row names
        `brier, null, ipa`, columns `value, ci_low, ci_high`.
    weights
        Whose censoring the patients are weighted by.
    samples
        Bootstrap samples of patients; weights and null model are estimated in each.
    """

    method: str
    table: pd.DataFrame
    integrated: pd.DataFrame
    weights: WeightSource
    samples: int
    note: str


def brier_score(
    survival: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    times: ArrayLike,
    rng: np.random.Generator,
    samples: int = 1000,
    development: tuple[ArrayLike, ArrayLike] | None = None,
    support: Support = SUPPORT,
) -> BrierScore:
    """IPCW Brier score (Graf et al. 1999, Stat Med 18:2529), equal to R's `pec::pec`.

    ``mean(S^2 1(T <= t, event) / G(T) + (1 - S)^2 1(T > t) / G(t))``. Intervals are percentiles
    of the bootstrap over patients.

    Parameters
    ----------
    survival
        Predicted probability of no event by each time (n, k).
    time, event
        Time under observation, 1 for an event; each (n,).
    times
        Times of the predictions (k,), ascending, in the unit of `time`.
    rng
        Source of the bootstrap samples.
    samples
        Number of bootstrap samples.
    development
        Time and event of the development cohort, each (m,), if the weights are to be its; they
        then count as known.
    support
        What a time needs to be estimable.

    Raises
    ------
    DataError
        If the predictions are no probabilities or do not fit patients and times.
    """
    observed, events = outcome_arrays(time, event)
    at = np.asarray(times, dtype=np.float64)
    predicted = _predictions(survival, at, len(observed))
    known = None
    if development is not None:
        of = outcome_arrays(*development)
        known = censoring_curve(*of, np.ones((1, len(of[0]))))
    notes = _notes(observed, events, at, known, support)
    usable = np.array([not note for note in notes])
    whole = np.ones((1, len(observed)))
    cohort = (observed, events, predicted[:, usable], at[usable], known)
    value = _scores(whole, *cohort)
    drawn = [
        _scores(weights, *cohort)
        for weights in bootstrap_blocks(len(observed), samples, rng, max(1, int(usable.sum())))
    ]
    limits = _limits(np.concatenate(drawn, axis=1))
    table, integrated = _tables(at, usable, value[:, 0], limits)
    left_out = int((~usable).sum())
    return BrierScore(
        "Brier score, inverse probability of censoring weights, percentile bootstrap",
        table.assign(note=notes),
        integrated,
        "validation" if known is None else "development",
        samples,
        f"integrated over {int(usable.sum())} times; {left_out} not estimable" if left_out else "",
    )


def _limits(drawn: FloatArray) -> FloatArray:
    """95% limits over samples (2, 3, k + 1); none where more than 5% of the samples have none."""
    unknown = np.isnan(drawn).mean(axis=1) > 0.05
    limits = np.nanpercentile(np.where(unknown[:, None], 0.0, drawn), [2.5, 97.5], axis=1)
    return np.where(unknown, np.nan, limits)


def _tables(
    at: FloatArray, usable: NDArray[np.bool_], value: FloatArray, limits: FloatArray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table by time and over all, of values (3, k + 1) and their limits (2, 3, k + 1)."""
    columns: dict[str, FloatArray] = {"time": at}
    for row, name in enumerate(_MEASURES):
        lines = {"": value[row], "_ci_low": limits[0, row], "_ci_high": limits[1, row]}
        for suffix, numbers in lines.items():
            columns[name + suffix] = np.full(len(at), math.nan)
            columns[name + suffix][usable] = numbers[:-1]
    over_all = {"value": value[:, -1], "ci_low": limits[0, :, -1], "ci_high": limits[1, :, -1]}
    return pd.DataFrame(columns), pd.DataFrame(over_all, index=pd.Index(_MEASURES, name="measure"))


def _predictions(survival: ArrayLike, at: FloatArray, patients: int) -> FloatArray:
    predicted = np.asarray(survival, dtype=np.float64)
    if predicted.shape != (patients, len(at)):
        raise DataError(
            f"survival: shape {predicted.shape}; give one row for each of {patients} patients and "
            f"one column for each of {len(at)} times"
        )
    if (np.diff(at) <= 0).any():
        raise DataError("times: not ascending; sort them, each once, and the predictions alike")
    for column in range(len(at)):
        probabilities(predicted[:, column], patients, f"survival at time {at[column]:g}")
    return predicted


def _notes(
    time: FloatArray,
    event: FloatArray,
    at: FloatArray,
    known: StepCurve | None,
    support: Support,
) -> list[str]:
    curve = known or censoring_curve(time, event, np.ones((1, len(time))))
    uncensored = curve.at(at)[0]
    return [
        support.problem(time, moment, share)
        for moment, share in zip(at.tolist(), uncensored.tolist(), strict=True)
    ]


def _scores(
    weights: FloatArray,
    time: FloatArray,
    event: FloatArray,
    predicted: FloatArray,
    at: FloatArray,
    known: StepCurve | None,
) -> FloatArray:
    """Brier, null and IPA (3, samples, k + 1) of weighted samples; the last column integrates."""
    curve = known or censoring_curve(time, event, weights)
    weighed = (weights > 0) & (event == 1) & (time <= at.max(initial=0.0))
    by_event = np.divide(weights, curve.at(time), out=np.zeros_like(weights), where=weighed)
    # A sample without anyone beyond a time has no G there, nor anyone to weight by it.
    uncensored = curve.at(at)
    by_time = np.divide(1.0, uncensored, out=np.zeros_like(uncensored), where=uncensored > 0)
    is_case = (time[:, None] <= at) * 1.0
    total = weights.sum(axis=1, keepdims=True)
    alive = weights @ (1 - is_case)
    brier = by_event @ (is_case * predicted**2)
    brier = (brier + weights @ ((1 - is_case) * (1 - predicted) ** 2) * by_time) / total
    null = event_curve(time, event, weights).at(at)
    null = ((by_event @ is_case) * null**2 + alive * by_time * (1 - null) ** 2) / total
    scores = np.stack([brier, null])
    scores = np.concatenate([scores, _mean_over_time(scores, at)[..., None]], axis=2)
    # Before the first event of a sample its null model is right, and no other can be better.
    least = np.full_like(scores[:1], math.nan)
    share = np.divide(scores[:1], scores[1:], out=least, where=scores[1:] > 0)
    return np.concatenate([scores, 1 - share])


def _mean_over_time(scores: FloatArray, at: FloatArray) -> FloatArray:
    if len(at) < 2:
        return np.full(scores.shape[:2], math.nan)
    return np.asarray(np.trapezoid(scores, at, axis=2) / (at[-1] - at[0]))
