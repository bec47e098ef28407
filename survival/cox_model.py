"""Cox regression by Newton's method: coefficients, covariance, robust covariance and tests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtr, ndtri

from survival.cox_design import NotEstimableError, SeparationError, design
from survival.partial_likelihood import (
    Floats,
    Likelihood,
    RiskSets,
    Ties,
    partial_likelihood,
    score_residuals,
)

# No real effect reaches exp(10) per standard deviation, and no standard error 10; where the
# likelihood has no maximum, the fit stops at coefficients near 20 with errors in the thousands.
_IMPLAUSIBLE = 10.0
_CONVERGED = 1e-9
_MOST_STEPS = 60
_MOST_HALVINGS = 30
_Z = float(ndtri(0.975))


class Differentiable(Protocol):
    """A log likelihood at some coefficients: its value, slope (p,) and curvature (p, p)."""

    @property
    def loglik(self) -> float:
        """Log likelihood."""

    @property
    def score(self) -> Floats:
        """Its first derivative (p,)."""

    @property
    def information(self) -> Floats:
        """Its second derivative, negated (p, p)."""


_Evaluated = TypeVar("_Evaluated", bound=Differentiable)


class ChiSquared(NamedTuple):
    """A chi-squared statistic with its degrees of freedom and p value."""

    chi2: float
    df: int
    p: float


@dataclass(frozen=True)
class CoxModel:
    """A fitted Cox model.

    Attributes
    ----------
    terms
        Names of the covariates (p).
    coefficients
        Log hazard ratio per unit of each covariate (p,).
    covariance
        Inverse of the information (p, p).
    robust
        Sandwich covariance by cluster (p, p), Lin & Wei 1989; None without clusters.
    clusters
        Number of clusters; 0 without.
    loglik_null, loglik
        Log partial likelihood with all coefficients 0, and at its maximum.
    likelihood_ratio, wald, score_test
        Tests that all coefficients are 0; Wald's by the robust covariance where there is one.
    n, events
        Patients (rows) and events.
    sets, x, centre
        Risk sets, covariates of their sorted rows less `centre` (n, p), and the means taken off.
    """

    terms: tuple[str, ...]
    coefficients: Floats
    covariance: Floats
    robust: Floats | None
    clusters: int
    loglik_null: float
    loglik: float
    likelihood_ratio: ChiSquared
    wald: ChiSquared
    score_test: ChiSquared
    n: int
    events: int
    sets: RiskSets
    x: Floats
    centre: Floats

    @property
    def variance(self) -> Floats:
        """Covariance for inference: the robust one where there is one (p, p)."""
        return self.covariance if self.robust is None else self.robust

    def at_maximum(self) -> Likelihood:
        """Likelihood with its parts at the estimated coefficients."""
        return partial_likelihood(self.sets, self.x, self.coefficients)


def fit_cox(
    time: ArrayLike,
    event: ArrayLike,
    covariates: pd.DataFrame,
    *,
    entry: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    ties: Ties = "efron",
) -> CoxModel:
    """Fit Cox's proportional hazards model (Cox 1972, JRSS B 34:187).

    Equals R's `coxph(Surv(entry, time, event) ~ covariates + strata(strata), weights, cluster)`.

    Parameters
    ----------
    time, event
        Time under observation and 1 for an event (n,).
    covariates
        Numeric columns (n rows) without missing values.
    entry
        Time from which a patient is under observation (n,).
    strata
        Stratum of each patient (n,); each has its own baseline hazard.
    weights
        Case weight of each patient (n,). With Efron's ties a weight of 2 is not two patients (nor
        is it in R): a bootstrap resamples rows.
    cluster
        Cluster of each patient (n,), e.g. the centre: errors are then robust to correlation
        within clusters.
    ties
        Efron (R's default) or Breslow.

    Raises
    ------
    SeparationError
        If the likelihood has no maximum; `survival.firth` has an estimate.
    NotEstimableError
        If there is no patient or event, or a covariate is constant or a sum of others.
    DataError
        If a covariate is missing for a patient or no number.
    """
    names, sets, standard, centre, scale = design(
        time, event, covariates, entry=entry, strata=strata, weights=weights, ties=ties
    )
    null = partial_likelihood(sets, standard, np.zeros(len(names)))
    coefficients, best, converged = maximise(
        lambda beta: partial_likelihood(sets, standard, beta), np.zeros(len(names))
    )
    covariance = _inverse(best.information)
    refuse_monotone(names, coefficients, covariance)
    if not converged:
        raise NotEstimableError(f"Newton's method did not converge in {_MOST_STEPS} steps")

    robust, clusters = None, 0
    if cluster is not None:
        influence = sets.weight[:, None] * score_residuals(sets, standard, best) @ covariance
        robust, clusters = _sandwich(influence / scale, np.asarray(cluster)[sets.order])
    beta, covariance = coefficients / scale, covariance / np.outer(scale, scale)
    return CoxModel(
        terms=names,
        coefficients=beta,
        covariance=covariance,
        robust=robust,
        clusters=clusters,
        loglik_null=null.loglik,
        loglik=best.loglik,
        likelihood_ratio=chi_squared(2 * (best.loglik - null.loglik), len(beta)),
        wald=wald_test(beta, covariance if robust is None else robust),
        score_test=chi_squared(
            float(null.score @ np.linalg.solve(null.information, null.score)), len(beta)
        ),
        n=len(standard),
        events=len(sets.deaths),
        sets=sets,
        x=standard * scale,
        centre=centre,
    )


def coefficient_table(model: CoxModel) -> pd.DataFrame:
    """Coefficients and hazard ratios with 95 % Wald intervals, one row a term.

    Columns `term, hr, ci_low, ci_high, p, coefficient, se, robust_se, z, method`; the interval and
    p are by the robust error where there is one. Equals R's `summary(coxph)`.
    """
    beta, error = model.coefficients, np.sqrt(np.diag(model.variance))
    robust = np.full(len(beta), np.nan) if model.robust is None else error
    kind = "Wald" if model.robust is None else f"robust Wald, {model.clusters} clusters"
    return pd.DataFrame(
        {
            "term": model.terms,
            "hr": np.exp(beta),
            "ci_low": np.exp(beta - _Z * error),
            "ci_high": np.exp(beta + _Z * error),
            "p": 2 * ndtr(-np.abs(beta / error)),
            "coefficient": beta,
            "se": np.sqrt(np.diag(model.covariance)),
            "robust_se": robust,
            "z": beta / error,
            "method": f"Cox, {kind}",
        }
    )


def chi_squared(statistic: float, df: int) -> ChiSquared:
    """Statistic with its p value."""
    return ChiSquared(float(statistic), df, float(chdtrc(df, max(statistic, 0.0))))


def wald_test(coefficients: Floats, variance: Floats) -> ChiSquared:
    """Test that all of `coefficients` (k,) are 0, by their covariance (k, k); `rms::anova`."""
    # With fewer clusters than terms a robust covariance has no inverse, and the test no value.
    if np.linalg.matrix_rank(variance, hermitian=True) < len(coefficients):
        return ChiSquared(float("nan"), len(coefficients), float("nan"))
    statistic = coefficients @ np.linalg.solve(variance, coefficients)
    return chi_squared(float(statistic), len(coefficients))


def maximise(
    likelihood: Callable[[Floats], _Evaluated], start: Floats
) -> tuple[Floats, _Evaluated, bool]:
    """Climb a concave log likelihood by Newton's method; a step that lowers it is halved.

    Parameters
    ----------
    likelihood
        Value, slope and curvature at some coefficients; minus infinity where there is none.
    start
        Coefficients to start from (p,).

    Returns
    -------
    tuple
        Coefficients (p,), the likelihood there, and whether nothing is left to gain.
    """
    coefficients, here = start, likelihood(start)
    for _ in range(_MOST_STEPS):
        step = _inverse(here.information) @ here.score
        gain = float(here.score @ step)
        for _ in range(_MOST_HALVINGS):
            there = likelihood(coefficients + step)
            if there.loglik >= here.loglik - 1e-10 * abs(here.loglik):
                break
            step = step / 2
        else:
            return coefficients, here, False
        coefficients, here = coefficients + step, there
        # What a step leaves to gain is the square of what it gained: nothing.
        if gain < _CONVERGED:
            return coefficients, here, True
    return coefficients, here, False


def _sandwich(influence: Floats, cluster: NDArray[np.generic]) -> tuple[Floats, int]:
    """Sum the influence of patients (n, p) within clusters: covariance (p, p), and their number."""
    labels, index = np.unique(cluster, return_inverse=True)
    if len(labels) < 2:
        raise NotEstimableError("one cluster only; robust errors need several")
    sums = np.zeros((len(labels), influence.shape[1]))
    np.add.at(sums, index, influence)
    return sums.T @ sums, len(labels)


def _inverse(information: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.inv(information), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise SeparationError("the likelihood has no maximum (separation)") from None


def refuse_monotone(names: tuple[str, ...], coefficients: Floats, covariance: Floats) -> None:
    """Raise where coefficients per standard deviation, or their errors, are beyond belief.

    Raises
    ------
    SeparationError
        If there is such a term; it is named.
    """
    size = np.maximum(np.abs(coefficients), np.sqrt(np.abs(np.diag(covariance))))
    endless = [f'"{name}"' for name, s in zip(names, size, strict=True) if not s < _IMPLAUSIBLE]
    if endless:
        raise SeparationError(f"the likelihood has no maximum in {', '.join(endless)} (separation)")
