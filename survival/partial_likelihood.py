"""Cox's partial likelihood, its slope and its curvature, summed over all risk sets at once.

Rows are sorted by stratum and time once (`risk_sets`); sums over a risk set are then differences
of one cumulative sum: a likelihood of n patients costs n steps, whatever the number of events.
`survival.weighted_cox` fits many weighted samples at once on the same `RiskSets`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Ties = Literal["efron", "breslow"]

# Beyond it a hazard relative to the largest is no longer a double.
WIDEST_PREDICTOR = 500.0


@dataclass(frozen=True)
class RiskSets:
    """Who is at risk at each event time; all rows are in sorted order: by stratum, then time.

    There are J event times (a stratum's own), E events, one term of the likelihood for each event.

    Attributes
    ----------
    order
        Sorted rows as positions in the tables given (n,); rows without weight are not in it.
    time, event, entry, weight, stratum
        Of the sorted rows (n,); entry is minus infinity for all where everybody enters at the
        start, and strata are numbered in the order of `stratum_names`.
    stratum_start
        First row of each stratum.
    event_time, event_stratum
        Of each event time (J,).
    first, last
        Rows `first:last` have not left the risk set before that event time (J,).
    entry_order, entry_first, entry_last
        Rows by stratum and entry; of these `entry_first:entry_last` have not entered yet (J,).
        None where everybody enters at the start.
    deaths, death_time
        Rows with an event, and the position of their event time (E,).
    time_start
        First event of each event time among `deaths`, hence also the first of its terms (J,).
    fraction, term_weight
        Share of the tied events that has left the risk set at each term, and its weight (E,).
    seen_from, seen_to
        Event times `seen_from:seen_to` find the row at risk (n,).
    """

    order: Rows
    time: Floats
    event: NDArray[np.bool_]
    entry: Floats
    weight: Floats
    stratum: Rows
    stratum_start: Rows
    stratum_names: NDArray[np.generic]
    event_time: Floats
    event_stratum: Rows
    first: Rows
    last: Rows
    entry_order: Rows | None
    entry_first: Rows
    entry_last: Rows
    deaths: Rows
    death_time: Rows
    time_start: Rows
    fraction: Floats
    term_weight: Floats
    seen_from: Rows
    seen_to: Rows


@dataclass(frozen=True)
class Likelihood:
    """Log partial likelihood at some coefficients.

    Attributes
    ----------
    loglik, score, information
        Value, first derivative (p,), and negative second derivative (p, p).
    risk
        Weight times hazard relative to the largest of the stratum, of each sorted row (n,).
    mean
        Mean of the covariates over the risk set, at each event's term (E, p).
    hazard
        Increase of the cumulative hazard at each event's term, on the scale of `risk` (E,).
    """

    loglik: float
    score: Floats
    information: Floats
    risk: Floats
    mean: Floats
    hazard: Floats


def risk_sets(
    time: ArrayLike,
    event: ArrayLike,
    entry: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    ties: Ties = "efron",
) -> RiskSets:
    """Sort patients by stratum and time, and find who is at risk when.

    Parameters
    ----------
    time, event
        Time under observation and 1 for an event (n,).
    entry
        Time from which a patient is under observation (n,); at risk at t if entry < t <= time.
    strata
        Stratum of each patient (n,); patients are compared within it only.
    weights
        Case weight of each patient (n,), as R's `coxph(weights=)`; rows of weight 0 are dropped.
    ties
        Efron 1977 or Breslow 1974, both as in R's `coxph`.
    """
    weight = np.ones(np.size(np.asarray(time))) if weights is None else _floats(weights)
    kept = np.flatnonzero(weight > 0)
    times, events = _floats(time)[kept], np.asarray(event).astype(bool)[kept]
    entries = None if entry is None else _floats(entry)[kept]
    labels = np.zeros(len(kept), dtype=np.intp) if strata is None else np.asarray(strata)[kept]
    names, stratum = np.unique(labels, return_inverse=True)

    # One whole number that sorts by stratum, then time; ties stay exact ties.
    grid, code = np.unique(
        times if entries is None else np.concatenate([entries, times]), return_inverse=True
    )
    width = len(grid) + 1
    leave = stratum * width + code[-len(times) :] + 1
    enter = stratum * width + (0 if entries is None else code[: len(times)] + 1)
    order = np.argsort(leave, kind="stable")
    leave, enter, stratum = leave[order], enter[order], stratum[order]
    deaths = np.flatnonzero(events[order])
    keys: Rows
    keys, time_start, death_time, tied = np.unique(
        leave[deaths], return_index=True, return_inverse=True, return_counts=True
    )
    of_stratum = keys // width
    by_entry = np.argsort(enter, kind="stable")
    sorted_weight = weight[kept][order]
    rank = np.arange(len(deaths)) - time_start[death_time]
    mean_weight = _by_time(sorted_weight[deaths], time_start) / tied
    return RiskSets(
        order=kept[order],
        time=times[order],
        event=events[order],
        entry=np.full(len(times), -np.inf) if entries is None else entries[order],
        weight=sorted_weight,
        stratum=stratum,
        stratum_start=np.searchsorted(stratum, np.arange(len(names))),
        stratum_names=names,
        event_time=times[order][deaths[time_start]],
        event_stratum=of_stratum,
        first=np.searchsorted(leave, keys),
        last=np.searchsorted(leave, (of_stratum + 1) * width),
        entry_order=None if entries is None else by_entry,
        entry_first=np.searchsorted(enter[by_entry], keys),
        entry_last=np.searchsorted(enter[by_entry], (of_stratum + 1) * width),
        deaths=deaths,
        death_time=death_time,
        time_start=time_start,
        fraction=(rank / tied[death_time] if ties == "efron" else np.zeros(len(deaths))),
        term_weight=mean_weight[death_time],
        seen_from=np.searchsorted(keys, enter, side="right"),
        seen_to=np.searchsorted(keys, leave, side="right"),
    )


def at_risk_sums(sets: RiskSets, values: Floats) -> Floats:
    """Sum `values` (n, k) over the risk set of each term (E, k), less Efron's share of ties."""
    total = _later(values)
    sums: Floats = total[sets.first] - total[sets.last]
    if sets.entry_order is not None:
        total = _later(values[sets.entry_order])
        sums -= total[sets.entry_first] - total[sets.entry_last]
    if not sets.fraction.any():
        return sums[sets.death_time]
    dying = _by_time(values[sets.deaths], sets.time_start)
    return sums[sets.death_time] - sets.fraction[:, None] * dying[sets.death_time]


def accumulated(sets: RiskSets, terms: Floats) -> Floats:
    """Sum `terms` (E, k) over those that find a row at risk (n, k): `at_risk_sums` transposed."""
    cumulative = np.zeros((len(sets.event_time) + 1, terms.shape[1]))
    np.cumsum(_by_time(terms, sets.time_start), axis=0, out=cumulative[1:])
    sums: Floats = cumulative[sets.seen_to] - cumulative[sets.seen_from]
    if sets.fraction.any():
        own = _by_time(sets.fraction[:, None] * terms, sets.time_start)
        sums[sets.deaths] -= own[sets.death_time]
    return sums


def partial_likelihood(sets: RiskSets, x: Floats, coefficients: Floats) -> Likelihood:
    """Evaluate Cox's log partial likelihood with tied events (Efron 1977, J Am Stat Assoc 72:557).

    With weights as in R's `coxph`: Therneau & Grambsch 2000, Modeling Survival Data, section 3.3.
    Coefficients whose hazards differ by more than exp(500) have likelihood 0.

    Parameters
    ----------
    x
        Covariates of the sorted rows (n, p), best centred.
    """
    predictor = x @ coefficients
    none = np.full(len(coefficients), np.nan)
    nowhere = Likelihood(-np.inf, none, np.diag(none), none, none, none)
    if np.ptp(predictor) > WIDEST_PREDICTOR:
        return nowhere
    # The hazard of a stratum has no unit: its largest is set to 1, so that none overflows.
    predictor -= np.maximum.reduceat(predictor, sets.stratum_start)[sets.stratum]
    risk = sets.weight * np.exp(predictor)
    sums = at_risk_sums(sets, np.column_stack([risk, risk[:, None] * x]))
    # Sums are differences; hazards further apart than a float has digits leave nothing of one.
    if not (sums[:, 0] > 0).all():
        return nowhere
    mean = sums[:, 1:] / sums[:, :1]
    hazard = sets.term_weight / sums[:, 0]
    weight = sets.weight[sets.deaths]
    loglik = weight @ predictor[sets.deaths] - sets.term_weight @ np.log(sums[:, 0])
    score = weight @ x[sets.deaths] - sets.term_weight @ mean
    expected = risk * accumulated(sets, hazard[:, None])[:, 0]
    information = x.T @ (expected[:, None] * x) - mean.T @ (sets.term_weight[:, None] * mean)
    return Likelihood(float(loglik), score, information, risk, mean, hazard)


def risk_set_covariances(sets: RiskSets, x: Floats, at: Likelihood) -> Floats:
    """Covariance of the covariates over the risk set, at each event's term (E, p, p)."""
    n, p = x.shape
    products = (at.risk[:, None, None] * x[:, :, None] * x[:, None, :]).reshape(n, p * p)
    sums = at_risk_sums(sets, np.column_stack([at.risk, products]))
    second = (sums[:, 1:] / sums[:, :1]).reshape(-1, p, p)
    return second - at.mean[:, :, None] * at.mean[:, None, :]


def score_residuals(sets: RiskSets, x: Floats, at: Likelihood) -> Floats:
    """Share of each sorted row in the score, without its weight (n, p).

    Equals R's `residuals(coxph, type = "score")` (Therneau et al. 1990, Biometrika 77:147).
    """
    spent = accumulated(sets, np.column_stack([at.hazard, at.hazard[:, None] * at.mean]))
    relative = at.risk / sets.weight
    residuals: Floats = -relative[:, None] * (spent[:, :1] * x - spent[:, 1:])
    tied = np.diff(sets.time_start, append=len(sets.deaths))
    average = _by_time(at.mean, sets.time_start) / tied[:, None]
    residuals[sets.deaths] += x[sets.deaths] - average[sets.death_time]
    return residuals


def _later(values: Floats) -> Floats:
    """Sum each row and all that follow it; 0 at the end (n + 1, k)."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values[::-1], axis=0, out=sums[-2::-1])
    return sums


def _by_time(values: Floats, time_start: Rows) -> Floats:
    return np.add.reduceat(values, time_start, axis=0)


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
