"""`cmil validate --model`: score an external cohort under the lock, record it, then evaluate it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cmil.bundle import read_bundle
from cmil.patient_bags import read_patient_bags
from cmil.prediction import check_encoding
from cmil.protocol.external import (
    ExternalStudy,
    external_study,
    refuse_development_images,
    refuse_other_cohort,
    refuse_unfit_scores,
)
from cmil.protocol.lock import Lock, verify_lock
from cmil.protocol.log import LOG, Entry, append_entry, read_log, refuse_shortened
from cmil.protocol.own_opening import patients_of_centres
from cmil.study import predict_scores, refuse_unfit_outcomes, relate_to_survival
from cmil.task_validation import (
    TaskValidation,
    refuse_label_questions,
    validate_task,
    without_outcome,
)
from cmil.validation_results import ValidationResults
from cmil.validation_stage import refuse_unfit_questions, validate_scores
from cohorts.errors import DataError, FileFormatError
from cohorts.files import digest_of_file, read_json, write_json
from survival.cutpoint import CutPoint, write_lock

OPENING = "opening.json"
RECALIBRATION = "recalibration.csv"
_FORMAT, _VERSION = "cmil-opening", 1


@dataclass(frozen=True)
class Validation:
    """What became of an external cohort.

    Attributes
    ----------
    results
        As `cmil.validation_stage.validate_scores` gives them or, of classes and of an endpoint,
        `cmil.task_validation.validate_task`.
    entry
        Of the log.
    failed
        One line for each slide that could not be read.
    """

    results: ValidationResults | TaskValidation
    entry: Entry
    failed: Sequence[str]


def validate_external(
    model: Path,
    manifest: Path,
    out: Path,
    *,
    bags: Path | None = None,
    predictions: Path | None = None,
    weights: Path | None = None,
    ratings: Path | None = None,
) -> Validation:
    """Evaluate a locked model on an external cohort; the opening is logged before it is evaluated.

    Bags and scores are made where they are not given. The log is `openings.jsonl` in the bundle.
    What is refused is refused before the log is written; an evaluation that fails or is stopped
    afterwards goes on under its entry, when it is run again in the same folder.
    `ratings` is what readers said of the patients, if any have read them.

    Raises
    ------
    FileFormatError
        If a locked file or the log was changed.
    SettingsError
        If `out` is the locked study's own.
    DataError
        If the cohort holds development patients or their images, bags are of another encoder or
        preprocessing, or scores or decisions are not those of the lock.
    """
    lock = verify_lock(model)
    study = external_study(
        lock,
        model,
        manifest,
        out,
        bags=bags,
        predictions=predictions,
        weights=weights,
        ratings=ratings,
    )
    # What can be refused is refused before hours are spent.
    if (model / LOG).exists():
        read_log(model / LOG, lock.digest)
    refuse_unfit_outcomes(study)
    if study.is_binary:
        refuse_unfit_questions(study, set(study.manifest.patients.index))
    else:
        refuse_label_questions(study)
    if predictions:
        failed: Sequence[str] = ()
        _refuse_unfit_bags(lock, study)
    else:
        failed = score_external(lock, study, make_bags=bags is None)
    scores = fit_scores(lock, study)
    if study.is_binary:
        refuse_unfit_questions(study, set(scores["patient_id"]))
    else:
        without_outcome(study, scores)
    if lock.cutpoint:
        write_lock(out / "survival" / "cutpoint.json", _cutpoint(lock.cutpoint, scores))
    # Nothing is refused from here on: what fails now was opened, and goes on when run again.
    entry = _begun(lock, study)
    if not entry:
        # What is there is of other scores.
        (out / "validation" / RECALIBRATION).unlink(missing_ok=True)
        entry = append_entry(
            model / LOG,
            action="validate",
            lock=lock.digest,
            cohort=study.manifest.digest,
            centres=patients_of_centres(scores),
            scores=digest_of_file(study.predictions),
        )
    _write_opening(study, scores, entry, pd.DataFrame({"cohort": [], "note": []}))
    results: ValidationResults | TaskValidation = (
        validate_scores(study) if study.is_binary else validate_task(study)
    )
    if lock.cutpoint:
        relate_to_survival(study)
    _write_opening(study, scores, entry, results.performance)
    return Validation(results, entry, failed)


def _begun(lock: Lock, study: ExternalStudy) -> Entry | None:
    """Give the entry of the opening that this folder holds, if it is of the same scores.

    A process killed between log and folder leaves none, and the log says once more that the
    cohort was opened.
    """
    path, log = study.out / "validation" / OPENING, study.model / LOG
    if not path.exists():
        return None
    before = _read_record(path)
    asked = {
        "lock": lock.digest,
        "cohort": study.manifest.digest,
        "scores": digest_of_file(study.predictions),
    }
    if any(before[name] != value for name, value in asked.items()):
        return None
    entries, number = read_log(log, lock.digest), int(before["entry"])
    refuse_shortened(entries, number, before["entry_digest"], f'"{log}"')
    return entries[number - 1]


def _refuse_unfit_bags(lock: Lock, study: ExternalStudy) -> None:
    """Refuse bags beside scores made elsewhere, as scoring would have."""
    refuse_development_images(lock, study)
    if study.cohort.slides:
        bags = read_patient_bags(study.cohort, study.bags, memory_gb=study.settings.mil.memory_gb)
        check_encoding(read_bundle(study.model), bags)


def _cutpoint(cutpoint: CutPoint, scores: pd.DataFrame) -> CutPoint:
    """Give the locked cut-point; the bundle of a kit is the same model by the digest it has."""
    return cutpoint.model_copy(update={"model_digest": str(scores["model_digest"].iloc[0])})


def score_external(lock: Lock, study: ExternalStudy, *, make_bags: bool) -> Sequence[str]:
    """Extract where asked, and predict; give one line for each slide that failed."""
    failed: Sequence[str] = ()
    if make_bags:
        from cmil.extraction_stage import extract_bags

        failed = extract_bags(study)
    refuse_development_images(lock, study)
    predict_scores(study)
    return failed


def fit_scores(lock: Lock, study: ExternalStudy) -> pd.DataFrame:
    """Read the scores of a cohort, and refuse those that are not of the lock."""
    from cmil.prediction import read_predictions

    scores = read_predictions(study.predictions)
    refuse_unfit_scores(lock, scores)
    refuse_other_cohort(scores, study.manifest)
    return scores


def read_opening(model: Path, out: Path) -> tuple[Lock, dict[str, Any]]:
    """Read what `validate_external` left in `out`, and check it against lock and log.

    Raises
    ------
    FileFormatError
        If it is of another lock, its entry is not in the log, or its scores were changed since.
    """
    lock = verify_lock(model)
    path = out / "validation" / OPENING
    opening = _read_record(path)
    if opening["lock"] != lock.digest:
        raise FileFormatError(f'"{path}" is of another lock than "{model}"; run cmil validate')
    log = read_log(model / LOG, lock.digest)
    refuse_shortened(log, opening["entry"], opening["entry_digest"], f'"{model / LOG}"')
    return lock, opening


def _read_record(path: Path) -> dict[str, Any]:
    record = read_json(path)
    needed = {"lock", "entry", "entry_digest", "cohort", "centres", "scores", "predictions"}
    if not isinstance(record, dict) or record.get("format") != _FORMAT or needed - set(record):
        raise FileFormatError(f'"{path}" is no record of an opening; run cmil validate --model')
    return record


def opened_scores(opening: Mapping[str, Any]) -> Path:
    """Give the predictions that an opening, as `read_opening` gives it, has evaluated.

    Raises
    ------
    DataError
        If they are not there or were changed since.
    """
    predictions = Path(opening["predictions"])
    if not predictions.exists() or digest_of_file(predictions) != opening["scores"]:
        raise DataError(f'"{predictions}" was changed since it was validated; run cmil validate')
    return predictions


def opened_study(model: Path, manifest: Path, out: Path) -> ExternalStudy:
    """Lay out an external cohort that `validate_external` has opened, for what reports on it.

    Raises
    ------
    FileFormatError
        If `out` holds no opening under this lock.
    DataError
        If manifest or scores are not those that were opened.
    """
    lock, opening = read_opening(model, out)
    study = external_study(lock, model, manifest, out, predictions=opened_scores(opening))
    if study.manifest.digest != opening["cohort"]:
        raise DataError(
            f'"{manifest}" names other patients, labels or slides than the cohort that was opened '
            f'in "{out}"; give the manifest of the opening'
        )
    return study


def _write_opening(
    study: ExternalStudy,
    scores: pd.DataFrame,
    entry: Entry,
    performance: pd.DataFrame,
) -> None:
    unknown = [] if study.is_binary else without_outcome(study, scores)
    unscored = set(study.manifest.patients.index) - set(scores["patient_id"])
    noted = performance[performance["note"].fillna("") != ""]
    notes = {str(c): "; ".join(of["note"].unique()) for c, of in noted.groupby("cohort")}
    write_json(
        study.out / "validation" / OPENING,
        {
            "format": _FORMAT,
            "format_version": _VERSION,
            "lock": entry.lock,
            "entry": entry.number,
            "entry_digest": entry.digest,
            "time": entry.time,
            "cohort": entry.cohort,
            "centres": dict(entry.centres),
            "scores": entry.scores,
            "predictions": str(study.predictions.resolve()),
            "without_score": sorted(map(str, unscored)),
            "without_outcome": sorted(unknown),
            "not_estimable": notes,
        },
    )
