"""Regression of the cumulative incidence: subdistribution hazards of Fine & Gray 1999."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtr, ndtri

from survival.cox import AMPLE_EVENTS, FEWEST_EVENTS
from survival.cox_design import NotEstimableError, SeparationError, design
from survival.subdistribution import Data, Fit, evaluate, prepare, residuals

METHOD = (
    "Fine & Gray 1999, weighted score; Breslow ties; sandwich variance with estimated "
    "censoring, as in R's cmprsk::crr"
)

# No real effect reaches exp(10) per standard deviation: there the likelihood has no maximum.
_IMPLAUSIBLE = 10.0
# In standard deviations: far more than a real effect needs, and no exponential overflows.
_LONGEST_STEP = 2.0
_MOST_STEPS = 50
_TOLERANCE = 1e-9

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class FineGray:
    """A fitted subdistribution hazards model.

    Attributes
    ----------
    terms
        `term, coefficient, std_err, shr` (subdistribution hazard ratio), `ci_low, ci_high` (95 %,
        Wald), `p`; one row for each covariate, NaN where not estimable.
    covariance
        Robust covariance of the coefficients (p, p).
    log_likelihood, log_likelihood_null
        Pseudo-log-likelihood (Breslow) at the coefficients and at zero.
    lrt, lrt_df, lrt_p
        Pseudo-likelihood ratio test of all covariates; a description rather than a test, since the
        weighted likelihood is none.
    n, events, competing
        Patients, those with the event of interest, and those with another.
    note
        Why there is no estimate, or what weakens it; else empty.
    """

    terms: pd.DataFrame
    covariance: _Array
    log_likelihood: float
    log_likelihood_null: float
    lrt: float
    lrt_df: int
    lrt_p: float
    n: int
    events: int
    competing: int
    note: str
    method: str = METHOD


def fine_gray(
    time: ArrayLike,
    event: ArrayLike,
    covariates: pd.DataFrame,
    cause: int = 1,
    censoring_groups: ArrayLike | None = None,
) -> FineGray:
    """Fit proportional subdistribution hazards to one of several competing events.

    Equals R's `cmprsk::crr(time, event, covariates, cengroup = censoring_groups)`: patients with a
    competing event stay at risk with weight ``G(t-) / G(T-)``, G the Kaplan-Meier curve of
    censoring (Fine & Gray 1999, section 4); the sandwich variance holds the term for the estimated
    G (their eq. 7 and 8), which `survival::finegray` with robust errors leaves out. A ratio above 1
    means a higher probability of the event; it is no ratio of rates among those still at risk.

    Parameters
    ----------
    time, event
        Time under observation and code of the event, 0 for a censored patient (n,).
    covariates
        Numeric columns (n rows).
    cause
        Code of the event of interest; all others above 0 compete.
    censoring_groups
        Group of each patient (n,) within which censoring is alike, e.g. the centre: needed where
        follow-up differs between groups of a covariate. By default all patients are one group.

    Raises
    ------
    DataError
        If a covariate is missing for a patient or no number.
    """
    codes = np.asarray(event, dtype=np.int64)
    events, competing = int((codes == cause).sum()), int(((codes != cause) & (codes != 0)).sum())
    counted = (len(codes), events, competing)
    per_parameter = events / covariates.shape[1]
    few = f"{per_parameter:.1f} events per parameter, fewer than"
    if 0 < per_parameter < FEWEST_EVENTS:
        return _not_estimable(covariates, counted, f"{few} {FEWEST_EVENTS}")
    try:
        checked = design(time, codes == cause, covariates)
        scale = checked.scale
        standard = (covariates.to_numpy(dtype=np.float64) - checked.centre) / scale
        times = np.asarray(time, dtype=np.float64)
        data = prepare(times, codes, standard, cause, censoring_groups)
        coefficients, fit = _maximise(data, checked.names)
    except NotEstimableError as reason:
        return _not_estimable(covariates, counted, str(reason))
    bread = np.linalg.inv(fit.information)
    shares = residuals(data, coefficients, fit)
    covariance = bread @ (shares.T @ shares) @ bread / np.outer(scale, scale)
    null = evaluate(data, np.zeros(len(scale))).log_likelihood
    lrt = 2 * (fit.log_likelihood - null)
    return FineGray(
        _terms(covariates, coefficients / scale, np.sqrt(np.diag(covariance))),
        covariance,
        fit.log_likelihood,
        null,
        lrt,
        len(scale),
        float(chdtrc(len(scale), lrt)),
        *counted,
        f"{few} {AMPLE_EVENTS}" if per_parameter < AMPLE_EVENTS else "",
    )


def _not_estimable(
    covariates: pd.DataFrame, counted: tuple[int, int, int], reason: str
) -> FineGray:
    p = covariates.shape[1]
    nan = float("nan")
    nothing = np.full(p, np.nan)
    return FineGray(
        _terms(covariates, nothing, nothing),
        np.full((p, p), np.nan),
        nan,
        nan,
        nan,
        p,
        nan,
        *counted,
        f"not estimable: {reason}",
    )


def _terms(covariates: pd.DataFrame, coefficient: _Array, error: _Array) -> pd.DataFrame:
    half_width = ndtri(0.975) * error
    return pd.DataFrame(
        {
            "term": covariates.columns.astype(str),
            "coefficient": coefficient,
            "std_err": error,
            "shr": np.exp(coefficient),
            "ci_low": np.exp(coefficient - half_width),
            "ci_high": np.exp(coefficient + half_width),
            "p": 2 * ndtr(-np.abs(coefficient / error)),
        }
    )


def _maximise(data: Data, names: tuple[str, ...]) -> tuple[_Array, Fit]:
    """Newton's method with halved steps; covariates are in units of their standard deviation."""
    coefficients = np.zeros(data.covariates.shape[1])
    fit = evaluate(data, coefficients)
    for _ in range(_MOST_STEPS):
        if np.linalg.cond(fit.information) > 1 / _TOLERANCE:
            break
        step = np.linalg.solve(fit.information, fit.score)
        if np.abs(step).max() < _TOLERANCE:
            return coefficients, fit
        step *= min(1.0, _LONGEST_STEP / np.abs(step).max())
        trial = evaluate(data, coefficients + step)
        while trial.log_likelihood < fit.log_likelihood and np.abs(step).max() > _TOLERANCE:
            step /= 2
            trial = evaluate(data, coefficients + step)
        coefficients, fit = coefficients + step, trial
        if np.abs(coefficients).max() > _IMPLAUSIBLE:
            break
    worst = names[int(np.argmax(np.abs(coefficients)))]
    raise SeparationError(f'the likelihood has no maximum in "{worst}" (separation)')
