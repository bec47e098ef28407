"""What is fixed before a stratum of an endpoint is looked at."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cohorts.endpoints import Endpoint, TimeUnit
from survival.cox import FEWEST_EVENTS
from survival.cutpoint import CutPoint, groups_of
from survival.product_limit import FloatArray, censoring_curve
from survival.settings import SurvivalSettings
from survival.study.risk_models import RiskModel
from survival.study.stratum import Stratum
from survival.support import SUPPORT

GROUP_LABELS: Final = {
    "low": "Low score",
    "intermediate": "Intermediate score",
    "high": "High score",
}
# Okabe & Ito 2008: told apart with every common colour blindness. A group has its own everywhere.
GROUP_COLOURS: Final = {"low": "#0072B2", "intermediate": "#009E73", "high": "#D55E00"}

_CLINICAL_TIMES: dict[TimeUnit, tuple[float, ...]] = {
    "days": (365, 730, 1095, 1825, 3650),
    "months": (12, 24, 36, 60, 120),
    "years": (1, 2, 3, 5, 10),
}
_TICK_STEPS: dict[TimeUnit, tuple[float, ...]] = {
    "days": (7, 30, 60, 90, 180, 365, 730, 1825),
    "months": (1, 2, 3, 6, 12, 24, 36, 60, 120),
    "years": (0.25, 0.5, 1, 2, 5, 10),
}
_MOST_TICKS = 7


@dataclass(frozen=True)
class Plan:
    """Of one endpoint: what is asked, and what comes from the development cohort.

    Attributes
    ----------
    name, endpoint
        The endpoint.
    cut
        The frozen cut-point.
    settings
        The study's.
    horizons, horizons_by
        Times at which predictions are judged, ascending, and who chose them.
    development
        Development patients with this endpoint; None where only external ones are at hand.
    models
        Cox models of the development patients, by which risks are predicted.
    """

    name: str
    endpoint: Endpoint
    cut: CutPoint
    settings: SurvivalSettings
    horizons: tuple[float, ...]
    horizons_by: str
    development: Stratum | None
    models: tuple[RiskModel, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Score groups, in the order of their scores."""
        return groups_of(self.cut)

    @property
    def no_model(self) -> str:
        """Why there is no predicted risk, or empty."""
        if self.models:
            return ""
        if self.endpoint.entry:
            return "not given: patients enter late, and weights by censoring take none for that"
        if self.endpoint.competing:
            return "not given: events compete, and a Cox model's risk takes them for censored"
        if self.development is None:
            return "not estimable: no development patient at hand to take a baseline hazard from"
        return "not estimable: too few development events, or no fit, for a baseline hazard"

    def title(self, stratum: Stratum) -> str:
        """Head a figure of one stratum."""
        return f"{self.name[:1].upper()}{self.name[1:]}: {stratum.name}"

    @property
    def rmst_until(self) -> float:
        """Time at which restricted means end."""
        return self.settings.rmst_until or self.horizons[-1]


def default_horizons(stratum: Stratum, unit: TimeUnit) -> tuple[tuple[float, ...], str]:
    """Choose the times at which predictions are judged, and say how.

    The last two of 1, 2, 3, 5 and 10 years by which at least 5 patients have had the event and at
    which at least 10 are at risk and 5% not yet censored; where there is none, the median of the
    event times, or of all times.
    """
    time = stratum.rows["time"].to_numpy(np.float64)
    event = stratum.rows["event"].to_numpy(np.float64)
    entered = np.zeros(len(time)) if stratum.entry is None else stratum.entry.to_numpy(np.float64)
    years = np.array(_CLINICAL_TIMES[unit], dtype=np.float64)
    uncensored = censoring_curve(time, event, np.ones((1, len(time)))).at(years)[0]
    supported = [
        float(moment)
        for moment, share in zip(years.tolist(), uncensored.tolist(), strict=True)
        if event[time <= moment].sum() >= FEWEST_EVENTS
        and not SUPPORT.problem(time[entered < moment], moment, share)
    ]
    whose = f"follow-up of {stratum.name}"
    if supported:
        return tuple(supported[-2:]), f"the last two of 1, 2, 3, 5, 10 years within the {whose}"
    of = time[event == 1] if event.any() else time
    return (float(np.median(of)),), f"median {'event ' if event.any() else ''}time, {whose}"


def ticks(longest: float, unit: TimeUnit) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Give times from 0 to the longest follow-up, in steps that clinicians read."""
    steps = _TICK_STEPS[unit]
    step = next((s for s in steps if longest / s < _MOST_TICKS), steps[-1])
    return np.arange(0, longest + step / 1e6, step, dtype=np.float64)


def evenly(until: float, count: int) -> FloatArray:
    """Give `count` evenly spaced times up to `until`, without 0."""
    return np.linspace(0, until, count + 1)[1:]
