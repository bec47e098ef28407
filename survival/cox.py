"""Hazard ratios by Cox regression, or a note that says why there is none."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

# Below 5 events per parameter estimates are unreliable, from 5 to 9 tolerable; Vittinghoff &
# McCulloch 2007, Am J Epidemiol 165:710.
_FEWEST_EVENTS = 5
_AMPLE_EVENTS = 10
# No real effect reaches exp(10) per standard deviation, and no standard error 10; where the
# likelihood has no maximum, the fit stops at coefficients near 20 with errors in the thousands.
_IMPLAUSIBLE = 10.0

# With lifelines' own tolerances a stratified fit differs from R's in the fifth digit.
_PRECISION = {"precision": 1e-10, "r_precision": 1e-14}

_TIME, _EVENT, _STRATUM = "time under observation", "event seen", "stratum of the baseline hazard"


@dataclass(frozen=True)
class HazardRatio:
    """Hazard ratio of one term with its 95 % Wald interval; NaN and a note where not estimable."""

    hr: float
    ci_low: float
    ci_high: float
    p: float
    n: int
    events: int
    events_per_parameter: float
    note: str


class _NotEstimableError(Exception):
    """Why a model has no estimate; ends up in the note."""


def hazard_ratio(
    time: ArrayLike, event: ArrayLike, covariates: pd.DataFrame, strata: ArrayLike | None = None
) -> HazardRatio:
    """Hazard ratio of the first column of `covariates`, adjusted for the others.

    Equals R's `coxph(Surv(time, event) ~ covariates + strata(strata))` (Cox 1972; ties by Efron
    1977), fitted by lifelines. Nothing is penalised: what has no maximum likelihood estimate is
    noted as not estimable.

    Parameters
    ----------
    time, event
        Time under observation and 1 for an event (n,).
    covariates
        Numeric columns (n rows), the term of interest first.
    strata
        Stratum of each patient (n,); each has its own baseline hazard.
    """
    events = int(np.sum(np.asarray(event, dtype=np.int64)))
    per_parameter = events / covariates.shape[1]
    ratio = (float("nan"),) * 4
    try:
        _check_design(np.asarray(event, dtype=np.int64), covariates, per_parameter)
        coefficient, error, notes = _fit(time, event, covariates, strata)
    except _NotEstimableError as reason:
        notes = [f"not estimable: {reason}"]
    else:
        ratio = _wald(coefficient, error)
        if per_parameter < _AMPLE_EVENTS:
            notes.insert(0, f"{per_parameter:.1f} events per parameter, fewer than {_AMPLE_EVENTS}")
    return HazardRatio(*ratio, len(covariates), events, per_parameter, "; ".join(notes))


def _check_design(
    event: NDArray[np.int64], covariates: pd.DataFrame, events_per_parameter: float
) -> None:
    if covariates.empty:
        raise _NotEstimableError("no patient has all covariates")
    if not event.any():
        raise _NotEstimableError("no event")
    for name, column in covariates.items():
        levels = column.unique()
        if len(levels) == 1:
            raise _NotEstimableError(f'"{name}" is the same for all {len(column)} patients')
        with_event = column[event == 1].unique()
        if len(levels) == 2 and len(with_event) == 1:
            other = next(level for level in levels if level != with_event[0])
            raise _NotEstimableError(f'no event where "{name}" is {other:g} (separation)')
    if events_per_parameter < _FEWEST_EVENTS:
        raise _NotEstimableError(
            f"{events_per_parameter:.1f} events per parameter, fewer than {_FEWEST_EVENTS}"
        )


def _fit(
    time: ArrayLike, event: ArrayLike, covariates: pd.DataFrame, strata: ArrayLike | None
) -> tuple[float, float, list[str]]:
    """Coefficient and standard error of the first column, and notes on what lifelines said."""
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError, ConvergenceWarning

    # Standard deviations as the unit of every column: the estimate is the same, and what counts
    # as an implausible coefficient no longer depends on the unit.
    scale = covariates.std(ddof=0)
    design = (covariates - covariates.mean()) / scale
    design[_TIME] = np.asarray(time, dtype=np.float64)
    design[_EVENT] = np.asarray(event, dtype=np.int64)
    if strata is not None:
        design[_STRATUM] = np.asarray(strata)
    model, failure = CoxPHFitter(), ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(
                design,
                _TIME,
                _EVENT,
                strata=None if strata is None else [_STRATUM],
                fit_options=_PRECISION,
            )
        except ConvergenceError as error:
            failure = _in_short(error)
    notes = _notes(caught, (ConvergenceWarning, RuntimeWarning))
    if failure:
        raise _NotEstimableError(f"lifelines: {failure}")
    coefficients, errors = model.params_, model.standard_errors_
    for name in covariates.columns:
        size = max(abs(coefficients[name]), errors[name])
        if not size < _IMPLAUSIBLE:
            raise _NotEstimableError(
                f'the likelihood has no maximum in "{name}" (separation or collinearity)'
            )
    term = covariates.columns[0]
    return coefficients[term] / scale[term], errors[term] / scale[term], notes


def _notes(
    caught: Sequence[warnings.WarningMessage], expected: tuple[type[Warning], ...]
) -> list[str]:
    """Warnings about the fit as notes; any other kind is not ours to judge and is given on."""
    notes = []
    for warning in caught:
        if issubclass(warning.category, expected):
            notes.append(f"lifelines: {_in_short(warning.message)}")
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return list(dict.fromkeys(notes))


def _in_short(message: Exception | str) -> str:
    """Give a message of lifelines on one line, without its links and examples."""
    text = str(message.args[0]) if isinstance(message, Exception) else message
    return re.split(r" (?:Please see|See http|For example)", " ".join(text.split()))[0].rstrip(".")


def _wald(coefficient: float, error: float) -> tuple[float, float, float, float]:
    half_width = ndtri(0.975) * error
    p = float(2 * ndtr(-abs(coefficient / error)))
    low, high = np.exp(coefficient - half_width), np.exp(coefficient + half_width)
    return float(np.exp(coefficient)), float(low), float(high), p
