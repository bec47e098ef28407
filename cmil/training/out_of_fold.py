"""What the out-of-fold logits decide: calibration, threshold, and how well the models do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cmil.bundle import OutOfFold
from cmil.calibration import Calibration, fit_platt, fit_softmax
from cmil.concordance import concordance
from cmil.hazard_calibration import fit_hazard
from cmil.heads import Head
from cmil.training.fits import Fit, FitResult
from cmil.validation import cohort_auc
from cmil.validation.discrimination import auc_delong
from cmil.validation.thresholds import youden_threshold


@dataclass(frozen=True)
class FrozenScore:
    """How a logit becomes a score and a decision, and what that reached out of fold."""

    calibration: Calibration
    threshold: float
    threshold_method: str
    reached: OutOfFold


def freeze_score(
    fits: Sequence[Fit],
    heads: Sequence[Head],
    results: Sequence[FitResult],
    truth: pd.DataFrame,
    centres: pd.Series,
    seed: int,
) -> FrozenScore:
    """Calibrate and choose the threshold on logits of models that have not seen the patient.

    With several repeats, a patient's logit is the mean over the repeats' models.

    Parameters
    ----------
    fits, heads, results
        Of every model.
    truth
        Of all patients, as `truth_of` gives it.
    centres
        Centre of each patient, for the bootstrap of few patients.
    seed
        Of the study.
    """
    settings = fits[0].settings
    classes = heads[0].outputs if settings.task == "classes" else 2
    logits = _mean_of_repeats(fits, [result.logits for result in results], truth.index)
    of_models = [head.rank(result.logits) for head, result in zip(heads, results, strict=True)]
    ranks = _mean_of_repeats(fits, of_models, truth.index)
    method: str = settings.threshold
    match settings.task:
        case "binary":
            calibration = fit_platt(ranks, truth["label"])
            scores = calibration(ranks)
        case "classes":
            ranks = heads[0].rank(logits)
            calibration = fit_softmax(logits, truth["label"])
            scores = calibration(logits)[:, -1]
        case "survival":
            calibration = fit_hazard(ranks, truth["time"], truth["event"], settings.horizon)
            scores = calibration(ranks)
            method = "median"  # no label to be right or wrong about, and no search over outcomes
    positive = _positive(truth, classes)
    threshold = (
        float(np.median(scores)) if method == "median" else youden_threshold(scores, positive)
    )
    folds = [
        _measured(of_model, truth.loc[list(fit.held_out)], classes)
        for fit, of_model in zip(fits, of_models, strict=True)
    ]
    low, high = _limits(ranks, truth, positive, centres, seed)
    measures = {"binary": "AUC", "classes": "AUC of the last class", "survival": "concordance"}
    reached = OutOfFold(
        measure=measures[settings.task],
        patients=len(truth),
        positives=int(positive.sum()),
        auc=_measured(ranks, truth, classes),
        auc_ci_low=None if math.isnan(low) else low,
        auc_ci_high=None if math.isnan(high) else high,
        auc_of_folds=tuple(None if math.isnan(fold) else fold for fold in folds),
    )
    return FrozenScore(calibration, threshold, method, reached)


def _mean_of_repeats(
    fits: Sequence[Fit], values: Sequence[NDArray[np.float64]], patients: pd.Index
) -> NDArray[np.float64]:
    """Mean over the models that have not seen a patient, in the patients' order."""
    row = {patient: number for number, patient in enumerate(patients)}
    total = np.zeros((len(patients), *values[0].shape[1:]))
    models = np.zeros(len(patients))
    for fit, of_model in zip(fits, values, strict=True):
        rows = [row[patient] for patient in fit.held_out]
        total[rows] += of_model
        models[rows] += 1
    return total / models.reshape(-1, *[1] * (total.ndim - 1))


def _positive(truth: pd.DataFrame, classes: int) -> NDArray[np.bool_]:
    """Tell who has label 1, is of the last class, or has the event."""
    return np.asarray(truth.iloc[:, -1] == classes - 1)


def _measured(ranks: NDArray[np.float64], truth: pd.DataFrame, classes: int) -> float:
    """AUC or concordance; NaN where there is nothing to tell apart."""
    if "time" in truth:
        return concordance(ranks, truth["time"], truth["event"]).value
    positive = _positive(truth, classes)
    if positive.all() or not positive.any():
        return math.nan
    return auc_delong(ranks, positive).value


def _limits(
    ranks: NDArray[np.float64],
    truth: pd.DataFrame,
    positive: NDArray[np.bool_],
    centres: pd.Series,
    seed: int,
) -> tuple[float, float]:
    """Limits of the AUC, those of the validation; or of the concordance."""
    if "time" in truth:
        reached = concordance(ranks, truth["time"], truth["event"])
        return reached.ci_low, reached.ci_high
    patients = pd.DataFrame(
        {
            "patient_id": truth.index,
            "centre": centres.loc[truth.index].to_numpy(),
            "score": ranks,
            "label": positive.astype(int),
        }
    )
    auc = cohort_auc(patients, np.random.SeedSequence(seed))
    return auc.ci_low, auc.ci_high
