"""Whether a predicted risk of the event by a horizon is what happens: groups, curve, measures."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtri

from cohorts.errors import DataError
from survival.outcome_arrays import outcome_arrays, probabilities
from survival.product_limit import (
    FloatArray,
    bootstrap_blocks,
    censoring_curve,
    event_curve,
    event_influence,
)
from survival.spline_basis import distinct_knots, restricted_cubic_spline
from survival.support import SUPPORT, Support
from survival.weighted_cox import fit_weighted_cox, risk_by

_MEASURES = ("ICI", "E50", "E90")
_GRID = 50
# Risks of exactly 0 and 1 have no complementary log-log.
_EDGE = 1e-8


@dataclass(frozen=True)
class SurvivalCalibration:
    """Predicted against observed risk by a horizon; limits are 95%.

    Attributes
    ----------
    groups
        By groups of equal size of the predicted risk: `group, n, events` (by the horizon),
        `predicted` (mean), `observed` (one less Kaplan-Meier), `ci_low, ci_high` (log-log),
        `note`.
    curve
        Smooth: `predicted`, from the 1st to the 99th percentile, `observed, ci_low, ci_high`.
    measures
        Indexed by measure, with `value, ci_low, ci_high, method`. `ICI`, `E50`, `E90`: mean,
        median and 90th percentile of the distance between predicted and smooth observed risk.
        They are never below 0 and chance adds to them, so that the interval of a well calibrated
        model may lie above its value.
        `slope` (1 is ideal, below it predictions are too extreme); `O:E` (1 is ideal, above it
        risk is underestimated).
    samples
        Bootstrap samples of the patients on which the band and the distances' intervals stand.
    """

    method: str
    horizon: float
    n: int
    events: int
    groups: pd.DataFrame
    curve: pd.DataFrame
    measures: pd.DataFrame
    samples: int
    note: str


def survival_calibration(
    risk: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    rng: np.random.Generator,
    groups: int = 5,
    samples: int = 500,
    support: Support = SUPPORT,
) -> SurvivalCalibration:
    """Calibrate predicted risks of the event by a horizon, from whatever model.

    The curve is of Austin, Harrell & van Klaveren 2020 (Stat Med 39:2714): a Cox model on a
    restricted cubic spline, with 3 knots at the 10th, 50th and 90th percentile, of the
    complementary log-log of the risk. The slope is the coefficient of that transformed risk alone
    (Wald interval). O:E is one less Kaplan-Meier over the mean risk (interval by Greenwood on the
    log scale; McLernon et al. 2023, Ann Intern Med 176:105).

    Parameters
    ----------
    risk
        Predicted probability of the event by the horizon (n,).
    time, event
        Time under observation, 1 for an event; each (n,).
    horizon
        In the unit of `time`.
    rng
        Source of the bootstrap samples.
    groups
        Number of groups of risk.
    samples
        Number of bootstrap samples.
    support
        What the horizon needs to be estimable.

    Raises
    ------
    DataError
        If a risk is no probability.
    """
    times, events = outcome_arrays(time, event)
    risks = probabilities(risk, len(times), "risk")
    if groups < 2:
        raise DataError(f"groups: {groups}; calibration needs at least 2 groups of risk")
    by_horizon = int(np.sum(events * (times <= horizon)))
    uncensored = censoring_curve(times, events, np.ones((1, len(times)))).at(np.array([horizon]))
    note = support.problem(times, horizon, float(uncensored[0, 0]))
    if not note and by_horizon == 0:
        note = "not estimable: no event by the horizon"
    curve, distances = _nothing()
    measures = pd.concat([distances, _unknown("slope"), _unknown("O:E")])
    if not note:
        curve, distances, note = _smooth(risks, times, events, horizon, rng, samples)
        slope = _slope(risks, times, events)
        ratio = _observed_to_expected(risks, times, events, horizon)
        measures = pd.concat([distances, slope, ratio])
    return SurvivalCalibration(
        "Cox model on a restricted cubic spline (3 knots) of cloglog(risk), percentile bootstrap",
        float(horizon),
        len(times),
        by_horizon,
        _grouped(risks, times, events, horizon, groups),
        curve,
        measures,
        samples,
        note,
    )


def _grouped(
    risk: FloatArray, time: FloatArray, event: FloatArray, horizon: float, groups: int
) -> pd.DataFrame:
    """Kaplan-Meier and mean risk of each group; equal risks share a group."""
    edges = np.unique(np.quantile(risk, np.linspace(0, 1, groups + 1)[1:-1]))
    place = np.searchsorted(edges, risk, side="left")
    lines = []
    for number, group in enumerate(np.unique(place), start=1):
        inside = place == group
        observed, low, high, note = _kaplan_meier_risk(time[inside], event[inside], horizon)
        lines.append(
            {
                "group": number,
                "n": int(inside.sum()),
                "events": int(np.sum(event[inside] * (time[inside] <= horizon))),
                "predicted": float(risk[inside].mean()),
                "observed": observed,
                "ci_low": low,
                "ci_high": high,
                "note": note,
            }
        )
    return pd.DataFrame(lines)


def _kaplan_meier_risk(
    time: FloatArray, event: FloatArray, horizon: float
) -> tuple[float, float, float, str]:
    """One less Kaplan-Meier at the horizon, with its log-log interval and a note."""
    curve = event_curve(time, event, np.ones((1, len(time))))
    survival = float(curve.at(np.array([horizon]))[0, 0])
    if time.max() < horizon and survival > 0:
        return math.nan, math.nan, math.nan, "not estimable: nobody is followed to the horizon"
    if not 0 < survival < 1:
        says = "no interval: no event by the horizon" if survival else "no interval: none left"
        return 1 - survival, math.nan, math.nan, says
    std_err = np.sqrt(np.sum(event_influence(time, event, np.array([horizon])) ** 2))
    width = ndtri(0.975) * std_err / (survival * abs(np.log(survival)))
    limits = 1 - survival ** np.exp(np.array([-width, width]))
    return 1 - survival, float(limits[0]), float(limits[1]), ""


def _smooth(
    risk: FloatArray,
    time: FloatArray,
    event: FloatArray,
    horizon: float,
    rng: np.random.Generator,
    samples: int,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Curve with its band, distances with their intervals, and a note."""
    transformed = _cloglog(risk)
    knots = distinct_knots(transformed, 3)
    basis = restricted_cubic_spline(transformed, knots)
    first, last = np.quantile(risk, [0.01, 0.99])
    grid = np.linspace(first, last, _GRID)
    wanted = np.concatenate([basis, restricted_cubic_spline(_cloglog(grid), knots)])

    def observed(weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        drawn = risk_by(fit_weighted_cox(basis, time, event, weights), wanted, horizon)
        return drawn[:, len(risk) :], _distances(np.abs(drawn[:, : len(risk)] - risk), weights)

    line, value = observed(np.ones((1, len(risk))))
    if np.isnan(line).any():
        curve, distances = _nothing()
        return curve, distances, "curve not estimable: the spline's likelihood has no maximum"
    draws = [observed(weights) for weights in bootstrap_blocks(len(risk), samples, rng, width=8)]
    lines, values = (np.concatenate(part) for part in zip(*draws, strict=True))
    kept = ~np.isnan(lines).any(axis=1)
    failed = int((~kept).sum())
    band, limits = np.full((2, _GRID), math.nan), np.full((2, len(_MEASURES)), math.nan)
    # Where most samples have no fit, the rest say nothing about the whole.
    if failed < samples / 2:
        band = np.percentile(lines[kept], [2.5, 97.5], axis=0)
        limits = np.percentile(values[kept], [2.5, 97.5], axis=0)
    curve = pd.DataFrame(
        {"predicted": grid, "observed": line[0], "ci_low": band[0], "ci_high": band[1]}
    )
    distances = pd.DataFrame(
        {
            "value": value[0],
            "ci_low": limits[0],
            "ci_high": limits[1],
            "method": "Austin et al. 2020, percentile bootstrap",
        },
        index=pd.Index(_MEASURES, name="measure"),
    )
    return curve, distances, f"{failed} of {samples} bootstrap samples without a fit" * bool(failed)


def _distances(distance: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted mean, median and 90th percentile in each sample (samples, 3)."""
    order = np.argsort(distance, axis=1)
    ordered = np.take_along_axis(distance, order, axis=1)
    shares = np.cumsum(np.take_along_axis(np.broadcast_to(weights, distance.shape), order, 1), 1)
    total = shares[:, -1:]
    columns = [np.sum(distance * weights, axis=1) / total[:, 0]]
    for level in (0.5, 0.9):
        place = np.sum(shares < level * total, axis=1, keepdims=True)
        columns.append(np.take_along_axis(ordered, place, axis=1)[:, 0])
    return np.stack(columns, axis=1)


def _slope(risk: FloatArray, time: FloatArray, event: FloatArray) -> pd.DataFrame:
    fit = fit_weighted_cox(_cloglog(risk)[:, None], time, event, np.ones((1, len(risk))))
    slope = float(fit.coefficients[0, 0])
    half = float(ndtri(0.975)) * math.sqrt(fit.covariance[0, 0, 0])
    return _line("slope", slope, slope - half, slope + half, "Cox on cloglog(risk), Wald")


def _observed_to_expected(
    risk: FloatArray, time: FloatArray, event: FloatArray, horizon: float
) -> pd.DataFrame:
    observed = _kaplan_meier_risk(time, event, horizon)[0]
    expected = float(risk.mean())
    std_err = np.sqrt(np.sum(event_influence(time, event, np.array([horizon])) ** 2))
    ratio = observed / expected if expected else math.nan
    spread = math.exp(float(ndtri(0.975) * std_err / observed))
    return _line("O:E", ratio, ratio / spread, ratio * spread, "Kaplan-Meier, log-normal")


def _line(name: str, value: float, low: float, high: float, method: str) -> pd.DataFrame:
    cells = {"value": [value], "ci_low": [low], "ci_high": [high], "method": [method]}
    return pd.DataFrame(cells, index=pd.Index([name], name="measure"))


def _nothing() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give a curve without rows and distances that are NaN."""
    empty = pd.DataFrame(columns=["predicted", "observed", "ci_low", "ci_high"], dtype=float)
    return empty, pd.concat([_unknown(name) for name in _MEASURES])


def _unknown(name: str) -> pd.DataFrame:
    return _line(name, math.nan, math.nan, math.nan, "")


def _cloglog(risk: FloatArray) -> FloatArray:
    return np.asarray(np.log(-np.log1p(-np.clip(risk, _EDGE, 1 - _EDGE))))
