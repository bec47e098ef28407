"""Subdistribution hazards of Fine & Gray 1999: risk sets with weights, score, and its spread."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Array = NDArray[np.float64]


class Data(NamedTuple):
    """Patients in the order of time, and what is known of them before any coefficient."""

    time: _Array
    cause: NDArray[np.bool_]
    censored: NDArray[np.bool_]
    covariates: _Array
    censoring: NDArray[np.intp]
    """Group of each patient (n,) whose censoring is estimated together."""
    weight: _Array
    """1 / G(T-) of those with a competing event, 0 of the others (n,)."""
    event_times: _Array
    events: _Array
    """Events of interest at each of their distinct times (E,)."""
    kept: _Array
    """G(t-) of each censoring group at the event times (groups, E)."""


class Fit(NamedTuple):
    """The pseudo-likelihood and its parts at some coefficients (p,)."""

    log_likelihood: float
    score: _Array
    information: _Array
    hazard: _Array
    """Jumps of the baseline subdistribution hazard (E,)."""
    mean: _Array
    """Mean covariates of those at risk at the event times (E, p)."""


def prepare(
    time: _Array,
    event: NDArray[np.int64],
    covariates: _Array,
    cause: int,
    censoring_groups: ArrayLike | None,
) -> Data:
    """Sort patients (n,) and weigh those with a competing event by the censoring they escaped."""
    order = np.argsort(time, kind="stable")
    time, event, covariates = time[order], event[order], covariates[order]
    group = np.zeros(len(time), dtype=np.intp)
    if censoring_groups is not None:
        group = np.unique(np.asarray(censoring_groups), return_inverse=True)[1][order]
    competing = (event != cause) & (event != 0)
    event_times, events = np.unique(time[event == cause], return_counts=True)
    weight, kept = np.zeros(len(time)), np.ones((int(group.max()) + 1, len(event_times)))
    for g, curve in enumerate(kept):
        member = group == g
        own = member & competing
        curve[:] = _censoring_before(time[member], event[member], event_times)
        weight[own] = 1 / _censoring_before(time[member], event[member], time[own])
    return Data(
        time,
        event == cause,
        event == 0,
        covariates,
        group,
        weight,
        event_times,
        events.astype(np.float64),
        kept,
    )


def _censoring_before(time: _Array, event: NDArray[np.int64], at: _Array) -> _Array:
    """G(t-): the Kaplan-Meier curve of censoring just before t."""
    distinct, position = np.unique(time, return_inverse=True)
    at_risk = np.bincount(position)[::-1].cumsum()[::-1]
    censored = np.bincount(position, weights=event == 0)
    curve = np.concatenate([[1.0], np.cumprod(1 - censored / at_risk)])
    kept: _Array = curve[np.searchsorted(distinct, at, side="left")]
    return kept


def evaluate(data: Data, coefficients: _Array) -> Fit:
    """Pseudo-log-likelihood, score and information (Fine & Gray 1999, section 4)."""
    p = len(coefficients)
    z = data.covariates
    linear = z @ coefficients
    risk = np.exp(linear)
    products = np.column_stack(
        [np.ones(len(z)), z, (z[:, :, None] * z[:, None, :]).reshape(-1, p * p)]
    )
    sums = _at_risk_sums(data, products * risk[:, None])
    total = sums[:, 0]
    mean = sums[:, 1 : p + 1] / total[:, None]
    second = (sums[:, p + 1 :] / total[:, None]).reshape(-1, p, p)
    spread = second - mean[:, :, None] * mean[:, None, :]
    return Fit(
        float(linear[data.cause].sum() - data.events @ np.log(total)),
        z[data.cause].sum(axis=0) - data.events @ mean,
        np.einsum("e,eij->ij", data.events, spread),
        data.events / total,
        mean,
    )


def _at_risk_sums(data: Data, values: _Array) -> _Array:
    """Sum values (n, m) over those at risk at each event time (E, m), weights included."""
    tail = np.vstack([np.cumsum(values[::-1], axis=0)[::-1], np.zeros(values.shape[1])])
    first = np.searchsorted(data.time, data.event_times, side="left")
    sums: _Array = tail[first]
    for g, curve in enumerate(data.kept):
        own = data.weight * (data.censoring == g)
        gone = np.vstack([np.zeros(values.shape[1]), np.cumsum(values * own[:, None], axis=0)])
        sums += curve[:, None] * gone[first]
    return sums


def residuals(data: Data, coefficients: _Array, fit: Fit) -> _Array:
    """Each patient's share of the score (n, p): eta and psi of Fine & Gray 1999, eq. 7 and 8."""
    z, risk = data.covariates, np.exp(data.covariates @ coefficients)
    through = np.searchsorted(data.event_times, data.time, side="right")
    moved = fit.hazard[:, None] * fit.mean
    shares = -risk[:, None] * (
        z * _from_start(fit.hazard)[through, None] - _from_start(moved)[through]
    )
    shares[data.cause] += z[data.cause] - fit.mean[through[data.cause] - 1]
    for g, curve in enumerate(data.kept):
        member = data.censoring == g
        weight = (data.weight * member * risk)[:, None]
        later, later_moved = _to_end(curve * fit.hazard), _to_end(curve[:, None] * moved)
        shares -= weight * (z * later[through, None] - later_moved[through])

        # How the score moves with the censoring at a time u: through those whose competing event
        # came no later than u, and their weights at event times after u.
        u = np.unique(data.time[member])
        past, beyond = (
            np.searchsorted(times, u, side="right") for times in (data.time, data.event_times)
        )
        q = _from_start(weight * z)[past] * later[beyond, None]
        q -= _from_start(weight)[past] * later_moved[beyond]
        shares[member] += _censoring_martingales(data.time[member], data.censored[member], q)
    return shares


def _censoring_martingales(time: _Array, censored: NDArray[np.bool_], q: _Array) -> _Array:
    """Integrate q (T, p), given at the distinct times, by each patient's censoring (m, p)."""
    distinct, position = np.unique(time, return_inverse=True)
    at_risk = len(time) - np.searchsorted(time, distinct, side="left")
    rate = np.bincount(position, weights=censored) / at_risk
    jump = q / at_risk[:, None]
    compensator = np.cumsum(jump * rate[:, None], axis=0)
    integral: _Array = censored[:, None] * jump[position] - compensator[position]
    return integral


def _from_start(values: _Array) -> _Array:
    """Sum from the start, with 0 before the first."""
    return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])


def _to_end(values: _Array) -> _Array:
    """Sum from each place to the end, with 0 after the last."""
    return _from_start(values[::-1])[::-1]
