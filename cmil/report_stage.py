"""The stage of a study that writes its report from the files of the others."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from cmil.progress import say
from cmil.study import Study
from cohorts.errors import DataError

if TYPE_CHECKING:
    from cmil.reporting.study_files import StudyFiles
    from survival import SurvivalResults


def report_study(study: Study) -> list[Path]:
    """Write `report/`: page, PDF, tables, figures, checklists and the model card.

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
    from cmil.protocol.lock import LOCK, verify_lock
    from cmil.reporting.study_report import write_study_report
    from survival import read_results

    study.refuse_other_tasks("report")
    survival = read_results(study.out / "survival") if study.settings.cohort.endpoints else None
    lock = verify_lock(study.model).digest if (study.model / LOCK).exists() else ""
    return write_study_report(_files_of(study, survival, lock), study.out / "report")


def report_opening(
    model: Path, manifest: Path, out: Path, *, bags: Path | None = None
) -> list[Path]:
    """Write `report/` of an external cohort that was opened under a lock, as `report_study` does.

    Recalibration and survival are in it where they were computed in `out`.

    Raises
    ------
    FileFormatError
        If lock, log or a file of the opening was changed, or is not there.
    DataError
        If the manifest is another than the one that was opened.
    """
    from dataclasses import replace

    from cmil.protocol.external import external_study
    from cmil.protocol.opening import read_opening
    from cmil.protocol.recalibration import TABLE
    from cmil.reporting.study_report import write_study_report
    from survival import read_results

    lock, opening = read_opening(model, out)
    scores = Path(opening["predictions"])
    study = external_study(lock, model, manifest, out, bags=bags, predictions=scores)
    if study.manifest.digest != opening["cohort"]:
        raise DataError(
            f'"{manifest.name}" is another cohort than the one opened in "{out}"; give that one, '
            "or run cmil validate --model"
        )
    survival = None
    if (out / "survival" / "run.json").exists():
        survival = read_results(out / "survival")
    elif study.settings.cohort.endpoints:
        say(f'the report is without survival: "{out}" has none; cmil survival writes it')
    files = _files_of(study, survival, lock.digest)
    table = out / "validation" / TABLE
    beside = pd.read_csv(table, keep_default_na=False, na_values=[""]) if table.exists() else None
    told = (
        f"Entry {opening['entry']} of the log of openings, {opening['time']}, digest "
        f"{opening['entry_digest']}."
    )
    return write_study_report(replace(files, opening=told, recalibration=beside), out / "report")


def _files_of(study: Study, survival: "SurvivalResults | None", lock: str) -> "StudyFiles":
    from cmil.bundle import read_bundle
    from cmil.prediction import read_predictions
    from cmil.report import check_one_model
    from cmil.reporting.study_files import StudyFiles
    from cmil.validation_results import read_validation

    bundle, predictions = read_bundle(study.model), read_predictions(study.predictions)
    check_one_model(bundle, predictions, survival)
    return StudyFiles(
        study.settings,
        study.manifest,
        study.excluded,
        bundle,
        predictions,
        _slides_of(study),
        read_validation(study.out / "validation"),
        survival,
        lock,
    )


def _slides_of(study: Study) -> pd.DataFrame:
    """Say what became of each slide; bags made elsewhere come without such a table."""
    made = study.bags / "slides.csv"
    if made.exists():
        return pd.read_csv(made, dtype=str, keep_default_na=False)
    held = {slide.slide_id for slide in study.cohort.slides}
    rows = [
        (slide.patient_id, "made" if slide.slide_id in held else "failed")
        for slide in study.manifest.slides
    ]
    return pd.DataFrame(rows, columns=["patient_id", "state"])
