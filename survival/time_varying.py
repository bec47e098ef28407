"""A hazard ratio that changes with time: what to report where hazards are not proportional."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from cohorts.errors import SettingsError
from survival.cox_design import NotEstimableError, refuse_singular
from survival.cox_model import CoxModel, maximise, refuse_monotone
from survival.partial_likelihood import WIDEST_PREDICTOR, Floats, RiskSets

Form = Literal["log time", "step"]

_Z = float(ndtri(0.975))


@dataclass(frozen=True)
class TimeVaryingEffect:
    """A hazard ratio that changes with time.

    Attributes
    ----------
    table
        `period, time, hr, ci_low, ci_high`: at the quartiles of the event times, or before and
        after the step; 95 % Wald intervals. Empty where not estimable.
    p
        Wald test that the hazard ratio does not change; NaN where not estimable.
    method, note
        What was fitted; and why there is no estimate, or empty.
    """

    table: pd.DataFrame
    p: float
    method: str
    note: str


@dataclass(frozen=True)
class _Value:
    loglik: float
    score: Floats
    information: Floats


def time_varying_effect(
    model: CoxModel, term: str, form: Form = "log time", step: float | None = None
) -> TimeVaryingEffect:
    """Let the coefficient of one term change with time, the others staying as they are.

    The term is also multiplied by the logarithm of time, or by whether time is past the step.
    Equals R's `coxph(Surv(start, stop, event) ~ x + x:log(stop))` of follow-up cut by `survSplit`
    at every event time, and `coxph(... ~ x + tt(x))`; nothing is cut here, since the product
    matters at event times only.

    Parameters
    ----------
    model
        A model of `survival.cox_model.fit_cox`.
    term
        Name of the term.
    form
        "log time" or "step".
    step
        Time of the step, in the unit of the model's; the median event time by default.

    Raises
    ------
    SettingsError
        If the model has no such term.
    """
    if term not in model.terms:
        raise SettingsError(f'"{term}" is no term of the model; it has {", ".join(model.terms)}')
    sets = model.sets
    times = sets.time[sets.deaths]
    cut = float(np.median(times)) if step is None else step
    logs = form == "log time"
    trend = np.log(sets.event_time) if logs else (sets.event_time > cut).astype(float)
    method = f"Cox, {term} times {'log(time)' if logs else f'(time > {cut:g})'}, Wald"
    try:
        beta, variance, shift = _fit(model, model.terms.index(term), trend)
    except NotEstimableError as reason:
        empty = pd.DataFrame(columns=["period", "time", "hr", "ci_low", "ci_high"])
        return TimeVaryingEffect(empty, float("nan"), method, f"not estimable: {reason}")
    if logs:
        shown = np.quantile(times, [0.25, 0.5, 0.75])
        at = np.log(shown)
        names = ("1st quartile", "median", "3rd quartile")
        periods = [f"at the {name} of event times" for name in names]
    else:
        shown, at = np.array([cut, cut]), np.array([0.0, 1.0])
        periods = [f"up to {cut:g}", f"after {cut:g}"]
    direction = np.column_stack([np.ones(len(at)), at - shift])
    log_hr = direction @ beta
    error = np.sqrt(np.einsum("ki,ij,kj->k", direction, variance, direction))
    table = pd.DataFrame(
        {
            "period": periods,
            "time": shown,
            "hr": np.exp(log_hr),
            "ci_low": np.exp(log_hr - _Z * error),
            "ci_high": np.exp(log_hr + _Z * error),
        }
    )
    p = float(2 * ndtr(-abs(beta[1]) / np.sqrt(variance[1, 1])))
    return TimeVaryingEffect(table, p, method, "")


def _fit(model: CoxModel, position: int, trend: Floats) -> tuple[Floats, Floats, float]:
    """Coefficients of the term and its product with the trend (2,), covariance, centre of trend."""
    sets, scale = model.sets, model.x.std(axis=0)
    standard = model.x / scale
    of_deaths = trend[sets.death_time]
    shift, spread = float(of_deaths.mean()), float(of_deaths.std())
    if not spread > 0:
        raise NotEstimableError("all events are on one side of the step")
    centred = (trend - shift) / spread
    start = np.append(model.coefficients * scale, 0.0)
    names = (*model.terms, f"{model.terms[position]} by time")
    first = _value(sets, standard, position, centred, start)
    refuse_singular(names, first.information, model.events)
    found, best, converged = maximise(
        lambda beta: _value(sets, standard, position, centred, beta), start
    )
    covariance: Floats = np.asarray(np.linalg.inv(best.information), dtype=np.float64)
    refuse_monotone(names, found, covariance)
    if not converged:
        raise NotEstimableError("Newton's method did not converge")
    pair = [position, len(model.terms)]
    unit = np.array([scale[position], scale[position] * spread])
    return found[pair] / unit, covariance[np.ix_(pair, pair)] / np.outer(unit, unit), shift


def _value(sets: RiskSets, x: Floats, position: int, trend: Floats, coefficients: Floats) -> _Value:
    """Log partial likelihood of covariates `x` and of one of them times the trend (J,)."""
    plain, bent = x @ coefficients[:-1], x[:, position] * coefficients[-1]
    if np.ptp(plain) + np.ptp(bent) * np.abs(trend).max() > WIDEST_PREDICTOR:
        none = np.full(len(coefficients), np.nan)
        return _Value(-np.inf, none, np.diag(none))
    log_total, mean, spread = _risk_set_moments(sets, x, plain, bent, trend)
    share, late = sets.term_weight, trend[sets.death_time]
    weight, dying = sets.weight[sets.deaths], x[sets.deaths]
    predictor = plain[sets.deaths] + late * bent[sets.deaths]
    apart = weight[:, None] * dying - share[:, None] * mean
    score = np.append(apart.sum(axis=0), late @ apart[:, position])
    corner = np.einsum("e,eij->ij", share, spread)
    side = (share * late) @ spread[:, position]
    last = (share * late**2) @ spread[:, position, position]
    information = np.block([[corner, side[:, None]], [side[None], np.atleast_2d(last)]])
    loglik = float(weight @ predictor - share @ log_total)
    return _Value(loglik, score, information)


def _risk_set_moments(
    sets: RiskSets, x: Floats, plain: Floats, bent: Floats, trend: Floats
) -> tuple[Floats, Floats, Floats]:
    """Log of the summed risk (E,), mean (E, p) and covariance (E, p, p) at each event's term.

    The risk of a patient, exp(plain + trend * bent), is another at each event time.
    """
    events, p = len(sets.deaths), x.shape[1]
    log_total, mean, spread = np.empty(events), np.empty((events, p)), np.empty((events, p, p))
    ends = np.append(sets.time_start[1:], events)
    for j, (first, last) in enumerate(zip(sets.first, sets.last, strict=True)):
        rows = np.arange(first, last)
        if sets.entry_order is not None:
            rows = rows[sets.entry[rows] < sets.event_time[j]]
        terms = slice(sets.time_start[j], ends[j])
        predictor = plain[rows] + trend[j] * bent[rows]
        top = predictor.max()
        risk = sets.weight[rows] * np.exp(predictor - top)
        left = risk[None]
        if ends[j] - sets.time_start[j] > 1:
            # Of tied events a growing share is taken off, as Efron does.
            tied = np.isin(rows, sets.deaths[terms])
            left = risk * (1 - sets.fraction[terms, None] * tied)
        total = left.sum(axis=1)
        here = x[rows]
        mean[terms] = left @ here / total[:, None]
        second = np.stack([here.T @ (one[:, None] * here) for one in left])
        spread[terms] = second / total[:, None, None]
        spread[terms] -= mean[terms, :, None] * mean[terms, None, :]
        log_total[terms] = np.log(total) + top
    return log_total, mean, spread
