"""The score's hazard ratio as a smooth curve: restricted cubic splines in the Cox model."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtri

from survival.cox_design import NotEstimableError
from survival.cox_model import ChiSquared, fit_cox, wald_test
from survival.partial_likelihood import Floats
from survival.spline_basis import knots_at_quantiles, restricted_cubic_spline

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
