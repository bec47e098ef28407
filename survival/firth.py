"""Firth's penalised Cox regression: finite estimates where a covariate separates the events."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import chdtrc, chdtri

from survival.cox_design import NotEstimableError, design
from survival.cox_model import ChiSquared, chi_squared
from survival.partial_likelihood import (
    WIDEST_PREDICTOR,
    Floats,
    Likelihood,
    RiskSets,
    at_risk_sums,
    partial_likelihood,
)

_CONVERGED = 1e-16
_ROUNDING = 1e-12
_MOST_STEPS = 500
_MOST_HALVINGS = 40
# As coxphf's `maxstep`, in standard deviations.
_LONGEST_STEP = 2.5
_MOST_DOUBLINGS = 12
_QUANTILE = float(chdtri(1, 0.05))


@dataclass(frozen=True)
class FirthModel:
    """A Cox model fitted by Firth's penalised likelihood.

    Attributes
    ----------
    terms, coefficients, covariance
        Names (p), log hazard ratios (p,), and the inverse of the information (p, p).
    ci_low, ci_high
        Limits of the 95 % profile penalised likelihood intervals (p,); infinite where the profile
        never falls that far.
    p
        Penalised likelihood ratio tests, one for each term (p,).
    loglik_null, loglik
        Penalised log likelihood with all coefficients 0, and at its maximum.
    likelihood_ratio
        Penalised test that all coefficients are 0.
    n, events
        Patients (rows) and events.
    """

    terms: tuple[str, ...]
    coefficients: Floats
    covariance: Floats
    ci_low: Floats
    ci_high: Floats
    p: Floats
    loglik_null: float
    loglik: float
    likelihood_ratio: ChiSquared
    n: int
    events: int


@dataclass(frozen=True)
class _Penalised:
    """Penalised log likelihood at some coefficients, its slope, and the information."""

    coefficients: Floats
    loglik: float
    slope: Floats
    information: Floats


def fit_firth(
    time: ArrayLike,
    event: ArrayLike,
    covariates: pd.DataFrame,
    *,
    entry: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> FirthModel:
    """Fit a Cox model that maximises log likelihood + log det(information) / 2.

    Firth 1993 (Biometrika 80:27); Heinze & Schemper 2001 (Biometrics 57:114). Equals R's
    `coxphf(Surv(entry, time, event) ~ covariates)`, ties by Breslow as there. Parameters as in
    `survival.cox_model.fit_cox`.

    Raises
    ------
    NotEstimableError
        If there is no patient or event, a covariate is constant or a sum of others, or the
        maximum is not found.
    DataError
        If a covariate is missing for a patient or no number.
    """
    names, sets, standard, _, scale = design(
        time, event, covariates, entry=entry, strata=strata, weights=weights, ties="breslow"
    )
    p = len(names)
    everything = np.arange(p)
    null = _penalised(sets, standard, np.zeros(p))
    best = _maximise(sets, standard, np.zeros(p), everything)
    covariance = np.linalg.inv(best.information)
    limits = np.array(
        [
            [_limit(sets, standard, best, term, direction) for direction in (-1, 1)]
            for term in range(p)
        ]
    )
    without = [_profile(sets, standard, best, term)(0.0) for term in range(p)]
    statistics = np.maximum(2 * (best.loglik - np.array(without)), 0.0)
    return FirthModel(
        terms=names,
        coefficients=best.coefficients / scale,
        covariance=covariance / np.outer(scale, scale),
        ci_low=limits[:, 0] / scale,
        ci_high=limits[:, 1] / scale,
        p=chdtrc(1, statistics),
        loglik_null=null.loglik,
        loglik=best.loglik,
        likelihood_ratio=chi_squared(2 * (best.loglik - null.loglik), p),
        n=len(standard),
        events=len(sets.deaths),
    )


def firth_table(model: FirthModel) -> pd.DataFrame:
    """Hazard ratios with 95 % profile intervals: the columns of `cox_model.coefficient_table`."""
    error = np.sqrt(np.diag(model.covariance))
    return pd.DataFrame(
        {
            "term": model.terms,
            "hr": np.exp(model.coefficients),
            "ci_low": np.exp(model.ci_low),
            "ci_high": np.exp(model.ci_high),
            "p": model.p,
            "coefficient": model.coefficients,
            "se": error,
            "robust_se": np.nan,
            "z": model.coefficients / error,
            "method": "Firth, profile likelihood",
        }
    )


def _penalised(sets: RiskSets, x: Floats, coefficients: Floats) -> _Penalised:
    at = partial_likelihood(sets, x, coefficients)
    # Without a likelihood there is no information, of whose NaN no determinant can be taken.
    sign, size = np.linalg.slogdet(at.information) if np.isfinite(at.loglik) else (0.0, 0.0)
    if not sign > 0:
        return _Penalised(coefficients, -np.inf, at.score, at.information)
    slope = at.score + _penalty_slope(sets, x, at) / 2
    return _Penalised(coefficients, at.loglik + size / 2, slope, at.information)


def _penalty_slope(sets: RiskSets, x: Floats, at: Likelihood) -> Floats:
    """Differentiate log det(information) by each coefficient (p,): third moments of risk sets."""
    n, p = x.shape
    inverse = np.linalg.inv(at.information)
    length = np.einsum("ij,jk,ik->i", x, inverse, x)
    products = (x[:, :, None] * x[:, None, :]).reshape(n, p * p)
    values = np.column_stack([np.ones(n), length, length[:, None] * x, products])
    sums = at_risk_sums(sets, at.risk[:, None] * values)
    moments = sums[:, 1:] / sums[:, :1]
    mean_length, lengthwise = moments[:, :1], moments[:, 1 : p + 1]
    second = moments[:, p + 1 :].reshape(-1, p, p)
    turned = at.mean @ inverse
    own = np.sum(turned * at.mean, axis=1, keepdims=True)
    third = (
        lengthwise
        - at.mean * mean_length
        - 2 * np.einsum("eij,ej->ei", second, turned)
        + 2 * at.mean * own
    )
    slope: Floats = sets.term_weight @ third
    return slope


def _maximise(
    sets: RiskSets, x: Floats, start: Floats, free: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> _Penalised:
    """Move the coefficients `free` to the penalised maximum, the others held where they start."""
    here = _penalised(sets, x, start)
    for _ in range(_MOST_STEPS):
        if not len(free) or not np.isfinite(here.loglik):
            return here
        step = np.zeros(len(start))
        step[free] = np.linalg.solve(here.information[np.ix_(free, free)], here.slope[free])
        if float(step @ here.slope) < _CONVERGED:
            return here
        step *= min(1.0, _LONGEST_STEP / float(np.abs(step).max()))
        for _ in range(_MOST_HALVINGS):
            there = _penalised(sets, x, here.coefficients + step)
            # Near the maximum a gain is smaller than the rounding of a long sum.
            if there.loglik >= here.loglik - _ROUNDING * abs(here.loglik):
                break
            step = step / 2
        else:
            # No step, however short, gains: the maximum within the precision of the sums.
            return here
        here = there
    raise NotEstimableError(f"the penalised likelihood did not converge in {_MOST_STEPS} steps")


def _profile(sets: RiskSets, x: Floats, best: _Penalised, term: int) -> Callable[[float], float]:
    """Penalised log likelihood as a function of one coefficient, the others at their best."""
    free = np.delete(np.arange(len(best.coefficients)), term)
    last = best.coefficients

    def loglik(value: float) -> float:
        nonlocal last
        start = last.copy()
        start[term] = value
        found = _maximise(sets, x, start, free)
        last = found.coefficients
        return found.loglik

    return loglik


def _limit(sets: RiskSets, x: Floats, best: _Penalised, term: int, direction: int) -> float:
    """Where the profile lies half a chi-squared quantile below the maximum; infinite if nowhere."""
    from scipy.optimize import brentq

    loglik = _profile(sets, x, best, term)
    centre = float(best.coefficients[term])
    widest = WIDEST_PREDICTOR / 2 / float(np.ptp(x[:, term]))

    def excess(distance: float) -> float:
        return 2 * (best.loglik - loglik(centre + direction * distance)) - _QUANTILE

    inside, outside = 0.0, 2 * float(np.sqrt(np.linalg.inv(best.information)[term, term]))
    for _ in range(_MOST_DOUBLINGS):
        if outside > widest:
            break
        if excess(outside) > 0:
            return centre + direction * float(brentq(excess, inside, outside, xtol=1e-8))
        inside, outside = outside, 2 * outside
    return direction * np.inf
