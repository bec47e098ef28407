"""Kaplan-Meier curves of events and of censoring, for many weighted samples at once.

A bootstrap sample is a row of weights: how often each patient was drawn. One matrix of weights
gives the curves of a thousand samples in one pass. At equal times events come before censorings,
as in R's `prodlim::prodlim(reverse = TRUE)`, on which pec, riskRegression and timeROC build.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_BLOCK = 4_000_000


@dataclass(frozen=True)
class StepCurve:
    """Right-continuous curves that start at 1.

    Attributes
    ----------
    time
        Where the curves may step (m,), ascending.
    value
        Just after each time (samples, m).
    """

    time: FloatArray
    value: FloatArray

    def at(self, time: FloatArray) -> FloatArray:
        """Value at each time (samples, k)."""
        return self._after(np.searchsorted(self.time, time, side="right"))

    def before(self, time: FloatArray) -> FloatArray:
        """Value just before each time (samples, k)."""
        return self._after(np.searchsorted(self.time, time, side="left"))

    def _after(self, steps: NDArray[np.intp]) -> FloatArray:
        start = np.ones((len(self.value), 1))
        return np.concatenate([start, self.value], axis=1)[:, steps]


@dataclass(frozen=True)
class _Table:
    """Weighted numbers at each distinct time: (samples, m)."""

    time: FloatArray
    at_risk: FloatArray
    events: FloatArray
    censored: FloatArray


def event_curve(time: FloatArray, event: FloatArray, weights: FloatArray) -> StepCurve:
    """Kaplan-Meier curve of the event in each weighted sample.

    Parameters
    ----------
    time, event
        Time under observation and 1 for an event (n,).
    weights
        Weight of each patient in each sample (samples, n).
    """
    table = _table(time, event, weights)
    return StepCurve(table.time, _product(table.events, table.at_risk))


def censoring_curve(time: FloatArray, event: FloatArray, weights: FloatArray) -> StepCurve:
    """Kaplan-Meier curve of being uncensored, G, in each weighted sample.

    Parameters are those of `event_curve`. Who has the event at a time is no longer at risk of
    being censored at it.
    """
    table = _table(time, event, weights)
    return StepCurve(table.time, _product(table.censored, table.at_risk - table.events))


def event_influence(time: FloatArray, event: FloatArray, at: FloatArray) -> FloatArray:
    """Change of the event's curve at each time `at` (k,) by each patient's weight: (n, k).

    The sum of squares over patients is Greenwood's variance (Efron 1981).
    """
    table = _table(time, event, np.ones((1, len(time))))
    events, at_risk = table.events[0], table.at_risk[0]
    left = at_risk - events
    own = np.divide(1.0, left, out=np.zeros_like(left), where=left > 0)
    shared = np.cumsum(np.divide(events * own, at_risk))
    steps = np.searchsorted(table.time, at, side="right")
    mine = np.searchsorted(table.time, time)
    passed = mine[:, None] < steps[None, :]
    shared = np.concatenate([[0.0], shared])[np.minimum(mine[:, None] + 1, steps[None, :])]
    curve = event_curve(time, event, np.ones((1, len(time)))).at(at)
    return np.asarray(-curve * (passed * (event * own[mine])[:, None] - shared))


def weight_influence(time: FloatArray, event: FloatArray, share: FloatArray) -> FloatArray:
    """Change of ``sum_i share_i log(1 / G(T_i-))`` by each patient's weight (n,).

    What a statistic weighted by the inverse of G owes to the estimation of G, where the weights
    come from the same patients. `share` is its derivative by each log weight.
    """
    table = _table(time, event, np.ones((1, len(time))))
    censored, at_risk = table.censored[0], (table.at_risk - table.events)[0]
    left = at_risk - censored
    mine = np.searchsorted(table.time, time)
    at_time = np.bincount(mine, weights=share, minlength=len(table.time))
    later = at_time[::-1].cumsum()[::-1] - at_time
    own = np.divide(later, left, out=np.zeros_like(left), where=left > 0)
    loss = np.divide(censored * own, at_risk, out=np.zeros_like(own), where=at_risk > 0)
    shared = np.concatenate([[0.0], np.cumsum(loss)])
    # At its own time a patient with the event is not at risk of being censored.
    is_censored = event == 0
    return np.asarray(is_censored * own[mine] - shared[mine + is_censored])


def bootstrap_blocks(
    patients: int, samples: int, rng: np.random.Generator, width: int = 1
) -> Iterator[FloatArray]:
    """Draw bootstrap samples as weights, in blocks (b, n) that fit in memory.

    Parameters
    ----------
    patients, samples
        Patients n, and how many samples in total.
    rng
        Source of the draws; the samples do not depend on the size of the blocks.
    width
        How many numbers a patient needs in each sample.
    """
    block = max(1, _BLOCK // (patients * width))
    chances = np.full(patients, 1 / patients)
    for start in range(0, samples, block):
        count = min(block, samples - start)
        yield rng.multinomial(patients, chances, size=count).astype(np.float64)


def _table(time: FloatArray, event: FloatArray, weights: FloatArray) -> _Table:
    order = np.argsort(time, kind="stable")
    distinct, first = np.unique(time[order], return_index=True)
    drawn = weights[:, order]
    leaving = np.add.reduceat(drawn, first, axis=1)
    events = np.add.reduceat(drawn * event[order], first, axis=1)
    at_risk = leaving[:, ::-1].cumsum(axis=1)[:, ::-1]
    return _Table(distinct, at_risk, events, leaving - events)


def _product(leaving: FloatArray, at_risk: FloatArray) -> FloatArray:
    hazard = np.divide(leaving, at_risk, out=np.zeros_like(leaving), where=at_risk > 0)
    return np.asarray(np.cumprod(1 - hazard, axis=1))
