"""Turn risks into probabilities of the event by a horizon."""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from cmil.calibration import SMALLEST_SLOPE, Calibration
from cmil.heads import Cox

# Per standard deviation of the risks; where they order the events perfectly there is no maximum.
_LARGEST_SLOPE = 20.0


def fit_hazard(risks: ArrayLike, time: ArrayLike, event: ArrayLike, horizon: float) -> Calibration:
    """Fit a Cox model with the risk as its one term, and its baseline hazard up to the horizon.

    The slope is that of R's `coxph(Surv(time, event) ~ risk)`, kept above 0.01 per standard
    deviation so that the score keeps the order of the risks; the intercept is the log of
    `basehaz(centered = FALSE)` (Breslow 1972) at the horizon.

    Parameters
    ----------
    risks, time, event
        (n,) out-of-fold risks; time under observation; 1 for an event, seen in at least one
        patient by the horizon.
    """
    x = np.asarray(risks, dtype=float)
    outcome = np.column_stack([np.asarray(time, dtype=float), np.asarray(event, dtype=float)])
    spread = x.std() if np.ptp(x) > 0 else 1.0
    z, known = torch.from_numpy((x - x.mean()) / spread)[:, None], torch.from_numpy(outcome)
    fit = minimize_scalar(
        lambda slope: float(Cox().loss(slope * z, known)),
        bounds=(SMALLEST_SLOPE, _LARGEST_SLOPE),
        method="bounded",
        options={"xatol": 1e-8},
    )
    slope = float(fit.x / spread)
    centre = float(x.mean())
    baseline = _baseline_hazard(slope * (x - centre), outcome, horizon)
    return Calibration(
        link="cumulative_hazard", slope=slope, intercept=math.log(baseline) - slope * centre
    )


def _baseline_hazard(
    linear: NDArray[np.float64], outcome: NDArray[np.float64], horizon: float
) -> float:
    """Breslow's cumulative hazard, by the horizon, of a patient whose linear predictor is 0."""
    time, event = outcome[:, 0], outcome[:, 1] == 1
    times = np.unique(time[event & (time <= horizon)])
    relative = np.exp(linear)
    return float(sum((event & (time == t)).sum() / relative[time >= t].sum() for t in times))
