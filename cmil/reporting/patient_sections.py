"""Sections on who was studied, and with which model."""

from collections.abc import Mapping

import pandas as pd

from cmil.report import cohort_flow
from cmil.reporting.contents import Section, Table
from cmil.reporting.openings import openings_table
from cmil.reporting.study_files import StudyFiles

_FLOW = {
    "centre": "Centre",
    "split": "Split",
    "in_manifest": "In the manifest",
    "excluded": "Excluded",
    "analysed": "Analysed",
    "positive": "With the outcome",
    "slides_read": "Sources read",
    "slides_failed": "Sources failed",
    "patches": "Patches",
}


def patients_section(study: StudyFiles, facts: Mapping[str, str]) -> Section:
    """Say who was studied, from the manifest to the analysis, and how centres differ."""
    flow = cohort_flow(study.cohort, study.excluded, study.predictions, study.slides)
    if study.slides.empty:  # of bags made elsewhere nobody said what became of the images
        flow = flow.drop(columns=["slides_read", "slides_failed"])
    counted = flow.rename(columns=_FLOW)[[_FLOW[name] for name in _FLOW if name in flow]]
    parts = [
        Table("flow", "Patients from the manifest to the analysis.", flow, counted.astype(str))
    ]
    mix = case_mix(study)
    caption = (
        "Patients analysed: with the outcome, covariates as median (quartiles) or, of 0 and 1, as "
        "count and share, and how many lack them."
    )
    parts.append(Table("case-mix", caption, mix, mix))
    if study.excluded:
        left_out = pd.DataFrame(
            [
                {"Patient": i, "Centre": study.cohort.patients.loc[i, "centre"], "Reason": why}
                for i, why in study.excluded.items()
            ]
        )
        parts.append(Table("excluded", "Patients excluded.", left_out, left_out))
    told = ("objective", "data_sources", "outcome", "follow_up", "missing_data", "overlap")
    return Section("Patients", [facts[name] for name in told if name in facts], parts)


def case_mix(study: StudyFiles) -> pd.DataFrame:
    """Describe label and covariates of each centre, as text."""
    scored = study.predictions.set_index("patient_id")
    patients = study.cohort.patients.loc[scored.index].assign(label=scored["label"])
    names = ["label", *study.settings.survival.covariates]
    rows = []
    for (split, centre), group in patients.groupby(["split", "centre"], sort=False):
        described = {name: _described(group[name]) for name in names}
        rows.append({"Centre": centre, "Split": split, "Patients": str(len(group)), **described})
    return pd.DataFrame(rows).rename(columns={"label": "With the outcome"})


def _described(values: "pd.Series[float]") -> str:
    known = values.dropna()
    missing = f"; {len(values) - len(known)} missing" if len(known) < len(values) else ""
    if known.empty:
        return "all missing"
    if known.isin([0, 1]).all():
        return f"{int(known.sum())} ({known.mean():.0%}){missing}"
    low, middle, high = known.quantile([0.25, 0.5, 0.75])
    return f"{middle:.1f} ({low:.1f} to {high:.1f}){missing}"


def model_section(study: StudyFiles, facts: Mapping[str, str]) -> Section:
    """Say what the model is, how it was made, and that it was frozen."""
    told = {
        "Images": "preprocessing",
        "Quality control": "quality_control",
        "Instances": "encoding",
        "Model": "model",
        "Tuning": "tuning",
        "Class imbalance": "imbalance",
        "Partition": "partition",
        "Output": "output",
        "Threshold": "threshold",
        "Bundle": "model_object",
        "Lock": "lock",
        "Openings": "openings",
        "Software": "software",
    }
    rows = [(heading, facts[name]) for heading, name in told.items() if name in facts]
    table = pd.DataFrame(rows, columns=["What", "How"])
    locked = "" if study.lock else " It was not locked: run cmil lock before an external cohort."
    parts = [Table("model", "The model and how it was made.", table, table)]
    if study.openings:
        parts.append(openings_table(study.openings))
    return Section("Model", [f"{facts['intended_use']}{locked}"], parts)
