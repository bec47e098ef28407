"""Survival that a Cox model predicts: the baseline hazard and curves of given patients."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtri

from cohorts.errors import DataError
from survival.cox_model import CoxModel
from survival.partial_likelihood import Floats, Rows

_Z = float(ndtri(0.975))


@dataclass(frozen=True)
class PredictedSurvival:
    """Predicted survival of m patients at k times with its pointwise 95 % log interval (m, k).

    NaN after the last time under observation of the patient's stratum.
    """

    times: Floats
    survival: Floats
    ci_low: Floats
    ci_high: Floats


def baseline_hazard(model: CoxModel) -> pd.DataFrame:
    """Cumulative hazard of a patient with mean covariates, by stratum, at each event time.

    Columns `stratum, time, cumulative_hazard`. Equals R's `basehaz(coxph)`: Efron's estimate where
    ties are Efron's, Breslow's (1974, Biometrics 30:89) where they are Breslow's.
    """
    sets = model.sets
    increase, _ = _increments(model)
    frame = pd.DataFrame(
        {
            "stratum": sets.stratum_names[sets.event_stratum],
            "time": sets.event_time,
            "cumulative_hazard": np.add.reduceat(increase, sets.time_start),
        }
    )
    frame["cumulative_hazard"] = frame.groupby("stratum")["cumulative_hazard"].cumsum()
    return frame


def predict_survival(
    model: CoxModel,
    covariates: pd.DataFrame,
    times: ArrayLike,
    strata: ArrayLike | None = None,
) -> PredictedSurvival:
    """Predict survival of new patients at `times`.

    Equals R's `survfit(coxph, newdata)`: exp(-cumulative hazard), standard error of the cumulative
    hazard by Tsiatis 1981 with Efron's ties, interval on the log scale (R's default). The error of
    the coefficients is the model's own, not the robust one.

    Parameters
    ----------
    model
        A model of `survival.cox_model.fit_cox`.
    covariates
        The model's columns for m patients.
    times
        Times (k,) in the unit of the model's.
    strata
        Stratum of each patient (m,); needed where the model has several.

    Raises
    ------
    DataError
        If a column or stratum is not of the model.
    """
    absent = [name for name in model.terms if name not in covariates.columns]
    if absent:
        raise DataError(f'predicted survival: column "{absent[0]}" of the model is missing')
    at = np.asarray(times, dtype=np.float64)
    x = covariates[list(model.terms)].to_numpy(dtype=np.float64) - model.centre
    index = _strata_index(model, strata, len(x))
    hazard, error = np.full((len(x), len(at)), np.nan), np.full((len(x), len(at)), np.nan)
    increase, mean = _increments(model)
    sets = model.sets
    term_stratum = sets.event_stratum[sets.death_time]
    term_time = sets.event_time[sets.death_time]
    for stratum in np.unique(index):
        rows, terms = index == stratum, np.flatnonzero(term_stratum == stratum)
        steps = np.searchsorted(term_time[terms], at, side="right")
        total = _sums(increase[terms])[steps]
        spread = _sums(increase[terms] ** 2 / sets.term_weight[terms])[steps]
        drift = _sums(increase[terms, None] * mean[terms])[steps]
        relative = np.exp(x[rows] @ model.coefficients)[:, None]
        away = drift[None] - total[None, :, None] * x[rows][:, None, :]
        variance = spread + np.einsum("mki,ij,mkj->mk", away, model.covariance, away)
        seen = at <= sets.time[sets.stratum == stratum].max()
        hazard[np.ix_(rows, seen)] = (relative * total)[:, seen]
        error[np.ix_(rows, seen)] = (relative * np.sqrt(variance))[:, seen]
    return PredictedSurvival(
        times=at,
        survival=np.exp(-hazard),
        ci_low=np.exp(-hazard - _Z * error),
        ci_high=np.minimum(np.exp(-hazard + _Z * error), 1.0),
    )


def _increments(model: CoxModel) -> tuple[Floats, Floats]:
    """Give each term's step of the hazard at mean covariates (E,), and the means there (E, p)."""
    sets, at = model.sets, model.at_maximum()
    # Risks were relative to the largest of the stratum; here they are relative to mean covariates.
    largest = np.maximum.reduceat(model.x @ model.coefficients, sets.stratum_start)
    scale = np.exp(-largest)[sets.event_stratum[sets.death_time]]
    return at.hazard * scale, at.mean


def _strata_index(model: CoxModel, strata: ArrayLike | None, m: int) -> Rows:
    names = model.sets.stratum_names
    if strata is None:
        if len(names) > 1:
            raise DataError("predicted survival: the model has strata; give each patient's")
        return np.zeros(m, dtype=np.intp)
    given = np.asarray(strata)
    unknown = ~np.isin(given, names)
    if unknown.any():
        raise DataError(f'predicted survival: the model has no stratum "{given[unknown][0]}"')
    return np.searchsorted(names, given)


def _sums(values: Floats) -> Floats:
    """Cumulative sums with 0 before the first."""
    return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
