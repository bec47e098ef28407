"""`cmil recalibrate`: what recalibration at an external centre would do, beside the locked score.

The locked score and decision stay as they are; nothing of this is read by any other step.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from cmil.prediction import read_predictions
from cmil.protocol.log import LOG, append_entry
from cmil.protocol.opening import RECALIBRATION, opened_scores, read_opening
from cmil.study import refuse_other_task
from cmil.validation import cohorts_of
from cmil.validation.calibration_curve import logits_of
from cmil.validation.calibration_measures import brier_score
from cmil.validation.discrimination import FEWEST
from cmil.validation.estimate import Z
from cmil.validation.logistic import fit_logistic
from cohorts.files import write_text

COLUMNS = [
    *("cohort", "recalibration", "patients", "positives"),
    *("intercept", "intercept_ci_low", "intercept_ci_high"),
    *("slope", "slope_ci_low", "slope_ci_high", "mean_score", "observed"),
    *("brier", "brier_ci_low", "brier_ci_high", "note"),
]


class Line(NamedTuple):
    """From the locked logit to the recalibrated: intercept + slope * logit, with its covariance."""

    intercept: float
    slope: float
    covariance: NDArray[np.float64]


def recalibrate_external(model: Path, out: Path) -> pd.DataFrame:
    """Recalibrate on each centre of a validation in `out`, write the table, and log it.

    Returns
    -------
    What is in `validation/recalibration.csv`, as `recalibration` gives it.

    Raises
    ------
    FileFormatError, DataError
        If lock, log or scores are not those of the validation.
    SettingsError
        If the model is not of a binary label.
    """
    lock, opening = read_opening(model, out)
    refuse_other_task(lock.settings["mil"]["task"], "recalibrate")
    table = recalibration(read_predictions(opened_scores(opening)))
    append_entry(
        model / LOG,
        action="recalibrate",
        lock=lock.digest,
        cohort=opening["cohort"],
        centres=opening["centres"],
        scores=opening["scores"],
    )
    write_text(out / "validation" / RECALIBRATION, table.to_csv(index=False))
    return table


def recalibration(predictions: pd.DataFrame) -> pd.DataFrame:
    """Fit intercept-only and logistic recalibration to each external centre, and to all.

    Steyerberg et al. 2004 (Stat Med 23:2567), methods 2 and 3: `glm(label ~ offset(logit))` and
    `glm(label ~ logit)`, of the logit of the locked score. Limits are Wald's, 95%. The Brier score
    of a fit is that of the patients it was fitted to, hence too good.

    Parameters
    ----------
    predictions
        External patients: `centre, split, score_kind, score, label`.

    Returns
    -------
    DataFrame
        Three rows a cohort, of `recalibration` "none (locked)", "intercept" and "logistic":
        with `COLUMNS`: intercept and slope with limits where they were fitted; `observed`, the
        share of label 1; limits of `brier` as in `brier_score`; `note` says why a
        row is empty.
    """
    rows = []
    for cohort, group in cohorts_of(predictions):
        score = group["score"].to_numpy(dtype=float)
        label = np.where(group["label"] == 1, 1.0, 0.0)
        known = {"patients": len(group), "positives": int(label.sum()), "observed": label.mean()}
        for name in ("none (locked)", "intercept", "logistic"):
            row = {"cohort": cohort, "recalibration": name, **known}
            rows.append({**row, **_described(name, score, label)})
    return pd.DataFrame(rows, columns=COLUMNS)


def fit_line(scores: ArrayLike, labels: ArrayLike, *, slope: bool) -> Line | None:
    """Fit label ~ intercept + slope * logit(score) by maximum likelihood; None where it has none.

    Parameters
    ----------
    scores, labels
        (n,) probabilities; 0 or 1.
    slope
        Fit it too; otherwise it is 1.
    """
    x = logits_of(scores)
    design = np.column_stack([np.ones(len(x)), x]) if slope else np.ones((len(x), 1))
    found = fit_logistic(design, labels, offset=None if slope else x)
    beta, covariance = found.coefficients[0], found.covariance[0]
    if not np.isfinite(beta).all():
        return None
    return Line(float(beta[0]), float(beta[1]) if slope else 1.0, covariance)


def _described(
    name: str, score: NDArray[np.float64], label: NDArray[np.float64]
) -> dict[str, object]:
    if name == "none (locked)":
        return {**_measured(score, label), "note": ""}
    fewest = int(min(label.sum(), len(label) - label.sum()))
    if fewest < FEWEST:
        return {"note": f"{fewest} patients of a label, fewer than {FEWEST}: not estimable"}
    line = fit_line(score, label, slope=name == "logistic")
    if line is None:
        return {"note": "scores separate the labels or do not vary: not estimable"}
    found = {**_with_limits("intercept", line.intercept, line.covariance[0, 0])}
    if name == "logistic":
        found |= _with_limits("slope", line.slope, line.covariance[1, 1])
    fitted = expit(line.intercept + line.slope * logits_of(score))
    return {**found, **_measured(fitted, label), "note": "measured on the patients it is fitted to"}


def _measured(score: NDArray[np.float64], label: NDArray[np.float64]) -> dict[str, object]:
    brier = brier_score(score, label)
    limits = {"brier": brier.value, "brier_ci_low": brier.ci_low, "brier_ci_high": brier.ci_high}
    return {"mean_score": float(score.mean()), **limits}


def _with_limits(name: str, value: float, variance: float) -> dict[str, float]:
    half = Z * math.sqrt(variance)
    return {name: float(value), f"{name}_ci_low": value - half, f"{name}_ci_high": value + half}
