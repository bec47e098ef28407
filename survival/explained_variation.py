"""How much of the variation of survival a prognostic index explains: R2_D and Nagelkerke's R2."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from survival.outcome_arrays import outcome_arrays, patient_values
from survival.weighted_cox import fit_weighted_cox

_KAPPA = math.sqrt(8 / math.pi)


@dataclass(frozen=True)
class ExplainedVariation:
    """Royston & Sauerbrei's D and R2_D with 95% intervals, and Nagelkerke's R2; NaN with a note.

    Attributes
    ----------
    d, d_ci_low, d_ci_high
        Log hazard ratio between two groups of equal size split at the median of the index.
    r2_d, ci_low, ci_high
        R2_D, from D; the interval is that of D carried over.
    nagelkerke
        R2 of the Cox model on the index as it is.
    """

    method: str
    d: float
    d_ci_low: float
    d_ci_high: float
    r2_d: float
    ci_low: float
    ci_high: float
    nagelkerke: float
    n: int
    events: int
    note: str


def explained_variation(risk: ArrayLike, time: ArrayLike, event: ArrayLike) -> ExplainedVariation:
    """R2_D of Royston & Sauerbrei 2004 (Stat Med 23:723) and Nagelkerke's R2 for Cox models.

    D is the coefficient of the index's scaled normal scores (Blom), and
    ``R2_D = (D^2 / k^2) / (pi^2 / 6 + D^2 / k^2)`` with ``k^2 = 8 / pi``. Equals `D`, `R.D` and
    `R.N` of R's `survival::royston`.

    Parameters
    ----------
    risk, time, event
        Prognostic index, time under observation, 1 for an event; each (n,).
    """
    from scipy.stats import rankdata

    times, events = outcome_arrays(time, event)
    index = patient_values(risk, len(times), "risk")
    n, whole = len(times), np.ones((1, len(times)))
    scores = ndtri((rankdata(index) - 3 / 8) / (n + 1 / 4)) / _KAPPA
    by_scores = fit_weighted_cox(scores[:, None], times, events, whole)
    as_it_is = fit_weighted_cox(index[:, None], times, events, whole)
    d = float(by_scores.coefficients[0, 0])
    half = float(ndtri(0.975)) * math.sqrt(by_scores.covariance[0, 0, 0])
    null, fitted = float(as_it_is.null_log_likelihood[0]), float(as_it_is.log_likelihood[0])
    nagelkerke = math.nan
    if null:
        nagelkerke = math.expm1(2 * (null - fitted) / n) / math.expm1(2 * null / n)
    note = "not estimable: the likelihood has no maximum" if math.isnan(d) else ""
    return ExplainedVariation(
        "Royston & Sauerbrei 2004",
        d,
        d - half,
        d + half,
        _share(d),
        0.0 if abs(d) < half else _share(abs(d) - half),
        _share(abs(d) + half),
        nagelkerke,
        n,
        int(events.sum()),
        note,
    )


def _share(d: float) -> float:
    return (d / _KAPPA) ** 2 / (math.pi**2 / 6 + (d / _KAPPA) ** 2)
