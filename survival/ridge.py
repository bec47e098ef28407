"""Cox regression whose clinical terms are shrunken: for more covariates than the events allow."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from survival.cox_design import NotEstimableError, design
from survival.cox_model import maximise, refuse_monotone
from survival.partial_likelihood import Floats, RiskSets, partial_likelihood, risk_sets

_FOLDS: Final = 10
# Penalties tried, in units of the events: about what the data know of a standardised coefficient.
_TRIED: Final = np.logspace(-3, 1, 17)


@dataclass(frozen=True)
class RidgeModel:
    """A Cox model fitted by ridge-penalised partial likelihood.

    Attributes
    ----------
    terms, coefficients, covariance
        Names (p), log hazard ratios (p,), and the inverse of the penalised information (p, p).
    shrunken
        Whether each term was penalised (p,).
    penalty
        Of half the squared log hazard ratio per standard deviation (n), summed over these terms.
    effective_parameters
        Trace of information times covariance (Gray 1992, J Am Stat Assoc 87:942).
    loglik
        Log partial likelihood at the coefficients, without the penalty.
    n, events
        Patients (rows) and events.
    """

    terms: tuple[str, ...]
    coefficients: Floats
    covariance: Floats
    shrunken: NDArray[np.bool_]
    penalty: float
    effective_parameters: float
    loglik: float
    n: int
    events: int


@dataclass(frozen=True)
class Penalised:
    """Penalised log likelihood, its slope and curvature, and the likelihood's own."""

    loglik: float
    score: Floats
    information: Floats
    own_loglik: float
    own_information: Floats


def fit_ridge(
    time: ArrayLike,
    event: ArrayLike,
    covariates: pd.DataFrame,
    shrunken: Collection[str],
    penalty: float | None = None,
    *,
    entry: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> RidgeModel:
    """Fit a Cox model that maximises log likelihood - penalty / 2 * sum of squares.

    Verweij & van Houwelingen 1994 (Stat Med 13:2427). The squares are of the log hazard ratios of
    the `shrunken` terms, per standard deviation; the other terms are not penalised. Equals R's
    `coxph(Surv(time, event) ~ x + ridge(z, theta = penalty, scale = TRUE))`, but that R's standard
    deviation has n - 1.

    Parameters
    ----------
    time, event, covariates, entry, strata, weights
        As in `survival.cox_model.fit_cox`.
    shrunken
        Columns of `covariates` to penalise.
    penalty
        Above 0; without it, the one with the largest cross-validated partial likelihood.

    Raises
    ------
    SeparationError
        If a term that is not penalised separates the events.
    NotEstimableError
        If there is no patient or event, or a covariate is constant or a sum of others.
    DataError
        If a covariate is missing for a patient or no number.
    """
    names, sets, standard, _, scale = design(
        time, event, covariates, entry=entry, strata=strata, weights=weights
    )
    chosen = np.isin(names, list(shrunken))
    if penalty is None:
        order = sets.order
        given = (time, event, entry, strata, weights)
        outcome = [None if values is None else np.asarray(values)[order] for values in given]
        penalty = _by_cross_validation(sets, standard, chosen, outcome)
    coefficients, best, converged = ridge_maximum(
        sets, standard, penalty * chosen.astype(np.float64)
    )
    covariance = np.asarray(np.linalg.inv(best.information), dtype=np.float64)
    free = ~chosen
    named = tuple(name for name, is_free in zip(names, free, strict=True) if is_free)
    refuse_monotone(named, coefficients[free], covariance[np.ix_(free, free)])
    if not converged:
        raise NotEstimableError("Newton's method did not converge")
    return RidgeModel(
        terms=names,
        coefficients=coefficients / scale,
        covariance=covariance / np.outer(scale, scale),
        shrunken=chosen,
        penalty=float(penalty),
        effective_parameters=float(np.trace(best.own_information @ covariance)),
        loglik=best.own_loglik,
        n=len(standard),
        events=len(sets.deaths),
    )


def ridge_maximum(sets: RiskSets, x: Floats, ridge: Floats) -> tuple[Floats, Penalised, bool]:
    """Climb the penalised partial likelihood of covariates that have been checked.

    Parameters
    ----------
    x
        Covariates of the sorted rows of `sets` (n, p), best standardised.
    ridge
        Penalty of half the square of each coefficient (p,); where it is above 0, there is a
        maximum, whatever the covariate.

    Returns
    -------
    tuple
        Coefficients (p,), the likelihood there, and whether nothing is left to gain.
    """
    return maximise(lambda beta: _penalised(sets, x, beta, ridge), np.zeros(x.shape[1]))


def ridge_table(model: RidgeModel) -> pd.DataFrame:
    """Hazard ratios: the columns of `cox_model.coefficient_table`.

    There is no interval and no p. A shrunken ratio is biased towards 1; and what shrinking leaves
    of a term's effect goes into the terms it is correlated with, so that theirs are biased, too. In
    simulations with a correlation of 0.5, Wald's interval of a free term covered 89%.
    """
    beta = model.coefficients
    return pd.DataFrame(
        {
            "term": model.terms,
            "hr": np.exp(beta),
            "ci_low": np.nan,
            "ci_high": np.nan,
            "p": np.nan,
            "coefficient": beta,
            "se": np.sqrt(np.diag(model.covariance)),
            "robust_se": np.nan,
            "z": np.nan,
            "method": np.where(model.shrunken, "ridge, shrunken", "Cox beside ridge"),
        }
    )


def _by_cross_validation(
    sets: RiskSets,
    x: Floats,
    shrunken: NDArray[np.bool_],
    outcome: Sequence[NDArray[np.generic] | None],
) -> float:
    """Choose the penalty by ten-fold cross-validated partial likelihood.

    Verweij & van Houwelingen 1993 (Stat Med 12:2305): what the patients of a fold add to the log
    partial likelihood of all, at coefficients that were fitted without them. Folds are dealt by
    event and time, so that nothing is left to chance; `outcome` is of the sorted rows of `sets`.
    """
    time, event = np.asarray(outcome[0], np.float64), np.asarray(outcome[1], np.float64)
    fold = np.empty(len(time), dtype=np.int64)
    fold[np.lexsort((time, -event))] = np.arange(len(time)) % min(_FOLDS, int(event.sum()))
    penalties = len(sets.deaths) * _TRIED
    added = np.zeros(len(penalties))
    for number in range(fold.max() + 1):
        kept = fold != number
        if not event[kept].any():
            continue
        entry, strata, weights = (None if v is None else v[kept] for v in outcome[2:])
        of_kept = risk_sets(time[kept], event[kept], entry, strata, weights, "efron")
        rows = x[kept][of_kept.order]
        for place, penalty in enumerate(penalties):
            beta, _, _ = ridge_maximum(of_kept, rows, penalty * shrunken)
            whole = partial_likelihood(sets, x, beta).loglik
            added[place] += whole - partial_likelihood(of_kept, rows, beta).loglik
    # Of equals the strongest: it promises least.
    best = np.flatnonzero(added >= np.nanmax(added) - 1e-9)[-1]
    return float(penalties[best])


def _penalised(sets: RiskSets, x: Floats, beta: Floats, ridge: Floats) -> Penalised:
    here = partial_likelihood(sets, x, beta)
    return Penalised(
        here.loglik - float(ridge @ beta**2) / 2,
        here.score - ridge * beta,
        here.information + np.diag(ridge),
        here.loglik,
        here.information,
    )
