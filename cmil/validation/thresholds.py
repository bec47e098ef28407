"""Thresholds: from score to decision, chosen once, on out-of-fold development scores."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cmil.validation.discrimination import roc_curve
from cohorts.errors import DataError, SettingsError


@dataclass(frozen=True)
class Cost:
    """What wrong decisions cost, in any unit, where the outcome has the given prevalence."""

    missed: float
    false_alarm: float
    prevalence: float

    def __post_init__(self) -> None:
        """Refuse costs that are not above 0, and a prevalence not between 0 and 1."""
        if not (self.missed > 0 and self.false_alarm > 0 and 0 < self.prevalence < 1):
            raise SettingsError(
                f"costs {self.missed} and {self.false_alarm} at prevalence {self.prevalence}: "
                "give costs above 0 and a prevalence between 0 and 1"
            )


def fit_thresholds(
    development: pd.DataFrame, sensitivity: float, specificity: float, cost: Cost
) -> dict[str, float]:
    """Choose a threshold by each rule, on development patients alone.

    Parameters
    ----------
    development
        Predictions, with columns `patient_id, split, score_kind, score, label`.
    sensitivity, specificity
        At least reached by the threshold named after it.
    cost
        Of wrong decisions, for the threshold of least expected cost.

    Returns
    -------
    dict
        Thresholds by name: `youden`, `sensitivity 0.95`, `specificity 0.95` and `cost`, for
        instance. A score of at least the threshold is positive.

    Raises
    ------
    DataError
        If a patient is not of the development cohort, a score not out-of-fold, or a class absent.
    """
    fitted = (development["split"] == "development") & (development["score_kind"] == "oof")
    if not fitted.all():
        patient = development.loc[~fitted, "patient_id"].iloc[0]
        raise DataError(
            f'patient "{patient}" has no out-of-fold development score; '
            "thresholds are chosen on these alone"
        )
    scores, labels = development["score"], development["label"]
    return {
        "youden": youden_threshold(scores, labels),
        f"sensitivity {sensitivity:g}": sensitivity_threshold(scores, labels, sensitivity),
        f"specificity {specificity:g}": specificity_threshold(scores, labels, specificity),
        "cost": cost_threshold(scores, labels, cost),
    }


def youden_threshold(scores: ArrayLike, labels: ArrayLike) -> float:
    """Choose the threshold with the largest sensitivity + specificity - 1 (Youden 1950).

    It lies midway between the scores it separates, as in `pROC::coords(x="best")`. Among equally
    good thresholds the lowest is taken: at equal Youden index it misses fewer metastases.

    Raises
    ------
    DataError
        If a class is absent.
    """
    curve = roc_curve(scores, labels)
    return _lowest_best(curve, (curve["sensitivity"] + curve["specificity"]).to_numpy())


def sensitivity_threshold(scores: ArrayLike, labels: ArrayLike, at_least: float) -> float:
    """Choose the highest threshold at which the sensitivity is at least as given.

    Raises
    ------
    DataError
        If a class is absent.
    SettingsError
        If the sensitivity is not above 0 and at most 1.
    """
    _check_share("sensitivity", at_least)
    curve = roc_curve(scores, labels)
    reached = curve["sensitivity"].to_numpy() >= at_least - 1e-12
    return _midway(curve, int(np.flatnonzero(reached)[0]))


def specificity_threshold(scores: ArrayLike, labels: ArrayLike, at_least: float) -> float:
    """Choose the lowest threshold at which the specificity is at least as given.

    Raises
    ------
    DataError
        If a class is absent.
    SettingsError
        If the specificity is not above 0 and at most 1.
    """
    _check_share("specificity", at_least)
    curve = roc_curve(scores, labels)
    reached = curve["specificity"].to_numpy() >= at_least - 1e-12
    return _midway(curve, int(np.flatnonzero(reached)[-1]))


def cost_threshold(scores: ArrayLike, labels: ArrayLike, cost: Cost) -> float:
    """Choose the threshold of least expected cost, the lowest among equals.

    The cost is missed * prevalence * (1 - sensitivity) + false_alarm * (1 - prevalence) *
    (1 - specificity) (Zweig & Campbell 1993, Clin Chem 39:561); of the thresholds that
    `pROC::coords("best", best.weights = c(missed / false_alarm, prevalence))` names, the lowest.

    Raises
    ------
    DataError
        If a class is absent.
    """
    curve = roc_curve(scores, labels)
    missed = cost.missed * cost.prevalence * curve["sensitivity"]
    spared = cost.false_alarm * (1 - cost.prevalence) * curve["specificity"]
    largest = cost.missed * cost.prevalence + cost.false_alarm * (1 - cost.prevalence)
    return _lowest_best(curve, ((missed + spared) / largest).to_numpy())


def _check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise SettingsError(f"{name} {value}: give one above 0 and at most 1")


def _lowest_best(curve: pd.DataFrame, worth: NDArray[np.float64]) -> float:
    best = np.flatnonzero(np.isclose(worth, worth.max(), rtol=0, atol=1e-12))
    return _midway(curve, int(best[-1]))


def _midway(curve: pd.DataFrame, point: int) -> float:
    """Give a threshold between the scores that a point of the ROC curve separates."""
    observed = curve["threshold"].to_numpy()
    below = observed[point + 1] if point + 1 < len(observed) else -math.inf
    above = observed[point]
    if math.isinf(above):
        return float(np.nextafter(below, math.inf))
    if math.isinf(below):
        return float(above)
    # Between neighbouring numbers there is no midway; the lower one must stay below.
    middle = float((above + below) / 2)
    return middle if middle > below else float(above)
