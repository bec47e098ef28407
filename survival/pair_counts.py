"""Pairs of patients in time order, counted by which of the two has the higher risk.

Counts are read off a wavelet matrix (Claude & Navarro 2012, SPIRE), so that n patients take
O(n log n) steps and each step is one numpy operation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survival.product_limit import FloatArray

IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class PairSums:
    """For each patient, weight of the others in comparable pairs, by their risk: (samples, n).

    The other is of lower, of equal, or of higher risk.
    """

    lower: FloatArray
    tied: FloatArray
    higher: FloatArray

    @property
    def total(self) -> FloatArray:
        """Weight of all others in comparable pairs."""
        return self.lower + self.tied + self.higher


@dataclass(frozen=True)
class TimeOrder:
    """Patients by time, those with the event before those censored at the same time.

    A pair is comparable if the shorter time ends with the event.

    Attributes
    ----------
    order
        Patient at each place (n,).
    rank
        Rank of the risk of the patient at each place, 0 for the lowest, ties alike (n,).
    later_from
        Place from which on the patients are later than this one's event (n,).
    earlier_to
        Place up to which events are earlier than this patient's time (n,).
    with_event
        Places of the patients with the event.
    """

    order: IntArray
    rank: IntArray
    later_from: IntArray
    earlier_to: IntArray
    with_event: IntArray


def time_order(
    risk: FloatArray, time: FloatArray, event: FloatArray, *, pair_within_time: bool
) -> TimeOrder:
    """Put patients in order of time.

    Parameters
    ----------
    risk, time, event
        Each (n,); `event` 1 or 0.
    pair_within_time
        Whether two patients of the same time are comparable if one has the event and the other is
        censored: so in Harrell et al. 1996 and `survival::concordance`, not in Uno et al. 2011.
    """
    order = np.lexsort((-event, time))
    times, events = time[order], event[order]
    _, first, group = np.unique(times, return_index=True, return_inverse=True)
    if pair_within_time:
        after_events = (first + np.bincount(group, weights=events).astype(np.intp))[group]
    else:
        after_events = np.append(first[1:], len(times))[group]
    return TimeOrder(
        order,
        np.unique(risk[order], return_inverse=True)[1].astype(np.intp),
        after_events,
        np.where((events == 0) & pair_within_time, after_events, first[group]),
        np.flatnonzero(events == 1),
    )


def sums_over_later(places: TimeOrder, weights: FloatArray) -> PairSums:
    """For each patient, the weight of those who are later than an event at this patient's time.

    Parameters
    ----------
    places
        Patients in order of time.
    weights
        Weight of each patient in each sample (samples, n).

    Returns
    -------
    PairSums
        In the order of `weights`; 0 for patients without the event.
    """
    placed, asked = weights[:, places.order], places.with_event
    later_from, rank = places.later_from[asked], places.rank[asked]
    lower, up_to = _below(places.rank, placed, asked, later_from)
    ranks = np.zeros((len(weights), int(places.rank.max()) + 1))
    for sample, row in enumerate(placed):
        ranks[sample] = np.bincount(places.rank, weights=row)
    by_rank = _from_zero(ranks)
    total = by_rank[:, -1:] - _from_zero(placed)[:, later_from]
    lower, up_to = by_rank[:, rank] - lower, by_rank[:, rank + 1] - up_to
    return _in_patients(places.order[asked], weights.shape, lower, up_to, total)


def sums_over_earlier(places: TimeOrder, weights: FloatArray) -> PairSums:
    """For each patient, the weight of those whose event is earlier than this patient's time.

    `weights` (samples, n) must be 0 for patients without the event.
    """
    placed = weights[:, places.order]
    everyone = np.arange(len(places.order))
    lower, up_to = _below(places.rank, placed, everyone, places.earlier_to)
    total = _from_zero(placed)[:, places.earlier_to]
    return _in_patients(places.order, weights.shape, lower, up_to, total)


def _in_patients(
    patients: IntArray,
    shape: tuple[int, ...],
    lower: FloatArray,
    up_to: FloatArray,
    total: FloatArray,
) -> PairSums:
    sides = np.zeros((3, *shape))
    sides[:, :, patients] = lower, up_to - lower, total - up_to
    return PairSums(*sides)


def _below(
    rank: IntArray, weights: FloatArray, asked: IntArray, stop: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Weight at places before `stop` of rank below that of each place asked, and not above it."""
    limit, n = rank[asked], len(asked)
    if int(rank.max()) == len(rank) - 1:
        lower = _below_limit(rank, weights, stop, limit)
        return lower, lower + np.where(asked < stop, weights[:, asked], 0.0)
    both = _below_limit(rank, weights, np.tile(stop, 2), np.concatenate([limit, limit + 1]))
    return both[:, :n], both[:, n:]


def _below_limit(
    rank: IntArray, weights: FloatArray, stop: IntArray, limit: IntArray
) -> FloatArray:
    """Weight at places before each `stop` whose rank is below each `limit` (samples, queries)."""
    low, high = np.zeros_like(stop), stop
    total = np.zeros((len(weights), len(stop)))
    highest = max(int(limit.max(initial=0)), int(rank.max()))
    for bit in reversed(range(highest.bit_length())):
        one = (rank >> bit) & 1 == 1
        zeros = np.concatenate([[0], np.cumsum(~one)])
        up = np.flatnonzero((limit >> bit) & 1)
        summed = _from_zero(np.where(one, 0.0, weights))
        total[:, up] += summed[:, high[up]] - summed[:, low[up]]
        zero_low, zero_high = zeros[low], zeros[high]
        above_low, above_high = zeros[-1] + (low - zero_low)[up], zeros[-1] + (high - zero_high)[up]
        low, high = zero_low, zero_high
        low[up], high[up] = above_low, above_high
        split = np.concatenate([np.flatnonzero(~one), np.flatnonzero(one)])
        rank, weights = rank[split], weights[:, split]
    return total


def _from_zero(values: FloatArray) -> FloatArray:
    """Cumulative sums that start at 0: (samples, n + 1)."""
    return np.concatenate([np.zeros((len(values), 1)), values.cumsum(axis=1)], axis=1)
