"""`cmil recalibrate`: what recalibration at an external centre would do, beside the locked score.

The locked score and decision stay as they are; nothing of this is read by any other step.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtri

from cmil.prediction import read_predictions
from cmil.protocol.log import LOG, append_entry
from cmil.protocol.opening import read_opening
from cmil.validation import cohorts_of
from cohorts.errors import DataError
from cohorts.files import digest_of_file, write_text

TABLE = "recalibration.csv"
FEWEST = 5
COLUMNS = [
    *("cohort", "recalibration", "patients", "positives"),
    *("intercept", "intercept_ci_low", "intercept_ci_high"),
    *("slope", "slope_ci_low", "slope_ci_high", "mean_score", "observed"),
    *("brier", "brier_ci_low", "brier_ci_high", "note"),
]
_Z = float(ndtri(0.975))
_STEPS, _PRECISION, _LARGEST_LOGIT = 100, 1e-10, 30.0
_NEAREST = 1e-12  # scores of 0 and 1 have no logit


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
    """
    lock, opening = read_opening(model, out)
    predictions = Path(opening["predictions"])
    if not predictions.exists() or digest_of_file(predictions) != opening["scores"]:
        raise DataError(f'"{predictions}" was changed since it was validated; run cmil validate')
    table = recalibration(read_predictions(predictions))
    append_entry(
        model / LOG,
        action="recalibrate",
        lock=lock.digest,
        cohort=opening["cohort"],
        centres=opening["centres"],
        scores=opening["scores"],
    )
    write_text(out / "validation" / TABLE, table.to_csv(index=False))
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
        share of label 1; limits of `brier` are the normal ones of a mean; `note` says why a
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
    x = logit(np.clip(np.asarray(scores, dtype=float), _NEAREST, 1 - _NEAREST))
    y = np.asarray(labels, dtype=float)
    design = np.column_stack([np.ones(len(x)), x]) if slope else np.ones((len(x), 1))
    fixed = np.zeros(len(x)) if slope else x
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    beta = np.array([0.0, 1.0]) if slope else np.zeros(1)
    for _ in range(_STEPS):
        p = expit(fixed + design @ beta)
        information = (design.T * (p * (1 - p))) @ design
        if np.linalg.cond(information) > 1e14:
            return None
        step = np.linalg.solve(information, design.T @ (y - p))
        step *= min(1.0, 2.0 / np.abs(design @ step).max(initial=_PRECISION))
        beta = beta + step
        if np.abs(fixed + design @ beta).max() > _LARGEST_LOGIT and slope:
            return None
        if np.abs(step).max() < _PRECISION:
            covariance = np.linalg.inv(information)
            return Line(float(beta[0]), float(beta[1]) if slope else 1.0, covariance)
    return None


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
    linear = logit(np.clip(score, _NEAREST, 1 - _NEAREST))
    found = {**_with_limits("intercept", line.intercept, line.covariance[0, 0])}
    if name == "logistic":
        found |= _with_limits("slope", line.slope, line.covariance[1, 1])
    fitted = expit(line.intercept + line.slope * linear)
    return {**found, **_measured(fitted, label), "note": "measured on the patients it is fitted to"}


def _measured(score: NDArray[np.float64], label: NDArray[np.float64]) -> dict[str, object]:
    errors = (score - label) ** 2
    variance = float(errors.var(ddof=1) / len(errors)) if len(errors) > 1 else math.nan
    return {"mean_score": float(score.mean()), **_with_limits("brier", errors.mean(), variance)}


def _with_limits(name: str, value: float, variance: float) -> dict[str, float]:
    half = _Z * math.sqrt(variance)
    return {name: float(value), f"{name}_ci_low": value - half, f"{name}_ci_high": value + half}
