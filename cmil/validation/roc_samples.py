"""ROC curves of many bootstrap samples at once, from one sorting of the scores."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cohorts.errors import DataError, SettingsError

Focus = Literal["specificity", "sensitivity"]


@dataclass(frozen=True)
class RocSamples:
    """Empirical ROC curves of B weightings of the same patients.

    `sensitivity` and `false_positive` are (B, u + 1), from nobody called positive to everybody,
    with a point at each of the u distinct scores; `prevalence` is (B,).
    """

    sensitivity: NDArray[np.float64]
    false_positive: NDArray[np.float64]
    prevalence: NDArray[np.float64]


def roc_samples(scores: ArrayLike, labels: ArrayLike, weights: NDArray[np.float64]) -> RocSamples:
    """Trace the ROC curve of every sample.

    Parameters
    ----------
    scores, labels
        (n,) higher means more likely positive; 0 or 1.
    weights
        (B, n) as `patient_weights` gives them; ones for the patients themselves.

    Raises
    ------
    DataError
        If a class is absent.
    """
    placed, positive = np.asarray(scores, dtype=float), np.asarray(labels) == 1
    if positive.all() or not positive.any():
        raise DataError("a ROC curve needs both labels; one is absent")
    thresholds = np.unique(placed)[::-1]
    cases = _called(placed[positive], weights[:, positive], thresholds)
    controls = _called(placed[~positive], weights[:, ~positive], thresholds)
    prevalence = cases[:, -1] / weights.shape[1]
    with np.errstate(invalid="ignore"):  # a sample without a class has no curve: NaN
        return RocSamples(cases / cases[:, -1:], controls / controls[:, -1:], prevalence)


def _called(
    placed: NDArray[np.float64], weights: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Count who is called positive, first with no threshold at all, then at each; (B, u + 1)."""
    order = np.argsort(-placed, kind="stable")
    sums = np.zeros((len(weights), len(placed) + 1))
    np.cumsum(weights[:, order], axis=1, out=sums[:, 1:])
    reached = np.searchsorted(-placed[order], -thresholds, side="right")
    return np.asarray(sums[:, np.append(0, reached)])


def area(roc: RocSamples) -> NDArray[np.float64]:
    """Area under each curve, (B,): the Mann-Whitney statistic, ties counting one half."""
    height = (roc.sensitivity[:, 1:] + roc.sensitivity[:, :-1]) / 2
    return np.asarray((np.diff(roc.false_positive, axis=1) * height).sum(axis=1))


def average_precision(roc: RocSamples) -> NDArray[np.float64]:
    """Precision averaged over the cases, (B,): sum of (R_k - R_k-1) P_k.

    Equals `sklearn.metrics.average_precision_score`. Chance is the prevalence.
    """
    true = roc.sensitivity[:, 1:] * roc.prevalence[:, None]
    called = true + roc.false_positive[:, 1:] * (1 - roc.prevalence[:, None])
    precision = np.divide(true, called, out=np.zeros_like(true), where=called > 0)
    return np.asarray((np.diff(roc.sensitivity, axis=1) * precision).sum(axis=1))


def partial_area(roc: RocSamples, low: float, high: float, focus: Focus) -> NDArray[np.float64]:
    """Area under each curve where specificity, or sensitivity, lies from `low` to `high`, (B,).

    Between points the curve is straight. Equals
    `pROC::auc(partial.auc = c(high, low), partial.auc.focus = focus)`.

    Raises
    ------
    SettingsError
        If not 0 <= low < high <= 1.
    """
    if not 0 <= low < high <= 1:
        raise SettingsError(f"partial AUC from {low} to {high}: give 0 <= low < high <= 1")
    if focus == "specificity":
        x, y = roc.false_positive, roc.sensitivity
    else:  # the same from the other corner: specificity above the share of cases missed
        x, y = 1 - roc.sensitivity[:, ::-1], 1 - roc.false_positive[:, ::-1]
    start, end = 1 - high, 1 - low
    left, right = x[:, :-1], x[:, 1:]
    width = right - left
    rise = np.divide(np.diff(y, axis=1), width, out=np.zeros_like(width), where=width > 0)
    inner_left, inner_right = np.clip(left, start, end), np.clip(right, start, end)
    middle = y[:, :-1] + rise * ((inner_left + inner_right) / 2 - left)
    return np.asarray(((inner_right - inner_left) * middle).sum(axis=1))


def mcclish(partial: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Rescale partial areas so that 0.5 is chance and 1 perfect; NaN where below chance.

    McClish 1989 (Med Decis Making 9:190); `pROC::auc(partial.auc.correct = TRUE)`.
    """
    chance = ((1 - low) ** 2 - (1 - high) ** 2) / 2
    corrected = (1 + (partial - chance) / (high - low - chance)) / 2
    return np.where(partial < chance - 1e-12, np.nan, corrected)
