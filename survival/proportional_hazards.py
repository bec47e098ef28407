"""Whether hazards are proportional: the exact score test, and the residuals that show it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from survival.cox_model import CoxModel, chi_squared
from survival.partial_likelihood import Floats, risk_set_covariances, risk_sets
from survival.spline_basis import restricted_cubic_spline

Transform = Literal["km", "identity", "log", "rank"]

_Z = float(ndtri(0.975))
_SMOOTH_POINTS = 40


@dataclass(frozen=True)
class ProportionalHazards:
    """Score test of proportional hazards, and what its plot shows.

    Attributes
    ----------
    table
        `term, chi2, df, p`, one row a term and "GLOBAL" last.
    residuals
        `time, transformed_time` and a column for each term: scaled Schoenfeld residuals plus the
        coefficient, one row an event. Their mean over time estimates the log hazard ratio then.
    smooth
        `term, time, log_hr, ci_low, ci_high`: natural spline of 4 degrees of freedom through
        them, 95 % pointwise.
    transform
        How time was transformed for the test.
    method
        Name of the test.
    """

    table: pd.DataFrame
    residuals: pd.DataFrame
    smooth: pd.DataFrame
    transform: Transform
    method: str


def proportional_hazards_test(model: CoxModel, transform: Transform = "km") -> ProportionalHazards:
    """Test each coefficient against a trend with transformed time.

    Equals R's `cox.zph(coxph)` of survival 3 and later: the exact score test for adding the
    products of covariate and transformed time (Grambsch & Therneau 1994, Biometrika 81:515,
    without their approximation that the covariance of risk sets is constant).

    Parameters
    ----------
    model
        A model of `survival.cox_model.fit_cox`.
    transform
        "km" is 1 - Kaplan-Meier just before the time, R's default.
    """
    sets, at = model.sets, model.at_maximum()
    scaled = _transform(model, transform)[sets.deaths]
    trend = scaled - scaled.mean()
    weight = sets.weight[sets.deaths]
    tied = np.diff(sets.time_start, append=len(sets.deaths))
    mean = np.add.reduceat(at.mean, sets.time_start) / tied[:, None]
    schoenfeld = model.x[sets.deaths] - mean[sets.death_time]

    spread = sets.term_weight[:, None, None] * risk_set_covariances(sets, model.x, at)
    plain = spread.sum(axis=0)
    mixed = np.tensordot(trend, spread, axes=1)
    double = np.tensordot(trend**2, spread, axes=1)
    # What the trend's score still varies by when the coefficients are fitted.
    left = double - mixed @ np.linalg.solve(plain, mixed)
    score = (weight * trend) @ schoenfeld
    singles = score**2 / np.diag(left)
    statistics = [*singles, float(score @ np.linalg.solve(left, score))]
    degrees = [1] * len(singles) + [len(singles)]
    tests = [chi_squared(float(s), df) for s, df in zip(statistics, degrees, strict=True)]
    table = pd.DataFrame(tests).assign(term=[*model.terms, "GLOBAL"])

    average = plain / len(sets.deaths)
    effects = schoenfeld @ np.linalg.inv(average) + model.coefficients
    time = sets.time[sets.deaths]
    residuals = pd.DataFrame(effects, columns=list(model.terms))
    residuals.insert(0, "transformed_time", scaled)
    residuals.insert(0, "time", time)
    return ProportionalHazards(
        table=table[["term", "chi2", "df", "p"]],
        residuals=residuals.sort_values("time", kind="stable", ignore_index=True),
        smooth=_smooth(model, scaled, time, effects, np.diag(np.linalg.inv(average))),
        transform=transform,
        method=f"score test of the trend with time, transform {transform} (cox.zph)",
    )


def _transform(model: CoxModel, transform: Transform) -> Floats:
    """Transform the time of each sorted row (n,)."""
    time = model.sets.time
    if transform == "identity":
        return time
    if transform == "log":
        return np.log(time)
    if transform == "rank":
        from scipy.stats import rankdata

        return np.asarray(rankdata(time), dtype=np.float64)
    late = np.isfinite(model.sets.entry).all()
    sets = risk_sets(time, model.sets.event, model.sets.entry if late else None)
    at_risk = sets.last - sets.first - (sets.entry_last - sets.entry_first if late else 0)
    dying = np.diff(sets.time_start, append=len(sets.deaths))
    survival = np.concatenate([[1.0], np.cumprod(1 - dying / at_risk)])
    return 1 - survival[np.searchsorted(sets.event_time, time, side="left")]


def _smooth(
    model: CoxModel, scaled: Floats, time: Floats, effects: Floats, variance: Floats
) -> pd.DataFrame:
    """Natural spline of 4 degrees of freedom through the residuals, as R's `plot.cox.zph`."""
    knots = np.quantile(scaled, [0, 1 / 3, 2 / 3, 1])
    columns = ["term", "time", "log_hr", "ci_low", "ci_high"]
    if len(np.unique(knots)) < len(knots) or len(np.unique(scaled)) <= len(knots):
        return pd.DataFrame(columns=columns)
    grid = np.linspace(scaled.min(), scaled.max(), _SMOOTH_POINTS)
    order = np.argsort(scaled, kind="stable")

    def basis(values: Floats) -> Floats:
        return np.column_stack([np.ones(len(values)), restricted_cubic_spline(values, knots)])

    q, r = np.linalg.qr(basis(scaled))
    weights = np.linalg.solve(r.T, basis(grid).T).T
    fitted = weights @ (q.T @ effects)
    error = np.sqrt(np.sum(weights**2, axis=1)[:, None] * variance)
    parts = [
        pd.DataFrame(
            {
                "term": term,
                "time": np.interp(grid, scaled[order], time[order]),
                "log_hr": fitted[:, j],
                "ci_low": fitted[:, j] - _Z * error[:, j],
                "ci_high": fitted[:, j] + _Z * error[:, j],
            }
        )
        for j, term in enumerate(model.terms)
    ]
    return pd.concat(parts, ignore_index=True)[columns]
