"""How well a score orders patients by the time of their event: Harrell's and Uno's C."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, ndtr, ndtri

from survival.outcome_arrays import outcome_arrays, patient_values
from survival.pair_counts import sums_over_earlier, sums_over_later, time_order
from survival.product_limit import FloatArray, censoring_curve, weight_influence

WeightSource = Literal["none", "validation", "development"]


@dataclass(frozen=True)
class Concordance:
    """A C with its 95% interval; NaN and a note where not estimable.

    Attributes
    ----------
    value, std_err, ci_low, ci_high
        C, its standard error by the infinitesimal jackknife, and limits that are normal on the
        logit scale, on which C is closer to normal (Snell et al. 2018, Stat Methods Med Res
        27:3505); 0 and 1, which have no logit, have none.
    concordant, discordant, tied_risk
        Comparable pairs whose higher risk has the event first, last, or that have equal risks.
    tied_time
        Pairs with the event at the same time, which are not comparable.
    tau
        Time before which the first event of a pair has to be; infinite for Harrell's C.
    weights
        Whose censoring the pairs are weighted by.
    """

    method: str
    value: float
    std_err: float
    ci_low: float
    ci_high: float
    n: int
    events: int
    concordant: int
    discordant: int
    tied_risk: int
    tied_time: int
    tau: float
    weights: WeightSource
    note: str


@dataclass(frozen=True)
class ConcordanceDifference:
    """C of the first score less C of the second, on the same patients, with its 95% interval."""

    method: str
    value: float
    std_err: float
    ci_low: float
    ci_high: float
    p: float
    first: Concordance
    second: Concordance
    note: str


@dataclass(frozen=True)
class Censoring:
    """How Uno's C is truncated and weighted.

    Attributes
    ----------
    tau
        Only pairs whose first event is before `tau` count.
    development
        Time and event of the development cohort, each (m,), if the weights are to be its; they
        then count as known. Otherwise weights are of the patients at hand, and the standard
        error includes their estimation.
    """

    tau: float
    development: tuple[ArrayLike, ArrayLike] | None = None


def harrell_c(risk: ArrayLike, time: ArrayLike, event: ArrayLike) -> Concordance:
    """Share of comparable pairs in which the patient of higher risk has the event first.

    Harrell et al. 1996 (Stat Med 15:361); equal risks count one half. Equals R's
    `survival::concordance(Surv(time, event) ~ risk, reverse = TRUE)`, its variance included.

    Parameters
    ----------
    risk, time, event
        Higher risk for earlier events, time under observation, 1 for an event; each (n,).
    """
    return _estimate(risk, *outcome_arrays(time, event), None)[0]


def uno_c(risk: ArrayLike, time: ArrayLike, event: ArrayLike, censoring: Censoring) -> Concordance:
    """Concordance with pairs weighted by ``1 / G(t-)^2`` of the earlier event.

    Uno et al. 2011 (Stat Med 30:1105, eq. 6); what it estimates does not depend on the censoring.
    With weights of the patients at hand, equal to R's `survC1::Est.Cval`; with weights of the
    development cohort to `survAUC::UnoC`, which however counts equal risks as discordant.

    Parameters
    ----------
    risk, time, event
        As in `harrell_c`.
    censoring
        Truncation time, and whose censoring the weights are of.
    """
    return _estimate(risk, *outcome_arrays(time, event), censoring)[0]


def concordance_difference(
    first: ArrayLike,
    second: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    censoring: Censoring | None = None,
) -> ConcordanceDifference:
    """Compare two scores of the same patients: Harrell's C, or Uno's where `censoring` is given.

    The standard error is of the difference of the two infinitesimal jackknives, as in R's
    `survival::concordance(fit1, fit2)`; p is two-sided and normal.
    """
    times, events = outcome_arrays(time, event)
    one, influence = _estimate(first, times, events, censoring)
    other, other_influence = _estimate(second, times, events, censoring)
    value, note = one.value - other.value, one.note
    std_err = float(np.sqrt(np.sum((influence - other_influence) ** 2)))
    half = float(ndtri(0.975)) * std_err
    p = float(2 * ndtr(-abs(value / std_err))) if std_err > 0 else math.nan
    if std_err == 0:
        note = "p not estimable: both scores order the patients alike"
    return ConcordanceDifference(
        f"difference of {one.method}",
        value,
        std_err,
        value - half,
        value + half,
        p,
        one,
        other,
        note,
    )


def weighted_c(
    risk: FloatArray, time: FloatArray, event: FloatArray, weights: FloatArray
) -> FloatArray:
    """Harrell's C in each weighted sample (samples,); NaN without a comparable pair.

    Equal to C among patients repeated by their weights (samples, n).
    """
    later = sums_over_later(time_order(risk, time, event, pair_within_time=True), weights)
    of_event = weights * event
    pairs = np.sum(of_event * later.total, axis=1)
    right = np.sum(of_event * (later.lower + later.tied / 2), axis=1)
    unknown = np.full(len(pairs), math.nan)
    return np.asarray(np.divide(right, pairs, out=unknown, where=pairs > 0))


def _estimate(
    risk: ArrayLike, times: FloatArray, events: FloatArray, censoring: Censoring | None
) -> tuple[Concordance, FloatArray]:
    """C, and its derivative by each patient's weight (n,)."""
    risks = patient_values(risk, len(times), "risk")
    places = time_order(risks, times, events, pair_within_time=censoring is None)
    weight, source, fault = _pair_weights(times, events, censoring)
    later = sums_over_later(places, np.ones((1, len(times))))
    earlier = sums_over_earlier(places, weight[None, :])
    right, total = (later.lower + later.tied / 2)[0], later.total[0]
    pairs = float(np.sum(weight * total))
    value, influence = math.nan, np.full(len(times), math.nan)
    if pairs == 0:
        fault = "not estimable: no comparable pair"
    elif not fault:
        value = float(np.sum(weight * right) / pairs)
        # As the earlier patient of a pair, and as the later one.
        first = weight * (right - value * total) / pairs
        last = earlier.higher + earlier.tied / 2 - value * earlier.total
        influence = first + last[0] / pairs
        if source == "validation":
            influence = influence + weight_influence(times, events, 2 * first)
    std_err = float(np.sqrt(np.sum(influence**2)))
    low, high = _limits(value, std_err)
    counted = weight > 0
    concordant, discordant, tied = (
        int(np.sum(side[0, counted])) for side in (later.lower, later.higher, later.tied)
    )
    return (
        Concordance(
            "Harrell's C" if censoring is None else "Uno's C",
            value,
            std_err,
            low,
            high,
            len(times),
            int(events.sum()),
            concordant,
            discordant,
            tied,
            _tied_times(times, events),
            math.inf if censoring is None else censoring.tau,
            source,
            fault,
        ),
        influence,
    )


def _limits(value: float, std_err: float) -> tuple[float, float]:
    if not 0 < value < 1:
        return math.nan, math.nan
    half = float(ndtri(0.975)) * std_err / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-half, half]))
    return float(low), float(high)


def _pair_weights(
    times: FloatArray, events: FloatArray, censoring: Censoring | None
) -> tuple[FloatArray, WeightSource, str]:
    """Weight of the pairs that each patient's event begins (n,), their source, and what fails."""
    if censoring is None:
        return events, "none", ""
    source: WeightSource = "validation"
    of = times, events
    if censoring.development is not None:
        source, of = "development", outcome_arrays(*censoring.development)
    uncensored = censoring_curve(*of, np.ones((1, len(of[0])))).before(times)[0]
    begins = events * (times < censoring.tau)
    if (uncensored[begins == 1] == 0).any():
        fault = f"not estimable: no {source} patient is uncensored until tau; choose an earlier tau"
        return begins, source, fault
    weight = np.divide(begins, uncensored**2, out=np.zeros_like(begins), where=begins == 1)
    return weight, source, ""


def _tied_times(times: FloatArray, events: FloatArray) -> int:
    together = np.unique(times[events == 1], return_counts=True)[1]
    return int(np.sum(together * (together - 1) // 2))
