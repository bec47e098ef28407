"""`cmil cohort check`: what a manifest holds, before hours are spent on it."""

import json
from pathlib import Path

import pandas as pd

from cmil.study import Study, refuse_unfit_outcomes
from cmil.study_settings import read_study_settings
from cohorts.manifest import Cohort, read_cohort
from cohorts.settings import CohortSettings


def check_cohort(path: Path, manifest: Path | None, *, as_json: bool) -> str:
    """Validate a cohort and describe it per centre, as text or JSON.

    Parameters
    ----------
    path
        A `study.toml`, or a manifest (`.csv`) with the default column names.
    manifest
        Takes the place of the study's manifest.

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
    if as_json:
        return json.dumps({"centres": json.loads(table.to_json(orient="records"))})
    return f"{table.to_string(index=False)}\n\nThe manifest is valid."


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
