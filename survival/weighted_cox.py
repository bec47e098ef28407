"""Cox regression of many weighted samples at once, for everything that is bootstrapped.

A bootstrap sample is a row of weights, so a thousand refits are a few matrix products. Who is at
risk when, and how ties count, is that of `survival.partial_likelihood`, which evaluates one fit
with strata and delayed entry: its sums run over the rows of one sample, those here over all.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survival.partial_likelihood import RiskSets, risk_sets
from survival.product_limit import FloatArray

_STEPS = 30
_TOLERANCE = 1e-9
# Coefficients or standard errors per standard deviation beyond this have no maximum behind them:
# no real effect reaches exp(10), and Newton's steps stop where the likelihood is flat.
_IMPLAUSIBLE = 10.0


@dataclass(frozen=True)
class WeightedCox:
    """Fits of the same model in each sample; NaN where the likelihood has no maximum.

    Attributes
    ----------
    coefficients, covariance
        (samples, p) and (samples, p, p), the latter as if weights were counts of patients.
    null_log_likelihood, log_likelihood
        Partial log likelihoods without and with the covariates (samples,).
    means
        Means of the covariates (p,), about which the baseline hazard is given.
    hazard_times, hazards
        Times of the events (e,), ascending, and what each adds to the cumulative baseline hazard
        (samples, e), by Efron's method as in R's `survfit.coxph`.
    """

    coefficients: FloatArray
    covariance: FloatArray
    null_log_likelihood: FloatArray
    log_likelihood: FloatArray
    means: FloatArray
    hazard_times: FloatArray
    hazards: FloatArray


@dataclass(frozen=True)
class _Design:
    """Patients in the order of `sets`: covariates (n, p) and their products (n, p * p)."""

    sets: RiskSets
    x: FloatArray
    squares: FloatArray


def fit_weighted_cox(
    covariates: FloatArray, time: FloatArray, event: FloatArray, weights: FloatArray
) -> WeightedCox:
    """Fit a proportional hazards model in each weighted sample (Cox 1972; ties by Efron 1977).

    Equals R's `coxph(Surv(time, event) ~ covariates, weights = w)`, by Newton's method.

    Parameters
    ----------
    covariates
        (n, p).
    time, event
        Time under observation and 1 for an event (n,).
    weights
        Weight of each patient in each sample (samples, n).
    """
    sets = risk_sets(time, event)
    means, scale = covariates.mean(axis=0), covariates.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    x = (covariates[sets.order] - means) / scale
    design = _Design(sets, x, (x[:, :, None] * x[:, None, :]).reshape(len(x), -1))
    drawn = weights[:, sets.order]
    samples, p = len(weights), covariates.shape[1]
    accepted = np.zeros((samples, p))
    null, gradient, information, hazards = _evaluate(design, drawn, accepted)
    reached = null.copy()
    lost = np.zeros(samples, dtype=bool)
    for _ in range(_STEPS):
        step, singular = _newton(gradient, information)
        lost |= singular
        trial = accepted + step
        likelihood, *derivatives = _evaluate(design, drawn, trial)
        for _ in range(_STEPS):
            worse = ~lost & ~(likelihood >= reached - 1e-9 * np.abs(reached))
            if not worse.any():
                break
            trial[worse] = (trial[worse] + accepted[worse]) / 2
            likelihood, *derivatives = _evaluate(design, drawn, trial)
        gain = np.abs(likelihood - reached) / (np.abs(reached) + 1e-12)
        accepted, reached = trial, likelihood
        gradient, information, hazards = derivatives
        lost |= np.abs(accepted).max(axis=1, initial=0.0) > _IMPLAUSIBLE
        if (lost | (gain < _TOLERANCE)).all():
            break
        accepted[lost] = 0.0
    # A last step may lead where the likelihood is flat.
    lost |= _newton(gradient, information)[1]
    covariance = np.full((samples, p, p), np.nan)
    covariance[~lost] = np.linalg.inv(information[~lost])
    errors = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2).clip(0))
    lost |= (errors > _IMPLAUSIBLE).any(axis=1)
    covariance[lost] = np.nan
    covariance /= np.outer(scale, scale)
    accepted[lost], reached[lost], hazards[lost] = np.nan, np.nan, np.nan
    return WeightedCox(
        accepted / scale,
        covariance,
        null,
        reached,
        means,
        sets.time[sets.deaths],
        hazards,
    )


def risk_by(fit: WeightedCox, covariates: FloatArray, horizon: float) -> FloatArray:
    """Predict the probability of the event by a horizon: (samples, patients).

    Parameters
    ----------
    fit
        Models of each sample.
    covariates
        (patients, p), the columns of the fit.
    horizon
        In the unit of time.
    """
    hazard = fit.hazards[:, fit.hazard_times <= horizon].sum(axis=1, keepdims=True)
    return np.asarray(-np.expm1(-hazard * np.exp(fit.coefficients @ (covariates - fit.means).T)))


def _evaluate(
    design: _Design, weights: FloatArray, coefficients: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Log likelihood, gradient, information and baseline hazard at each sample's coefficients."""
    sets = design.sets
    linear = coefficients @ design.x.T
    hazard = weights * np.exp(np.clip(linear, -50, 50))
    dying = weights[:, sets.deaths]
    mean_weight = np.add.reduceat(dying, sets.time_start, axis=1) / np.bincount(sets.death_time)
    share = mean_weight[:, sets.death_time]
    at_risk = _at_events(sets, hazard)
    counts = share > 0
    increments = np.divide(share, at_risk, out=np.zeros_like(share), where=counts)
    logs = np.log(at_risk, out=np.zeros_like(share), where=counts)
    likelihood = (dying * linear[:, sets.deaths]).sum(axis=1) - (share * logs).sum(axis=1)
    passed = hazard * _expected(sets, increments)
    gradient = dying @ design.x[sets.deaths] - passed @ design.x
    samples, p = coefficients.shape
    information = (passed @ design.squares).reshape(samples, p, p)
    root = np.sqrt(np.divide(increments, at_risk, out=np.zeros_like(share), where=counts))
    means = np.stack([_at_events(sets, hazard * column) * root for column in design.x.T], axis=1)
    return likelihood, gradient, information - means @ means.transpose(0, 2, 1), increments


