"""Restricted mean survival time of groups, with its difference and ratios."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from cohorts.errors import DataError, SettingsError
from survival.curves import curve_of
from survival.follow_up import follow_up, group_names

METHOD = "area under the Kaplan-Meier curve, as survRM2"

_Z = float(ndtri(0.975))


@dataclass(frozen=True)
class RestrictedMean:
    """Restricted mean survival time up to tau, and what sets groups apart.

    Attributes
    ----------
    tau, tau_source
        Time at which the curves are cut, and who chose it.
    groups
        `group, n, events` (up to tau), `rmst, std_err, rmst_ci_low, rmst_ci_high` and the time
        lost, `rmtl, rmtl_ci_low, rmtl_ci_high`, whose standard error is the same; 95 % limits.
        NaN with a `note` where a group is not observed up to tau.
    contrasts
        `group, reference, measure, estimate, ci_low, ci_high, p, note`, where the measure is
        "RMST difference", "RMST ratio" or "RMTL ratio"; NaN and a note where not estimable.
    method
        Name of the method.
    """

    tau: float
    tau_source: str
    groups: pd.DataFrame
    contrasts: pd.DataFrame
    method: str = METHOD


class _Mean(NamedTuple):
    group: Any
    rmst: float
    std_err: float
    note: str


def restricted_mean(
    time: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    *,
    tau: float | None = None,
    reference: Any = None,
) -> RestrictedMean:
    """Compare groups by the time their patients survive on average up to tau.

    Equals `rmst2` of R's survRM2 (Uno et al. 2014, J Clin Oncol 32:2380) without covariates: the
    area under each Kaplan-Meier curve, its Greenwood-type variance, normal limits of the difference
    and of the logarithms of the ratios. Needs no proportional hazards.

    Parameters
    ----------
    time, event, group
        Time under observation, 1 for an event, and group of each patient (n,).
    tau
        Pre-specified time. None takes the smallest over groups of the largest time, which the data
        decide, and says so.
    reference
        Group that the others are compared with; None is the first.

    Raises
    ------
    SettingsError
        If tau is not above 0, or no group is called `reference`.
    """
    data, groups = follow_up(time, event), np.asarray(group)
    names = group_names(group)
    base = names[0] if reference is None else reference
    if base not in names:
        raise SettingsError(
            f"reference: no group {base!r}; name one of {', '.join(map(str, names))}"
        )
    curves = {name: curve_of(data.of(groups == name)) for name in names}
    cut, source = _tau(curves, tau)
    means = {name: _mean(name, curve, cut) for name, curve in curves.items()}
    table = pd.DataFrame([_restrict(means[name], curves[name], cut) for name in names])
    others = [means[name] for name in names if name != base]
    contrasts = [line for mean in others for line in _contrasts(mean, means[base], cut)]
    columns = ["group", "reference", "measure", "estimate", "ci_low", "ci_high", "p", "note"]
    return RestrictedMean(cut, source, table, pd.DataFrame(contrasts, columns=columns))


def restricted_area(curve: pd.DataFrame, tau: float) -> tuple[float, float]:
    """Area under a Kaplan-Meier curve up to tau, and its standard error.

    The variance sums, over event times t, the squared area from t to tau times d / (n (n - d)).
    lifelines' variance is that of min(T, tau), another quantity.

    Parameters
    ----------
    curve
        Of `survival.curves.kaplan_meier`, from time 0 and at least up to tau.
    tau
        Time, greater than 0.
    """
    steps = int(np.searchsorted(curve["time"].to_numpy(), tau))
    columns = ("time", "survival", "n_risk", "n_event")
    time, survival, n, deaths = (curve[name].to_numpy()[:steps] for name in columns)
    areas = np.diff(np.append(time, tau)) * survival
    beyond: NDArray[np.float64] = areas[::-1].cumsum()[::-1]
    # Where all at risk die the area beyond is 0, and so is their part of the variance.
    variance = np.divide(deaths, n * (n - deaths), out=np.zeros(len(n)), where=n > deaths)
    return float(areas.sum()), float(np.sqrt(np.sum(beyond**2 * variance)))


def _tau(curves: dict[Any, pd.DataFrame], tau: float | None) -> tuple[float, str]:
    last = {name: float(curve["time"].iloc[-1]) for name, curve in curves.items()}
    if tau is None:
        cut = min(last.values())
        if cut <= 0:
            raise DataError("time: a group has no time above 0; its restricted mean is not defined")
        return cut, "the smallest over groups of the largest time; not pre-specified"
    if not 0 < tau < np.inf:
        raise SettingsError(f"tau: {tau:g} is no time above 0; give one within the follow-up")
    return tau, "pre-specified"


def _mean(name: Any, curve: pd.DataFrame, tau: float) -> _Mean:
    last = curve["time"].iloc[-1]
    # A curve that has reached 0 stays there.
    if tau > last and curve["survival"].iloc[-1] > 0:
        reason = f"not estimable: {name} is observed up to {last:g} only, before tau"
        return _Mean(name, float("nan"), float("nan"), reason)
    return _Mean(name, *restricted_area(curve, tau), "")


def _restrict(mean: _Mean, curve: pd.DataFrame, tau: float) -> dict[str, Any]:
    half = _Z * mean.std_err
    lost = tau - mean.rmst
    return {
        "group": mean.group,
        "n": int(curve["n_risk"].iloc[0]),
        "events": int(curve["n_event"].to_numpy()[curve["time"].to_numpy() <= tau].sum()),
        "rmst": mean.rmst,
        "std_err": mean.std_err,
        "rmst_ci_low": mean.rmst - half,
        "rmst_ci_high": mean.rmst + half,
        "rmtl": lost,
        "rmtl_ci_low": lost - half,
        "rmtl_ci_high": lost + half,
        "note": mean.note,
    }


def _contrasts(mean: _Mean, base: _Mean, tau: float) -> list[tuple[Any, ...]]:
    pair = (mean.group, base.group)
    errors = mean.std_err, base.std_err
    note = mean.note or base.note
    if min(errors) == 0:
        certain = " and ".join(str(m.group) for m in (base, mean) if m.std_err == 0)
        note = f"limits too narrow: standard error of {certain} is 0, as without event before tau"
    difference = mean.rmst - base.rmst
    lines = [(*pair, "RMST difference", *_normal(difference, float(np.hypot(*errors))), note)]
    ratios = {"RMST": (mean.rmst, base.rmst), "RMTL": (tau - mean.rmst, tau - base.rmst)}
    for name, (above, below) in ratios.items():
        if above <= 0 or below <= 0:
            reason = f"not estimable: {name} of a group is 0"
            lines.append((*pair, f"{name} ratio", *(float("nan"),) * 4, reason))
            continue
        log_error = float(np.hypot(errors[0] / above, errors[1] / below))
        log_ratio, low, high, p = _normal(float(np.log(above / below)), log_error)
        ratio = tuple(np.exp([log_ratio, low, high]).tolist())
        lines.append((*pair, f"{name} ratio", *ratio, p, note))
    return lines


def _normal(estimate: float, error: float) -> tuple[float, float, float, float]:
    """Estimate, its normal limits, and p value."""
    if error == 0:
        return estimate, *(float("nan"),) * 3
    p = float(2 * ndtr(-abs(estimate) / error))
    return estimate, estimate - _Z * error, estimate + _Z * error, p
