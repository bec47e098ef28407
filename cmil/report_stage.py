"""The stage of a study that writes its report from the files of the others."""

from pathlib import Path

import pandas as pd

from cmil.study import Study, refuse_other_task
from cohorts.files import digest_of_file


def report_study(study: Study) -> list[Path]:
    """Write `report/`: page, PDF, tables, figures, checklists and the model card.

    Of an external cohort that was opened under a lock, `cmil.protocol.opening.opened_study` gives
    the study.

    Returns
    -------
    Everything that was written.

    Raises
    ------
    SettingsError
        If the study is not of a binary label.
    FileFormatError
        If a stage has left no file, or a damaged one.
    DataError
        If predictions or cut-point are of another model than the bundle.
    """
    from cmil.bundle import read_bundle
    from cmil.prediction import read_predictions
    from cmil.protocol.lock import LOCK, verify_lock
    from cmil.protocol.log import LOG, read_log
    from cmil.report import check_one_model
    from cmil.reporting.study_files import StudyFiles
    from cmil.reporting.study_report import write_study_report
    from cmil.validation_results import read_validation
    from survival import read_results

    refuse_other_task(study.settings.mil.task, "report")
    lock = verify_lock(study.model) if (study.model / LOCK).exists() else None
    bundle, predictions = read_bundle(study.model), read_predictions(study.predictions)
    locked, log = lock.digest if lock else "", study.model / LOG
    survival = read_results(study.out / "survival") if study.settings.cohort.endpoints else None
    own = {lock.model_digest, lock.travelling_model_digest} if lock else set()
    check_one_model({bundle.digest, *own}, predictions, survival)
    files = StudyFiles(
        study.settings,
        study.manifest,
        _left_out(study, predictions),
        bundle,
        predictions,
        _slides(study),
        read_validation(study.out / "validation"),
        survival,
        locked,
        read_log(log, locked) if log.exists() else (),
        digest_of_file(study.predictions),
        _recalibration(study),
    )
    return write_study_report(files, study.out / "report")


def _recalibration(study: Study) -> pd.DataFrame | None:
    from cmil.protocol.opening import RECALIBRATION

    path = study.out / "validation" / RECALIBRATION
    return pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.exists() else None


def _left_out(study: Study, predictions: pd.DataFrame) -> dict[str, str]:
    """Say of whom the manifest names and who has no score why not."""
    patients = study.manifest.patients.index
    without = patients[~patients.isin(predictions["patient_id"])]
    return dict.fromkeys(map(str, without), "no readable slide")


def _slides(study: Study) -> pd.DataFrame:
    """Read what became of each slide; of bags made elsewhere nothing is known."""
    path = study.out / "bags" / "slides.csv"
    if not path.exists():
        return pd.DataFrame(columns=["slide_id", "patient_id", "state"], dtype=str)
    return pd.read_csv(path, dtype=str, keep_default_na=False)
