"""The cut-point frozen: fitted once, reused from its lock, and never moved unasked."""

import logging
from pathlib import Path

import pandas as pd

from cohorts.errors import DataError
from survival.cut_rules import MEDIAN, CutPointRule
from survival.cutpoint import (
    CutPoint,
    fit_cutpoint,
    read_lock,
    replace_lock,
    scores_digest,
    write_lock,
)
from survival.endpoints import prediction_problems, refuse

_log = logging.getLogger(__name__)


def freeze_cutpoint(
    path: Path,
    predictions: pd.DataFrame,
    cohort_digest: str,
    rule: CutPointRule = MEDIAN,
    outcomes: pd.DataFrame | None = None,
    seed: int = 0,
) -> CutPoint:
    """Reuse the lock at `path`, or fit and lock the cut-point where there is none.

    Predictions of external patients alone are enough where the lock exists: a new centre is
    analysed at the old cut-point.

    Raises
    ------
    DataError
        If the lock was fitted on another model, development cohort, or development scores, or by
        another rule.
    FileFormatError
        If the lock is damaged or of a newer version.
    """
    if path.exists():
        lock = read_lock(path)
        check_lock(path, lock, predictions, cohort_digest, rule)
        return lock
    development = _development(predictions)
    if development.empty:
        raise DataError(
            f'"{path}" does not exist and there is no development patient to fit a cut-point on; '
            "copy the cutpoint.json of the study the model comes from"
        )
    cut = fit_cutpoint(development, cohort_digest, rule, outcomes, seed)
    write_lock(path, cut)
    _log.info(
        'cut-point %s, the %s of %d out-of-fold development scores, locked in "%s"',
        _shown(cut),
        cut.method,
        cut.n,
        path,
    )
    return cut


def refit_cutpoint(
    path: Path,
    predictions: pd.DataFrame,
    cohort_digest: str,
    rule: CutPointRule = MEDIAN,
    outcomes: pd.DataFrame | None = None,
    seed: int = 0,
) -> CutPoint:
    """Replace the lock at `path` where what it was fitted on has changed, and log that it was.

    The replaced lock stays beside it as `cutpoint-replaced-<scores>.json`.

    For a study that is deliberately run again with other settings upstream, before its external
    results count; anywhere else `freeze_cutpoint` refuses instead.
    """
    if not path.exists():
        return freeze_cutpoint(path, predictions, cohort_digest, rule, outcomes, seed)
    lock = read_lock(path)
    changed = _changes(lock, predictions, cohort_digest, rule)
    if not changed:
        return lock
    if _development(predictions).empty:
        check_lock(path, lock, predictions, cohort_digest, rule)
    cut = fit_cutpoint(_development(predictions), cohort_digest, rule, outcomes, seed)
    replace_lock(path.with_name(f"{path.stem}-replaced-{lock.scores_digest[:8]}.json"), lock)
    replace_lock(path, cut)
    _log.warning(
        'cut-point re-fitted on new development scores: "%s" now holds %s instead of %s, '
        "because the %s changed; results from before no longer belong to it",
        path,
        _shown(cut),
        _shown(lock),
        " and the ".join(changed),
    )
    return cut


def check_lock(
    path: Path,
    lock: CutPoint,
    predictions: pd.DataFrame,
    cohort_digest: str,
    rule: CutPointRule = MEDIAN,
) -> None:
    """Refuse predictions that the lock was not fitted for.

    Raises
    ------
    DataError
        If the model differs or, where development rows are given, their cohort, their scores or
        the rule do.
    """
    changed = _changes(lock, predictions, cohort_digest, rule)
    if changed:
        raise DataError(
            f'"{path}" was fitted on another {" and another ".join(changed)}; a cut-point is not '
            "re-fitted unasked: use a new output folder, or delete the file deliberately"
        )


def _changes(
    lock: CutPoint, predictions: pd.DataFrame, cohort_digest: str, rule: CutPointRule
) -> list[str]:
    refuse(prediction_problems(predictions))
    changed = []
    if (predictions["model_digest"] != lock.model_digest).any():
        changed.append("model")
    development = _development(predictions)
    if not development.empty:
        if cohort_digest != lock.cohort_digest:
            changed.append("development cohort")
        if scores_digest(development) != lock.scores_digest:
            changed.append("set of development scores")
        if not _is_by(lock, rule):
            changed.append("rule")
    return changed


def _is_by(lock: CutPoint, rule: CutPointRule) -> bool:
    same = (lock.method, lock.endpoint, lock.horizon) == (rule.method, rule.endpoint, rule.horizon)
    return same and (rule.method != "given" or lock.values == rule.values)


def _shown(cut: CutPoint) -> str:
    return " and ".join(f"{value:.4g}" for value in cut.values)


def _development(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[predictions["split"] == "development"]
