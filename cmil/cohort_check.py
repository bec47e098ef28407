"""`cmil cohort check`: what a manifest holds, before hours are spent on it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cmil.progress import progress
from cmil.study import Study, refuse_unfit_outcomes
from cmil.study_settings import read_study_settings
from cohorts.manifest import Cohort, read_cohort
from cohorts.settings import CohortSettings
from feature_extraction.duplicates import (
    DuplicatePair,
    DuplicateReport,
    ImageOfSlide,
    find_duplicates,
)


def check_cohort(
    path: Path, manifest: Path | None, *, images: bool, as_json: bool
) -> tuple[str, Sequence[str]]:
    """Validate a cohort and describe it per centre, as text or JSON.

    Parameters
    ----------
    path
        A `study.toml`, or a manifest (`.csv`) with the default column names.
    manifest
        Takes the place of the study's manifest.
    images
        Also look at every image for copies.

    Returns
    -------
    What to print, and one line for each image that two patients share byte for byte: an error of
    the cohort. Images that only look the same are for a person to judge; they are printed.

    Raises
    ------
    SettingsError, ManifestError, DataError
        With one line for each problem.
    """
    if path.suffix.lower() == ".csv":
        cohort = read_cohort(CohortSettings(manifest=path))
    else:
        study = Study.at(path.parent, read_study_settings(path, manifest=manifest))
        refuse_unfit_outcomes(study)
        cohort = study.manifest
    table = describe_centres(cohort)
    report = _look_at_images(cohort) if images else None
    shared = [] if report is None else [_as_error(p) for p in report.pairs if p.kind == "exact"]
    if not as_json:
        found = "" if report is None else f"\n\n{describe_images(report)}"
        return f"{table.to_string(index=False)}\n\nThe manifest is valid.{found}", shared
    content: dict[str, Any] = {"centres": json.loads(table.to_json(orient="records"))}
    if report is not None:
        content["images"] = _as_content(report)
    return json.dumps(content, ensure_ascii=False), shared


def describe_images(report: DuplicateReport) -> str:
    """Say what was looked at and list the pairs that look the same, two lines each."""
    near = [pair for pair in report.pairs if pair.kind == "near"]
    exact = len(report.pairs) - len(near)
    lines = [
        f"images: {report.images}, not readable: {len(report.unreadable)}",
        f"exact copies within a patient: {report.repeated} (each image is used once)",
        f"exact copies in two patients: {exact}",
        f"pairs of two patients that look the same: {len(near)}",
    ]
    for pair in near:
        lines += [
            f"  {_where(pair.first)}",
            f"    {_where(pair.second)}, correlation {pair.correlation}",
        ]
    if report.unreadable:
        lines += ["not readable:", *(f"  {line}" for line in report.unreadable)]
    return "\n".join(lines)


def _look_at_images(cohort: Cohort) -> DuplicateReport:
    with progress("images (slides)", len(cohort.slides)) as advance:
        return find_duplicates(cohort, on_slide=lambda slide: advance(note=slide.slide_id))


def _where(image: ImageOfSlide) -> str:
    slide = image.slide
    return (
        f'patient "{slide.patient_id}", slide "{slide.slide_id}" (manifest row {slide.row}), '
        f'image "{image.name}"'
    )


def _as_error(pair: DuplicatePair) -> str:
    return (
        f"the same image in two patients: {_where(pair.first)}; {_where(pair.second)}; "
        "find out whose it is and remove the other"
    )


def _as_content(report: DuplicateReport) -> dict[str, Any]:
    def side(image: ImageOfSlide) -> dict[str, Any]:
        slide = image.slide
        named = {"patient_id": slide.patient_id, "slide_id": slide.slide_id}
        return {**named, "row": slide.row, "image": image.name}

    return {
        "images": report.images,
        "repeated_within_patients": report.repeated,
        "pairs": [
            {
                "kind": pair.kind,
                "correlation": pair.correlation,
                "first": side(pair.first),
                "second": side(pair.second),
            }
            for pair in report.pairs
        ],
        "unreadable": list(report.unreadable),
    }


def describe_centres(cohort: Cohort) -> pd.DataFrame:
    """Count per split and centre: `patients, slides`, positive patients, missing values.

    Returns
    -------
    DataFrame
        `split, centre, patients, slides`, `positive` where there is a label, and a column
        `<name> missing` for each endpoint and covariate that lacks values anywhere.
    """
    patients = cohort.patients.copy()
    slides = pd.Series([slide.patient_id for slide in cohort.slides]).value_counts()
    patients["slides"] = slides.reindex(patients.index).to_numpy()
    named = [c for c in patients.columns if c not in {"split", "centre", "label", "slides"}]
    lines = []
    for (split, centre), group in patients.groupby(["split", "centre"], sort=True):
        line = {"split": split, "centre": centre, "patients": len(group)}
        line["slides"] = int(group["slides"].sum())
        if "label" in group:
            line["positive"] = int(group["label"].sum())
        for column in named:
            if patients[column].isna().any():
                line[f"{column} missing"] = int(group[column].isna().sum())
        lines.append(line)
    return pd.DataFrame(lines)
