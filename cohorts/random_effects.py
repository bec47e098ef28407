"""What several centres say together: random-effects meta-analysis of one estimate a centre."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import chi2, t

from cohorts.errors import DataError

METHOD = "random effects: REML, Hartung-Knapp"
_STEPS, _PRECISION = 500, 1e-12
_Z = float(ndtri(0.975))


@dataclass(frozen=True)
class RandomEffects:
    """Pooled estimate with its 95% intervals; NaN and a `note` where a number is not estimable.

    All on the scale the centres' estimates came in; `i2` is in percent. `adhoc_ci_low` and
    `adhoc_ci_high` are the Hartung-Knapp interval that is never narrower, but for t, than the one
    by inverse variances: its scale is at least 1. `weights` are percents in the order of the
    centres, 0 for one that was left out.
    """

    estimate: float
    se: float
    ci_low: float
    ci_high: float
    adhoc_ci_low: float
    adhoc_ci_high: float
    prediction_low: float
    prediction_high: float
    tau2: float
    tau2_ci_low: float
    tau2_ci_high: float
    i2: float
    q: float
    q_p: float
    centres: int
    weights: tuple[float, ...]
    method: str
    note: str


def pool(estimates: ArrayLike, variances: ArrayLike) -> RandomEffects:
    """Pool one estimate a centre by random effects, tau2 by REML, interval of Hartung and Knapp.

    The interval is t(k - 1) times the weighted residual standard error (Hartung & Knapp 2001, Stat
    Med 20:3875; Sidik & Jonkman 2002); equals metafor's `rma(yi, vi, test = "knha")`, and the ad
    hoc one `test = "adhoc"`. The prediction interval for the true value of a new centre is
    t(k - 2) * sqrt(tau2 + se^2) (Higgins et al. 2009, JRSS A 172:137, eq. 12), with the
    Hartung-Knapp error; equals `predict(fit, predtype = "Riley")`. Q, its test and I2 as
    `rma` gives them: I2 = tau2 / (tau2 + typical variance). The interval of tau2 is the Q profile
    (Viechtbauer 2007, Stat Med 26:37; `confint`).

    Parameters
    ----------
    estimates, variances
        (k,) a centre's estimate and its sampling variance; a centre whose estimate is not finite,
        or whose variance is not finite and above 0, is left out, and the note says how many.

    Raises
    ------
    DataError
        If there are not as many variances as estimates.
    """
    y, v = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if y.shape != v.shape or y.ndim != 1:
        raise DataError(f"{y.size} estimates and {v.size} variances; give one of each a centre")
    used = np.isfinite(y) & np.isfinite(v) & (v > 0)
    left_out = int((~used).sum())
    notes = [f"{left_out} of {len(y)} centres not estimable, left out"] if left_out else []
    y, v = y[used], v[used]
    if len(y) < 2:
        return _not_pooled(y, v, used, notes)

    k = len(y)
    tau2 = float(tau2_reml(y, v))
    mean, wald_se, scale = (float(part) for part in weighted_mean(y, v, tau2))
    se = wald_se * math.sqrt(scale)
    half = float(t.ppf(0.975, k - 1))
    adhoc = half * wald_se * math.sqrt(max(1.0, scale))
    spread = float(t.ppf(0.975, k - 2)) * math.sqrt(tau2 + se**2) if k > 2 else math.nan
    if k == 2:
        notes.append("two centres: interval has 1 degree of freedom, no prediction interval")
    if tau2 == 0 and scale < 1:
        notes.append("centres agree more than chance would have it: see the ad hoc interval")
    q = cochran_q(y, v)
    weights = np.zeros(len(used))
    weights[used] = 100 / (v + tau2) / np.sum(1 / (v + tau2))
    low, high = _q_profile(y, v)
    return RandomEffects(
        estimate=mean,
        se=se,
        ci_low=mean - half * se,
        ci_high=mean + half * se,
        adhoc_ci_low=mean - adhoc,
        adhoc_ci_high=mean + adhoc,
        prediction_low=mean - spread,
        prediction_high=mean + spread,
        tau2=tau2,
        tau2_ci_low=low,
        tau2_ci_high=high,
        i2=100 * tau2 / (tau2 + _typical_variance(v)),
        q=q,
        q_p=float(chi2.sf(q, k - 1)),
        centres=k,
        weights=tuple(weights.tolist()),
        method=METHOD,
        note="; ".join(notes),
    )


def adhoc_is_wider(pooled: Mapping[Any, Any]) -> bool:
    """Whether the ad hoc interval of a row of pooled numbers is wider by more than rounding."""
    own = pooled["ci_high"] - pooled["ci_low"]
    adhoc = pooled["adhoc_ci_high"] - pooled["adhoc_ci_low"]
    return bool(adhoc > own * (1 + 1e-9))


def leave_one_out(estimates: ArrayLike, variances: ArrayLike) -> pd.DataFrame:
    """Pool the centres without each in turn; equals metafor's `leave1out`, with `pool`'s intervals.

    Parameters
    ----------
    estimates, variances
        (k,) as for `pool`.

    Returns
    -------
    DataFrame
        One row a centre left out, in their order: `estimate, ci_low, ci_high, prediction_low,
        prediction_high, tau2, i2, centres, note`.

    Raises
    ------
    DataError
        If there are not as many variances as estimates.
    """
    y, v = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if y.shape != v.shape or y.ndim != 1:
        raise DataError(f"{y.size} estimates and {v.size} variances; give one of each a centre")
    columns = ["estimate", "ci_low", "ci_high", "prediction_low", "prediction_high"]
    columns += ["tau2", "i2", "centres", "note"]
    without = [pool(np.delete(y, i), np.delete(v, i)) for i in range(len(y))]
    return pd.DataFrame([[getattr(one, c) for c in columns] for one in without], columns=columns)


def tau2_reml(estimates: ArrayLike, variances: ArrayLike) -> NDArray[np.float64]:
    """Variance between centres by restricted maximum likelihood, at least 0.

    Fisher scoring from Hedges' estimate, as `metafor::rma(method = "REML")`; a step that lowers
    the restricted likelihood is halved (Viechtbauer 2005, J Educ Behav Stat 30:261, eq. 11). With
    few centres the likelihood may have two peaks: it is climbed from 0 and from the variance of
    the estimates also, and the highest peak is taken, where metafor stays on the first.

    Parameters
    ----------
    estimates, variances
        (..., k) meta-analyses of k >= 2 centres each.

    Returns
    -------
    (...)
    """
    y, v = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    spread = y.var(axis=-1, ddof=1)
    hedges = np.maximum(0.0, spread - v.mean(axis=-1))
    peaks, heights = _climb(y, v, np.stack([hedges, np.zeros_like(hedges), spread]))
    highest = heights.argmax(axis=0)[None]
    return np.asarray(np.take_along_axis(peaks, highest, axis=0)[0], dtype=float)


def _climb(
    y: NDArray[np.float64], v: NDArray[np.float64], tau2: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Climb the restricted likelihood from each start (s, ...): where its peak is, and how high."""
    unit = v.mean(axis=-1)
    likelihood = _restricted_likelihood(y, v, tau2)
    for _ in range(_STEPS):
        step = _fisher_step(y, v, tau2)
        proposed = np.maximum(0.0, tau2 + step)
        reached = _restricted_likelihood(y, v, proposed)
        for _ in range(50):
            worse = reached < likelihood
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
            proposed = np.maximum(0.0, tau2 + step)
            reached = _restricted_likelihood(y, v, proposed)
        proposed = np.where(reached < likelihood, tau2, proposed)
        moved = np.abs(proposed - tau2)
        tau2, likelihood = proposed, np.maximum(reached, likelihood)
        if np.all(moved <= _PRECISION * (unit + tau2)):
            break
    return tau2, likelihood


