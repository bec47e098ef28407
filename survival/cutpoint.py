"""The cut-point: fitted once on out-of-fold development scores, locked, and applied unchanged."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from cohorts.errors import DataError, FileFormatError
from cohorts.files import digest_of, read_json, write_json
from survival.endpoints import prediction_problems, refuse
from survival.settings import CutPointMethod

LOW: Final = "low"
HIGH: Final = "high"

_FORMAT = "cmil-cutpoint"
_VERSION = 1
_RULES: dict[CutPointMethod, Callable[[NDArray[np.float64]], Any]] = {"median": np.median}
# A score read back from a text file may differ in its last bit. At this many decimals it does
# not, so the patient at the median keeps the group.
_SCORE_DECIMALS = 12

_log = logging.getLogger(__name__)


class CutPoint(BaseModel):
    """A score above which a patient belongs to the high-score group, and what it was fitted on.

    Attributes
    ----------
    value
        Score (probability, 0 to 1); a patient is "high" where the score is greater.
    method
        Rule by which the value was taken.
    n
        Development patients it was taken from.
    score_mean, score_sd
        Mean and standard deviation (n - 1) of those patients' scores; hazard ratios of every
        centre are per this standard deviation.
    model_digest, cohort_digest, scores_digest
        Digests of the model, of the development cohort, and of its patients with their scores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    value: float
    method: CutPointMethod
    n: int
    score_mean: float
    score_sd: float
    model_digest: str
    cohort_digest: str
    scores_digest: str


def fit_cutpoint(
    development: pd.DataFrame, cohort_digest: str, method: CutPointMethod = "median"
) -> CutPoint:
    """Take the cut-point from the development cohort's out-of-fold scores; no outcome is read.

    The median is the usual one: the middle score, or the mean of the two middle scores.

    Parameters
    ----------
    development
        Rows of the predictions table whose `split` is "development" and `score_kind` "oof".
    cohort_digest
        Digest of the development cohort.
    method
        Rule by which the value is taken.

    Raises
    ------
    DataError
        If a row is of another kind, or the scores are fewer than two or all the same.
    """
    refuse(prediction_problems(development))
    if (development["split"] != "development").any():
        raise DataError(
            'predictions: column "split": a cut-point is fitted on development patients only; '
            "external patients must not move it"
        )
    scores = _rounded(development["score"])
    if len(scores) < 2 or np.ptp(scores) == 0:
        raise DataError(
            'predictions: column "score": a cut-point needs at least two different development '
            f"scores; there are {len(np.unique(scores))}"
        )
    return CutPoint(
        value=float(_RULES[method](scores)),
        method=method,
        n=len(scores),
        score_mean=float(scores.mean()),
        score_sd=float(scores.std(ddof=1)),
        model_digest=str(development["model_digest"].iloc[0]),
        cohort_digest=cohort_digest,
        scores_digest=_scores_digest(development),
    )


def apply_cutpoint(scores: ArrayLike, cut: CutPoint) -> NDArray[np.str_]:
    """Give each score its group: "high" where it is greater than the value, else "low".

    A score equal to the value (at 12 decimals) is "low".
    """
    return np.where(_rounded(scores) > cut.value, HIGH, LOW)


def freeze_cutpoint(
    path: Path, predictions: pd.DataFrame, cohort_digest: str, method: CutPointMethod = "median"
) -> CutPoint:
    """Reuse the lock at `path`, or fit and lock the cut-point where there is none.

    Predictions of external patients alone are enough where the lock exists: a new centre is
    analysed at the old cut-point.

    Raises
    ------
    DataError
        If the lock was fitted on another model, development cohort, or development scores.
    FileFormatError
        If the lock is damaged or of a newer version.
    """
    if path.exists():
        lock = read_lock(path)
        check_lock(path, lock, predictions, cohort_digest)
        return lock
    development = _development(predictions)
    if development.empty:
        raise DataError(
            f'"{path}" does not exist and there is no development patient to fit a cut-point on; '
            "copy the cutpoint.json of the study the model comes from"
        )
    cut = fit_cutpoint(development, cohort_digest, method)
    write_lock(path, cut)
    _log.info(
        'cut-point %.4g, the %s of %d out-of-fold development scores, locked in "%s"',
        cut.value,
        cut.method,
        cut.n,
        path,
    )
    return cut


