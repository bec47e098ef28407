"""Cumulative/dynamic AUC: who has had the event by a time against who has not, with intervals."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtri

from survival.concordance import WeightSource
from survival.outcome_arrays import outcome_arrays, patient_values
from survival.product_limit import (
    FloatArray,
    StepCurve,
    censoring_curve,
    event_curve,
    event_influence,
    weight_influence,
)
from survival.support import SUPPORT, Support

_COLUMNS = [
    *("time", "auc", "std_err", "ci_low", "ci_high"),
    *("cases", "controls", "at_risk", "uncensored", "note"),
]


@dataclass(frozen=True)
class DynamicAuc:
    """AUC at each time, and their mean weighted by events; limits are 95%.

    Attributes
    ----------
    table
        One row a time: `time, auc, std_err, ci_low, ci_high`; `cases` with the event by the time
        and `controls` still without it; `at_risk` at it; `uncensored`, the share G(t); `note`.
    integrated, std_err, ci_low, ci_high
        Mean of the AUC over the estimable times, each weighted by the fall of the Kaplan-Meier
        curve since the one before (`survAUC::AUC.uno`).
    weights
        Whose censoring the cases are weighted by.
    """

    method: str
    table: pd.DataFrame
    integrated: float
    std_err: float
    ci_low: float
    ci_high: float
    weights: WeightSource
    note: str


def dynamic_auc(
    risk: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    times: ArrayLike,
    development: tuple[ArrayLike, ArrayLike] | None = None,
    support: Support = SUPPORT,
) -> DynamicAuc:
    """AUC for the event by each time; cases weighted by ``1 / G(T-)`` (Uno et al. 2007).

    With weights of the patients at hand, equal to R's `riskRegression::Score` and `timeROC`
    (whose cases have T < t, here T <= t), standard error included (Blanche et al. 2013, Stat Med
    32:5381: the influence function, with that of the censoring curve). With weights of the
    development cohort, equal to `survAUC::AUC.uno`; they count as known.

    Parameters
    ----------
    risk, time, event
        Higher risk for earlier events, time under observation, 1 for an event; each (n,).
    times
        Times at which the AUC is wanted (k,), in the unit of `time`.
    development
        Time and event of the development cohort, each (m,), if the weights are to be its.
    support
        What a time needs to be estimable.
    """
    observed, events = outcome_arrays(time, event)
    risks = patient_values(risk, len(observed), "risk")
    at = np.unique(np.asarray(times, dtype=np.float64))
    of = (observed, events) if development is None else outcome_arrays(*development)
    curve = censoring_curve(*of, np.ones((1, len(of[0]))))
    rows, influences = [], []
    for moment in at:
        row: dict[str, float | str] = _counts(observed, events, moment, curve, support)
        value, influence = math.nan, np.full(len(observed), math.nan)
        if not row["note"]:
            value, of_cases, of_controls = _auc(risks, observed, events, moment, curve)
            influence = of_cases + of_controls
            if development is None:
                influence += weight_influence(observed, events, of_cases)
        rows.append({**row, "auc": value, **_interval(value, influence)})
        influences.append(influence)
    table = pd.DataFrame(rows)[_COLUMNS]
    mean, influence, note = _integrate(table, np.array(influences).T, observed, events)
    interval = _interval(mean, influence)
    return DynamicAuc(
        "cumulative/dynamic AUC, inverse probability of censoring weights",
        table,
        mean,
        interval["std_err"],
        interval["ci_low"],
        interval["ci_high"],
        "validation" if development is None else "development",
        note,
    )


def _counts(
    time: FloatArray, event: FloatArray, moment: float, curve: StepCurve, support: Support
) -> dict[str, float | str]:
    uncensored = float(curve.at(np.array([moment]))[0, 0])
    cases, controls = int(np.sum((time <= moment) * event)), int(np.sum(time > moment))
    note = support.problem(time, moment, uncensored)
    if not note and not (cases and controls):
        note = f"not estimable: {cases} cases and {controls} controls"
    return {
        "time": float(moment),
        "cases": cases,
        "controls": controls,
        "at_risk": int(np.sum(time >= moment)),
        "uncensored": uncensored,
        "note": note,
    }


def _auc(
    risk: FloatArray, time: FloatArray, event: FloatArray, moment: float, curve: StepCurve
) -> tuple[float, FloatArray, FloatArray]:
    """AUC at a moment, its derivative by the weight of each case, and of each control (n,)."""
    is_control = time > moment
    weight = _case_weights(time, event, moment, curve)
    below = _share_below(risk, risk[is_control], np.ones(int(is_control.sum())))
    auc = float(np.sum(weight * below) / np.sum(weight))
    cases = weight > 0
    above = 1 - _share_below(risk, risk[cases], weight[cases])
    of_cases = weight * (below - auc) / np.sum(weight)
    return auc, of_cases, is_control * (above - auc) / np.sum(is_control)


def _case_weights(
    time: FloatArray, event: FloatArray, moment: float, curve: StepCurve
) -> FloatArray:
    is_case = (time <= moment) & (event == 1)
    uncensored = curve.before(time)[0]
    known = is_case & (uncensored > 0)
    return np.asarray(np.divide(1.0, uncensored, out=np.zeros(len(time)), where=known))


def _share_below(risk: FloatArray, others: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted share of `others` of lower risk, plus half of those of equal risk."""
    order = np.argsort(others)
    summed = np.concatenate([[0.0], np.cumsum(weight[order])])
    lower, up_to = (np.searchsorted(others[order], risk, side=side) for side in ("left", "right"))
    return np.asarray((summed[lower] + summed[up_to]) / (2 * summed[-1]))


def _integrate(
    table: pd.DataFrame, influences: FloatArray, time: FloatArray, event: FloatArray
) -> tuple[float, FloatArray, str]:
    """Mean AUC over the estimable times, its derivative by each weight (n,), and a note."""
    usable = table["auc"].notna().to_numpy()
    at = table["time"].to_numpy()[usable]
    auc, influences = table["auc"].to_numpy()[usable], influences[:, usable]
    survival = event_curve(time, event, np.ones((1, len(time)))).at(at)[0]
    fall = -np.diff(survival, prepend=1.0)
    if not fall.sum() > 0:
        return math.nan, np.full(len(time), math.nan), "not estimable: at no time"
    mean = float(auc @ fall / fall.sum())
    of_fall = -np.diff(event_influence(time, event, at), axis=1, prepend=0.0)
    influence = (influences @ fall + of_fall @ (auc - mean)) / fall.sum()
    left_out = int((~usable).sum())
    note = f"over {len(at)} times; {left_out} not estimable" if left_out else ""
    return mean, np.asarray(influence), note


def _interval(value: float, influence: FloatArray) -> dict[str, float]:
    n = len(influence)
    # The variance of n influences, divided by n, as in riskRegression and timeROC.
    std_err = float(np.sqrt(np.sum(influence**2) * n / (n - 1)))
    half = float(ndtri(0.975)) * std_err
    return {
        "std_err": std_err,
        "ci_low": max(value - half, 0.0),
        "ci_high": min(value + half, 1.0),
    }
