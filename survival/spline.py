"""The score's hazard ratio as a smooth curve: restricted cubic splines in the Cox model."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtri

from cohorts.errors import SettingsError
from survival.cox_design import NotEstimableError
from survival.cox_model import ChiSquared, fit_cox, wald_test
from survival.partial_likelihood import Floats

# Harrell 2015, Regression Modeling Strategies, table 2.3.
_QUANTILES = {
    3: (0.1, 0.5, 0.9),
    4: (0.05, 0.35, 0.65, 0.95),
    5: (0.05, 0.275, 0.5, 0.725, 0.95),
}
_SMALL = 100
_Z = float(ndtri(0.975))
_CURVE_POINTS = 101


@dataclass(frozen=True)
class SplineEffect:
    """Hazard ratio of the score as a curve.

    Attributes
    ----------
    curve
        `score, hr, ci_low, ci_high` against `reference`, from the 1st to the 99th percentile of
        the score; 95 % Wald limits. Empty where not estimable.
    knots, reference
        Knots (k,), and the score whose hazard ratio is 1.
    association, non_linearity
        Wald tests that all spline coefficients, and that all but the linear one, are 0.
    n, events
        Patients and events.
    method, note
        What was fitted; and why there is no estimate, or empty.
    """

    curve: pd.DataFrame
    knots: Floats
    reference: float
    association: ChiSquared
    non_linearity: ChiSquared
    n: int
    events: int
    method: str
    note: str


def spline_effect(
    time: ArrayLike,
    event: ArrayLike,
    score: ArrayLike,
    covariates: pd.DataFrame | None = None,
    *,
    n_knots: int = 4,
    reference: float | None = None,
    entry: ArrayLike | None = None,
    strata: ArrayLike | None = None,
) -> SplineEffect:
    """Fit the score as a restricted cubic spline, and test whether a straight line would do.

    Equals R's `rms::cph(Surv(time, event) ~ rcs(score, n_knots) + covariates)` and its `anova`.

    Parameters
    ----------
    time, event, entry, strata
        As in `survival.cox_model.fit_cox` (n,).
    score
        Score of each patient (n,).
    covariates
        Columns to adjust for (n rows), without missing values.
    n_knots
        3, 4 or 5 knots at Harrell's quantiles.
    reference
        Score that others are compared with; the median by default.

    Raises
    ------
    SettingsError
        If there is no rule for that number of knots.
    """
    values = np.asarray(score, dtype=np.float64)
    middle = float(np.median(values)) if reference is None else reference
    knots = knots_at_quantiles(values, n_knots)
    events = int(np.sum(np.asarray(event, dtype=np.int64)))
    method = f"Cox, restricted cubic spline with {n_knots} knots, Wald"
    terms = [f"spline {i}" for i in range(1, n_knots)]
    try:
        _refuse_tied(knots)
        basis = pd.DataFrame(restricted_cubic_spline(values, knots), columns=terms)
        if covariates is not None:
            basis = pd.concat([basis, covariates.reset_index(drop=True)], axis=1)
        model = fit_cox(time, event, basis, entry=entry, strata=strata)
    except NotEstimableError as reason:
        none = ChiSquared(float("nan"), 0, float("nan"))
        empty = pd.DataFrame(columns=["score", "hr", "ci_low", "ci_high"])
        why = f"not estimable: {reason}"
        return SplineEffect(empty, knots, middle, none, none, len(values), events, method, why)
    k = len(terms)
    beta, variance = model.coefficients[:k], model.covariance[:k, :k]
    low, high = (float(limit) for limit in np.quantile(values, [0.01, 0.99]))
    grid = np.linspace(low, high, _CURVE_POINTS)
    away = restricted_cubic_spline(grid, knots) - restricted_cubic_spline(np.array([middle]), knots)
    log_hr = away @ beta
    error = np.sqrt(np.einsum("gi,ij,gj->g", away, variance, away))
    curve = pd.DataFrame(
        {
            "score": grid,
            "hr": np.exp(log_hr),
            "ci_low": np.exp(log_hr - _Z * error),
            "ci_high": np.exp(log_hr + _Z * error),
        }
    )
    return SplineEffect(
        curve=curve,
        knots=knots,
        reference=middle,
        association=wald_test(beta, variance),
        non_linearity=wald_test(beta[1:], variance[1:, 1:]),
        n=model.n,
        events=model.events,
        method=method,
        note="",
    )


def _refuse_tied(knots: Floats) -> None:
    if len(np.unique(knots)) < len(knots):
        raise NotEstimableError(f"the score has too few values for {len(knots)} knots")


def knots_at_quantiles(values: Floats, n_knots: int) -> Floats:
    """Place 3 to 5 knots at Harrell's quantiles; equals R's `Hmisc::rcspline.eval(knots.only)`.

    Below 100 values the outer knots are the 5th smallest and the 5th largest.

    Raises
    ------
    SettingsError
        If there is no rule for that number of knots.
    """
    if n_knots not in _QUANTILES:
        raise SettingsError(f"{n_knots} knots: give 3, 4 or 5")
    knots = np.quantile(values, _QUANTILES[n_knots])
    if len(values) < _SMALL and len(values) > 2 * n_knots:
        ordered = np.sort(values)
        knots[0], knots[-1] = ordered[4], ordered[-5]
    return knots


def restricted_cubic_spline(values: Floats, knots: Floats) -> Floats:
    """Basis of cubic splines that are linear beyond the outer knots (n, k - 1), the line first.

    Stone & Koo 1985; equals R's `Hmisc::rcspline.eval(inclx = TRUE, norm = 2)`.

    Parameters
    ----------
    values
        Points (n,).
    knots
        Increasing knots (k,), at least 3.
    """
    first, before, last = knots[0], knots[-2], knots[-1]

    def cube(knot: float) -> Floats:
        return np.maximum(values - knot, 0.0) ** 3

    curved = [
        cube(knot) + ((before - knot) * cube(last) - (last - knot) * cube(before)) / (last - before)
        for knot in knots[:-2]
    ]
    return np.column_stack([values, *(column / (last - first) ** 2 for column in curved)])
