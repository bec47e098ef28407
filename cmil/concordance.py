"""How well a risk orders patients by the time of their event."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import norm


@dataclass(frozen=True)
class Concordance:
    """Harrell's C with its 95% interval; all NaN where no pair is comparable."""

    value: float
    ci_low: float
    ci_high: float


def concordance(risk: ArrayLike, time: ArrayLike, event: ArrayLike) -> Concordance:
    """Share of comparable pairs in which the patient of higher risk has the event first.

    Harrell et al. 1996 (Stat Med 15:361): a pair is comparable if the shorter time ends with the
    event, or if at one time one has the event and the other is censored; equal risks count one
    half. The variance is the infinitesimal jackknife's. Equals R's
    `survival::concordance(Surv(time, event) ~ risk, reverse = TRUE)`. Limits are normal on the
    logit scale, as those of `survival.harrell_c`; 0 and 1 have no logit, and limits without width.

    Parameters
    ----------
    risk, time, event
        (n,) numbers; time under observation; 1 for an event.
    """
    placed, when = np.asarray(risk, dtype=float), np.asarray(time, dtype=float)
    seen = np.asarray(event) == 1
    later = (when[:, None] < when[None, :]) | ((when[:, None] == when[None, :]) & ~seen[None, :])
    comparable = seen[:, None] & later
    np.fill_diagonal(comparable, val=False)
    pairs = comparable.sum()
    if not pairs:
        return Concordance(math.nan, math.nan, math.nan)
    right = comparable * (np.sign(placed[:, None] - placed[None, :]) + 1) / 2
    value = float(right.sum() / pairs)
    # Derivative of the share by each patient's weight.
    of_patient = right.sum(axis=0) + right.sum(axis=1)
    all_of_patient = comparable.sum(axis=0) + comparable.sum(axis=1)
    influence = (of_patient - value * all_of_patient) / pairs
    if not 0 < value < 1:
        return Concordance(value, value, value)
    half = norm.ppf(0.975) * np.sqrt(np.sum(influence**2)) / (value * (1 - value))
    return Concordance(value, *(float(expit(logit(value) + d)) for d in (-half, half)))
