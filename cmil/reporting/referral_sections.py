"""Sections on what the score should not decide: referral, shift, too few patches, readers."""

from collections.abc import Mapping, Sequence

import pandas as pd

from cmil.readers.figures import readers_figure
from cmil.referral.figures import detection_figure, risk_coverage_figure, stability_figure
from cmil.reporting.columns import (
    Printed,
    interval,
    number,
    own_interval,
    p,
    printed,
    said_once,
    share,
    words,
)
from cmil.reporting.contents import Figure, Section, Table
from cmil.reporting.study_files import StudyFiles

_MOST_FLIPS = 0.05
"""Share of decisions that may change with other patches of the same smear."""
_OF: Mapping[str, Printed] = {"Cohort": words("cohort"), "Patients": words("patients")}
_REFERRED: Mapping[str, Printed] = {
    **_OF,
    "Answered": share("coverage"),
    "Wrong, of those answered": share("error"),
    "Missed, of those with metastasis": share("missed"),
    "False alarms, of those without": share("false_alarm"),
    "Wrong, if nobody is referred": share("error_unreferred"),
    "Note": words("note"),
}
_AREA: Mapping[str, Printed] = {
    **_OF,
    "Area (95% CI)": interval("value", digits=3),
    "Least there can be": number("least", 3),
    "Of a random order": number("random", 3),
}
_SHIFTED: Mapping[str, Printed] = {
    "Centre": words("centre"),
    "Patients": words("patients"),
    "Distance": number("distance", 3),
    "Too far from": number("too_far", 3),
    "p": p(),
    "Verdict": words("verdict"),
    "False alarms of the test (95% CI)": own_interval("false_alarm_rate"),
}
_COMPARED: Mapping[str, Printed] = {
    "Cohort": words("cohort"),
    "Reader": words("reader"),
    "Measure": words("measure"),
    "Patients": words("patients"),
    "Model": number("model"),
    "Reader's": number("reader_value"),
    "Difference (95% CI)": interval("difference"),
    "p": p(),
    "p (McNemar, exact)": p("p_exact"),
    "p (mid-p)": p("p_mid"),
    "Note": words("note"),
}
_READ: Mapping[str, Mapping[str, Printed]] = {
    "readers-agreement": {
        "Cohort": words("cohort"),
        "One": words("one"),
        "Other": words("other"),
        "Patients": words("patients"),
        "Kappa (95% CI)": interval("kappa"),
        "Agreement": number("observed"),
        "By chance": number("expected"),
        "Note": words("note"),
    },
    "readers-differences": _COMPARED,
    "readers-auc": _COMPARED,
}


def referral_sections(study: StudyFiles) -> Sequence[Section]:
    """Give a section for each question that the validation has answered."""
    return [section for of in _SECTIONS for section in of(study)]


def _referral(study: StudyFiles) -> Sequence[Section]:
    found = study.validation
    said = [] if found.referral_rule is None else [found.referral_rule.guarantee]
    if found.referral_rule is not None and found.referral_rule.note:
        said.append(found.referral_rule.note)
    cohort = found.performance["cohort"].iloc[-1]
    curve = found.risk_coverage[found.risk_coverage["cohort"] == cohort]
    area = found.risk_coverage_area[found.risk_coverage_area["cohort"] == cohort]
    parts: list[Table | Figure] = []
    if found.referral is not None:
        caption = "Patients answered, and errors among them, under the frozen rule of referral."
        parts.append(_table("referral", caption, found.referral, _REFERRED))
        row = found.referral[found.referral["cohort"] == cohort].iloc[0]
        parts.append(
            Figure(
                "risk-coverage",
                f"Error among those answered over the share that is answered, {cohort}; the dot is "
                "the frozen rule.",
                "Risk-coverage curve",
                risk_coverage_figure(curve, row),
            )
        )
    caption = f"Area under the risk-coverage curve (patients answered from the surest), {cohort}."
    caption += said_once(area, ("method",))
    parts.append(_table("risk-coverage-area", caption, area, _AREA))
    return [Section("Referral", said, parts)]


def _shift(study: StudyFiles) -> Sequence[Section]:
    shift = study.validation.shift
    if shift is None or shift.empty:
        return []
    caption = (
        "How far the embeddings of each external centre are from development, with the share of "
        "false alarms such a test has there."
    )
    caption += said_once(shift, ("method", "false_alarms_of", "note"))
    return [Section("Shift", [], [_table("shift", caption, shift, _SHIFTED)])]


def _patches(study: StudyFiles) -> Sequence[Section]:
    found = study.validation
    parts: list[Table | Figure] = []
    if found.stability is not None and len(found.stability):
        parts.append(
            Figure(
                "stability",
                "Spread of the score, and share of decisions that change, against the number of "
                "patches a patient is scored by.",
                "Stability of the score over the number of patches",
                stability_figure(found.stability, _MOST_FLIPS),
            )
        )
    if found.detection is not None and found.detection_points is not None:
        note = found.detection.note
        parts.append(
            Figure(
                "detection-limit",
                "Bags detected at each planted share of tumour patches, the fitted curve and the "
                f"share that is found with 95% probability.{f' {note}' if note else ''}",
                "Detection against the share of tumour",
                detection_figure(found.detection_points, found.detection),
            )
        )
    return [Section("How many patches", [], parts)] if parts else []


def _readers(study: StudyFiles) -> Sequence[Section]:
    found = study.validation
    tables = {
        "readers-agreement": ("Agreement of readers and model.", found.readers_agreement),
        "readers-differences": ("Model less each reader.", found.readers_differences),
        "readers-auc": ("Multi-reader AUC.", found.readers_auc),
    }
    parts: list[Table | Figure] = [
        _table(name, f"{caption}{said_once(table, ('method',))}", table, _READ[name])
        for name, (caption, table) in tables.items()
        if table is not None and len(table)
    ]
    if found.readers_points is not None and len(found.readers_points):
        cohort = found.performance["cohort"].iloc[-1]
        roc = found.tables.roc[found.tables.roc["cohort"] == cohort]
        operating = found.performance.iloc[-1]
        parts.append(
            Figure(
                "readers",
                f"Readers beside the model's ROC curve, {cohort}.",
                "Readers and ROC curve",
                readers_figure(roc, operating, found.readers_points, f"{operating['auc']:.3f}"),
            )
        )
    return [Section("Readers", [], parts)] if parts else []


def _table(name: str, caption: str, table: pd.DataFrame, columns: Mapping[str, Printed]) -> Table:
    return Table(name, caption, table, printed(table, columns))


_SECTIONS = (_referral, _shift, _patches, _readers)
