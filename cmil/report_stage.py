"""The stage of a study that writes its report from the files of the others."""

from pathlib import Path

import pandas as pd

from cmil.study import Study


def report_study(study: Study) -> list[Path]:
    """Write `report/`: page, PDF, tables, figures and checklists.

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
    from cmil.report import check_one_model
    from cmil.reporting.study_files import StudyFiles
    from cmil.reporting.study_report import write_study_report
    from cmil.validation_results import read_validation
    from survival import read_results

    study.refuse_other_tasks("report")
    bundle, predictions = read_bundle(study.model), read_predictions(study.predictions)
    survival = read_results(study.out / "survival") if study.settings.cohort.endpoints else None
    check_one_model(bundle, predictions, survival)
    slides = study.out / "bags" / "slides.csv"
    files = StudyFiles(
        study.settings,
        study.manifest,
        study.excluded,
        bundle,
        predictions,
        pd.read_csv(slides, dtype=str, keep_default_na=False),
        read_validation(study.out / "validation"),
        survival,
        verify_lock(study.model).digest if (study.model / LOCK).exists() else "",
    )
    return write_study_report(files, study.out / "report")