def refit_cutpoint(
    path: Path, predictions: pd.DataFrame, cohort_digest: str, method: CutPointMethod = "median"
) -> CutPoint:
    """Replace the lock at `path` where what it was fitted on has changed, and log that it was.

    The replaced lock stays beside it as `cutpoint-replaced-<scores>.json`.

    For a study that is deliberately run again with other settings upstream, before its external
    results count; anywhere else `freeze_cutpoint` refuses instead.
    """
    if not path.exists():
        return freeze_cutpoint(path, predictions, cohort_digest, method)
    lock = read_lock(path)
    changed = _changes(lock, predictions, cohort_digest)
    if not changed:
        return lock
    if _development(predictions).empty:
        check_lock(path, lock, predictions, cohort_digest)
    cut = fit_cutpoint(_development(predictions), cohort_digest, method)
    _write(path.with_name(f"{path.stem}-replaced-{lock.scores_digest[:8]}.json"), lock)
    _write(path, cut)
    _log.warning(
        'cut-point re-fitted on new development scores: "%s" now holds %.4g instead of %.4g, '
        "because the %s changed; results from before no longer belong to it",
        path,
        cut.value,
        lock.value,
        " and the ".join(changed),
    )
    return cut


def check_lock(path: Path, lock: CutPoint, predictions: pd.DataFrame, cohort_digest: str) -> None:
    """Refuse predictions that the lock was not fitted for.

    Raises
    ------
    DataError
        If the model differs or, where development rows are given, their cohort or scores do.
    """
    changed = _changes(lock, predictions, cohort_digest)
    if changed:
        raise DataError(
            f'"{path}" was fitted on another {" and another ".join(changed)}; a cut-point is not '
            "re-fitted unasked: use a new output folder, or delete the file deliberately"
        )


def write_lock(path: Path, cut: CutPoint) -> None:
    """Write the lock; one that is there already may only be the same.

    Raises
    ------
    DataError
        If `path` holds another cut-point.
    """
    if path.exists() and read_lock(path) != cut:
        raise DataError(
            f'"{path}" holds another cut-point and is not overwritten: use a new output folder, '
            "or delete the file deliberately"
        )
    _write(path, cut)


def read_lock(path: Path) -> CutPoint:
    """Read a lock.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, no cut-point, or of a newer version.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise FileFormatError(f'"{path}" is not a cut-point lock (format "{_FORMAT}")')
    version = content.pop("format_version", None)
    if version != _VERSION:
        raise FileFormatError(
            f'"{path}" has version {version} of the cut-point lock and this software reads '
            f"{_VERSION}; upgrade cmil"
        )
    try:
        return CutPoint.model_validate(content)
    except ValidationError as error:
        fields = ", ".join(str(fault["loc"][0]) for fault in error.errors())
        raise FileFormatError(
            f'"{path}" is a damaged cut-point lock (wrong or missing: {fields}); restore it'
        ) from error


def _write(path: Path, cut: CutPoint) -> None:
    write_json(path, {"format": _FORMAT, "format_version": _VERSION, **cut.model_dump()})


def _changes(lock: CutPoint, predictions: pd.DataFrame, cohort_digest: str) -> list[str]:
    refuse(prediction_problems(predictions))
    changed = []
    if (predictions["model_digest"] != lock.model_digest).any():
        changed.append("model")
    development = _development(predictions)
    if not development.empty:
        if cohort_digest != lock.cohort_digest:
            changed.append("development cohort")
        if _scores_digest(development) != lock.scores_digest:
            changed.append("set of development scores")
    return changed


def _development(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[predictions["split"] == "development"]


def _scores_digest(development: pd.DataFrame) -> str:
    ids = development["patient_id"].astype(str)
    return digest_of(sorted(zip(ids, _rounded(development["score"]).tolist(), strict=True)))


def _rounded(scores: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(scores, dtype=np.float64).round(_SCORE_DECIMALS)