def _at_events(sets: RiskSets, values: FloatArray) -> FloatArray:
    """Sum over the risk set of each event, less Efron's share of those tied before it."""
    later = values[:, ::-1].cumsum(axis=1)[:, ::-1]
    sums = later[:, sets.first[sets.death_time]]
    if sets.fraction.any():
        tied = np.add.reduceat(values[:, sets.deaths], sets.time_start, axis=1)
        sums -= sets.fraction * tied[:, sets.death_time]
    return np.asarray(sums)


def _expected(sets: RiskSets, increments: FloatArray) -> FloatArray:
    """Cumulative baseline hazard that each patient has passed, by Efron's shares (samples, n)."""
    at_times = np.add.reduceat(increments, sets.time_start, axis=1)
    start = np.zeros((len(increments), 1))
    passed = np.concatenate([start, at_times.cumsum(axis=1)], axis=1)[:, sets.seen_to]
    if sets.fraction.any():
        own = np.add.reduceat(increments * sets.fraction, sets.time_start, axis=1)
        passed[:, sets.deaths] -= own[:, sets.death_time]
    return np.asarray(passed)


def _newton(gradient: FloatArray, information: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Newton's step in each sample, and in which samples the information is singular."""
    spectrum = np.linalg.eigvalsh(information)
    singular = ~(spectrum[:, 0] > 1e-9 * np.abs(spectrum[:, -1]).clip(1e-300))
    safe = np.where(singular[:, None, None], np.eye(gradient.shape[1]), information)
    step = np.linalg.solve(safe, gradient[..., None])[..., 0]
    step[singular] = 0.0
    return np.asarray(step), np.asarray(singular)