def tau2_dersimonian_laird(estimates: ArrayLike, variances: ArrayLike) -> NDArray[np.float64]:
    """Variance between centres by moments, at least 0, for comparison with older work.

    DerSimonian & Laird 1986 (Control Clin Trials 7:177); `metafor::rma(method = "DL")`.

    Parameters
    ----------
    estimates, variances
        (..., k) meta-analyses of k >= 2 centres each.
    """
    y, v = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    w = 1 / v
    mean = (w * y).sum(axis=-1, keepdims=True) / w.sum(axis=-1, keepdims=True)
    q = (w * (y - mean) ** 2).sum(axis=-1)
    excess = (q - (y.shape[-1] - 1)) / (w.sum(axis=-1) - (w**2).sum(axis=-1) / w.sum(axis=-1))
    return np.asarray(np.maximum(0.0, excess), dtype=float)


def weighted_mean(
    estimates: ArrayLike, variances: ArrayLike, tau2: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Weight centres by 1 / (variance + tau2).

    Parameters
    ----------
    estimates, variances
        (..., k).
    tau2
        (...).

    Returns
    -------
    mean, se, scale
        (...) the mean, its standard error by inverse variances, and the Hartung-Knapp scale: se^2
        times it is their variance of the mean.
    """
    y, v = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    w = 1 / (v + np.asarray(tau2, dtype=float)[..., None])
    total = w.sum(axis=-1)
    mean = (w * y).sum(axis=-1) / total
    scale = (w * (y - mean[..., None]) ** 2).sum(axis=-1) / (y.shape[-1] - 1)
    return mean, np.sqrt(1 / total), scale


def cochran_q(estimates: ArrayLike, variances: ArrayLike) -> float:
    """Cochran's Q of (k,) centres; chi-squared with k - 1 degrees where they do not differ."""
    y = np.asarray(estimates, dtype=float)
    return float(weighted_mean(y, variances, 0.0)[2]) * (len(y) - 1)


def _restricted_likelihood(
    y: NDArray[np.float64], v: NDArray[np.float64], tau2: NDArray[np.float64]
) -> NDArray[np.float64]:
    total = v + tau2[..., None]
    w = 1 / total
    mean = (w * y).sum(axis=-1, keepdims=True) / w.sum(axis=-1, keepdims=True)
    residual = (w * (y - mean) ** 2).sum(axis=-1)
    return np.asarray(
        -0.5 * (np.log(total).sum(axis=-1) + np.log(w.sum(axis=-1)) + residual), dtype=float
    )


def _fisher_step(
    y: NDArray[np.float64], v: NDArray[np.float64], tau2: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(y'PPy - tr P) / tr PP, with P = W - W 1 (1'W1)^-1 1'W."""
    w = 1 / (v + tau2[..., None])
    s1, s2, s3 = (np.sum(w**power, axis=-1) for power in (1, 2, 3))
    mean = (w * y).sum(axis=-1) / s1
    fitted = (w**2 * (y - mean[..., None]) ** 2).sum(axis=-1)
    return np.asarray((fitted - (s1 - s2 / s1)) / (s2 - 2 * s3 / s1 + (s2 / s1) ** 2), dtype=float)


def _typical_variance(v: NDArray[np.float64]) -> float:
    """Higgins & Thompson 2002 (Stat Med 21:1539), eq. 9."""
    w = 1 / v
    return float((len(v) - 1) / (w.sum() - (w**2).sum() / w.sum()))


def _q_profile(y: NDArray[np.float64], v: NDArray[np.float64]) -> tuple[float, float]:
    degrees = len(y) - 1

    def excess(tau2: float, limit: float) -> float:
        return float(weighted_mean(y, v, tau2)[2]) * degrees - limit

    def bound(probability: float) -> float:
        limit = float(chi2.ppf(probability, degrees))
        if excess(0.0, limit) <= 0:
            return 0.0
        upper = float(v.max() + y.var())
        while excess(upper, limit) > 0:
            upper *= 2
        return float(brentq(excess, 0.0, upper, args=(limit,), xtol=1e-12))

    return bound(0.975), bound(0.025)


def _not_pooled(
    y: NDArray[np.float64], v: NDArray[np.float64], used: NDArray[np.bool_], notes: list[str]
) -> RandomEffects:
    """One centre speaks for itself; of none nothing is known."""
    nan = math.nan
    estimate = float(y[0]) if len(y) else nan
    se = math.sqrt(v[0]) if len(y) else nan
    low, high = estimate - _Z * se, estimate + _Z * se
    notes = [*notes, "one centre: its own interval, nothing pooled" if len(y) else "no centre"]
    return RandomEffects(
        estimate=estimate,
        se=se,
        ci_low=low,
        ci_high=high,
        adhoc_ci_low=low,
        adhoc_ci_high=high,
        prediction_low=nan,
        prediction_high=nan,
        tau2=nan,
        tau2_ci_low=nan,
        tau2_ci_high=nan,
        i2=nan,
        q=nan,
        q_p=nan,
        centres=len(y),
        weights=tuple((100.0 * used).tolist()),
        method="one centre, Wald" if len(y) else METHOD,
        note="; ".join(notes),
    )
