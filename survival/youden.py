"""Youden's index of a score for the event by a horizon, under censoring."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cohorts.errors import DataError
from survival.outcome_arrays import outcome_arrays, patient_values
from survival.product_limit import censoring_curve
from survival.support import SUPPORT, Support


@dataclass(frozen=True)
class YoudenCut:
    """The cut of largest sensitivity plus specificity less 1 for the event by the horizon.

    Attributes
    ----------
    cut
        Score up to which patients are "low" (a score of the data).
    index, sensitivity, specificity
        At the cut, on the patients it was chosen on, and hence too high for others.
    """

    cut: float
    index: float
    sensitivity: float
    specificity: float
    horizon: float


def youden_cut(
    score: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon: float,
    support: Support = SUPPORT,
) -> YoudenCut:
    """Search the cut of largest Youden index; cases weighted by ``1 / G(T-)``.

    Sensitivity and specificity are Uno et al.'s 2007 (J Am Stat Assoc 102:527), as in R's
    `timeROC::timeROC`. Of equal indices the lowest cut is taken.

    Parameters
    ----------
    score, time, event
        Higher score for earlier events, time under observation, 1 for an event; each (n,).
    horizon
        In the unit of `time`.
    support
        What the horizon needs to be estimable.

    Raises
    ------
    DataError
        If the horizon is beyond what the patients support, or one side has no patient.
    """
    times, events = outcome_arrays(time, event)
    scores = patient_values(score, len(times), "score")
    curve = censoring_curve(times, events, np.ones((1, len(times))))
    fault = support.problem(times, horizon, float(curve.at(np.array([horizon]))[0, 0]))
    is_case, is_control = (times <= horizon) & (events == 1), times > horizon
    if not fault and not (is_case.any() and is_control.any()):
        fault = "no patient has, or none is without, the event by then"
    if fault:
        raise DataError(f"horizon {horizon:g}: {fault}; choose another horizon")
    before = curve.before(times)[0]
    weight = np.divide(1.0, before, out=np.zeros_like(before), where=is_case & (before > 0))
    cuts, place = np.unique(scores, return_inverse=True)
    up_to = np.cumsum(np.bincount(place, weights=weight))
    sensitivity = 1 - up_to / up_to[-1]
    specificity = np.cumsum(np.bincount(place, weights=is_control)) / is_control.sum()
    index = sensitivity + specificity - 1
    best = int(np.argmax(np.round(index, 12)))
    return YoudenCut(
        float(cuts[best]),
        float(index[best]),
        float(sensitivity[best]),
        float(specificity[best]),
        float(horizon),
    )
