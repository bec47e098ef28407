"""The result page of a study of classes or of an endpoint.

It shows what the stages left in a folder and computes no statistic of its own.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cmil import __version__
from cmil.bundle import ModelFacts, read_bundle
from cmil.comparison.compare import MODEL
from cmil.comparison.page import comparison_part, difference_text
from cmil.comparison_stage import read_comparison
from cmil.explanations.explain import read_explanations
from cmil.explanations.page import explanation_part, mean_text
from cmil.pages import page_templates
from cmil.prediction import read_predictions
from cmil.report import (
    auc_text,
    check_one_model,
    cohort_flow,
    map_shown,
    pictures_of,
    training_curves,
)
from cmil.task_performance_page import task_performance_part
from cmil.training.curves import CURVES
from cohorts.files import write_text
from cohorts.manifest import Cohort
from survival.print_numbers import p_value

_EVENTS = {0: "no event until", 1: "event at"}


@dataclass(frozen=True)
class PatientRow:
    """What the page says of a patient, in words."""

    patient_id: str
    centre: str
    split: str
    score: str
    said: str
    known: str
    patches: int


def write_task_report(
    out: Path,
    *,
    title: str,
    cohort: Cohort,
    excluded: Mapping[str, str],
    failed_slides: Sequence[str],
    settings_text: str,
    encoder_note: str,
) -> Path:
    """Write `out/index.html`, which needs no other file.

    Parameters
    ----------
    out, title, cohort, excluded, failed_slides, settings_text, encoder_note
        As `cmil.report.write_report` takes them; `validation/`, `comparison/` and
        `explanations/` are there.

    Raises
    ------
    DataError
        If predictions or comparison are of another model than the bundle.
    FileFormatError
        If a file is missing or damaged.
    """
    predictions, bundle = read_predictions(out / "predictions.csv"), read_bundle(out / "model")
    check_one_model({bundle.digest}, predictions, None)
    compared = read_comparison(out / "comparison")
    slides = pd.read_csv(out / "bags" / "slides.csv", dtype=str, keep_default_na=False)
    facts = bundle.facts
    words = (auc_text, difference_text, p_value, mean_text)
    environment = page_templates({word.__name__: word for word in words})
    page = environment.get_template("task_report.html.j2").render(
        title=title,
        result=headline(compared),
        performed=task_performance_part(out / "validation"),
        score_means=what_scores_mean(facts),
        flow=list(cohort_flow(cohort, excluded, predictions, slides).itertuples()),
        excluded=[(i, cohort.patients.loc[i, "centre"], why) for i, why in excluded.items()],
        failed_slides=failed_slides,
        measure=str(compared["measure"].iloc[0]),
        comparison=comparison_part(out / "comparison", bundle.digest),
        explained=explanation_part(read_explanations(out / "explanations")),
        shown=map_shown(out / "attention"),
        patients=patient_rows(predictions, cohort.patients, facts),
        pictures=pictures_of(out / "heatmaps", predictions["patient_id"].tolist()),
        facts=facts,
        curves=training_curves(out / "model" / CURVES),
        model_digest=bundle.digest,
        settings_text=settings_text,
        encoder_note=encoder_note,
        version=__version__,
    )
    write_text(out / "index.html", page)
    return out / "index.html"


def headline(compared: pd.DataFrame) -> str:
    """Say the result in a sentence, of the widest external cohort where there is one.

    Parameters
    ----------
    compared
        As `compare_by_bootstrap` gives it; that cohort comes last.
    """
    row = compared[compared["role"] == MODEL].iloc[-1]
    measure = row["measure"][:1].upper() + row["measure"][1:]
    who = f"{row['patients']} patients ({row['cohort']})"
    if pd.isna(row["value"]):
        return f"{measure} in {who}: {row['note']}."
    return f"{measure} {auc_text(row['value'], row['ci_low'], row['ci_high'])} in {who}."


def what_scores_mean(facts: ModelFacts) -> str:
    """Say what the score of a study is the probability of."""
    if facts.classes:
        return f'A score is the probability of the class "{facts.classes[-1]}".'
    return (
        f"A score is the probability of an event of {facts.mil.endpoint} by "
        f"{facts.mil.horizon:g}, in the unit of the endpoint."
    )


def patient_rows(
    predictions: pd.DataFrame, patients: pd.DataFrame, facts: ModelFacts
) -> list[PatientRow]:
    """Put what is said and what is known of every patient into words, highest scores first.

    Parameters
    ----------
    predictions
        As `read_predictions` gives them.
    patients
        Of the manifest, indexed by patient_id.
    """
    rows = []
    for row in predictions.sort_values("score", ascending=False, kind="stable").to_dict("records"):
        spread = "" if pd.isna(row["score_sd"]) else f" ± {row['score_sd']:.3f}"
        above = row["score"] >= facts.threshold
        said = row.get("predicted_class", f"{'at or above' if above else 'below'} the threshold")
        rows.append(
            PatientRow(
                patient_id=str(row["patient_id"]),
                centre=str(row["centre"]),
                split=str(row["split"]),
                score=f"{row['score']:.3f}{spread}",
                said=str(said),
                known=_known(row, patients.loc[row["patient_id"]], facts),
                patches=int(row["n_patches"]),
            )
        )
    return rows


def _known(row: Mapping[Hashable, Any], patient: pd.Series, facts: ModelFacts) -> str:
    if facts.endpoint is None:
        known = row.get("class")
        return "not known" if known is None or pd.isna(known) else str(known)
    time, event = patient[facts.endpoint.time], patient[facts.endpoint.event]
    if pd.isna(time) or pd.isna(event):
        return "not known"
    return f"{_EVENTS.get(int(event), 'other event at')} {time:g}"
