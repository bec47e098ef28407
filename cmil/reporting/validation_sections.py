"""Sections on how the frozen score does: each centre, decisions, calibration, use, centres."""

from collections.abc import Mapping, Sequence

import pandas as pd

from cmil.reporting.columns import Printed, interval, limits, number, own_interval, printed, words
from cmil.reporting.contents import Figure, Section, Table
from cmil.reporting.study_files import StudyFiles
from cmil.reporting.words import intervals, notes_of, wide
from cmil.validation.figures import calibration_figure, decision_figure, roc_figure
from cmil.validation.forest_figures import centre_forest_figure, subgroup_forest_figure
from survival.print_numbers import NOT_ESTIMABLE, p_value

_RECALIBRATED: Mapping[str, Printed] = {
    "Cohort": words("cohort"),
    "Recalibration": words("recalibration"),
    "Intercept (95% CI)": own_interval("intercept"),
    "Slope (95% CI)": own_interval("slope"),
    "Mean score": number("mean_score", 3),
    "Observed": number("observed", 3),
    "Brier (95% CI)": own_interval("brier", 3),
    "Note": words("note"),
}
_WHOLE = {"o_e": "O:E", "lr_positive": "LR+", "lr_negative": "LR-"}
_WORDS = {name: name.upper() for name in ("auc", "ppv", "npv", "ici", "ece")} | {"brier": "Brier"}
_SIZE = {"cohort": "Cohort", "patients": "Patients", "positives": "With the outcome"}


def validation_sections(study: StudyFiles) -> Sequence[Section]:
    """Give the sections on the frozen score, in the order of TRIPOD+AI's item 12e."""
    return [
        _discrimination(study),
        _decisions(study),
        _calibration(study),
        _usefulness(study),
        _centres(study),
        *_subgroups(study),
    ]


def _discrimination(study: StudyFiles) -> Section:
    found = study.validation.tables
    table = found.discrimination
    measures = {name: _heading(name) for name in table["measure"].unique()}
    parts: list[Table | Figure] = [
        Table(
            "discrimination",
            "Discrimination, with 95% intervals: " + _methods(table),
            table,
            wide(table, _SIZE, measures),
        )
    ]
    if len(found.roc):  # cohorts of one label have no curve
        parts.append(
            Figure(
                "roc",
                "ROC curve of each cohort; the dot is the locked threshold, with its Wilson "
                "intervals.",
                "ROC curves with the locked threshold",
                roc_figure(found.roc, found.discrimination, found.decisions),
            )
        )
    if len(found.comparisons):
        compared = found.comparisons
        shown = pd.DataFrame(
            {
                "Cohort": compared["cohort"],
                "AUC": compared["comparison"],
                "Difference (95% CI)": intervals(compared, "difference"),
                "p": compared["p"].map(p_value),
                "p, Holm": compared["p_holm"].map(p_value),
                "Method": compared["method"],
            }
        )
        caption = "Differences of AUC, with DeLong's test; p values are corrected by Holm."
        parts.append(Table("auc-differences", caption, compared, shown))
    note = _notes(table)
    return Section("Discrimination", [note] if note else [], parts)


def _decisions(study: StudyFiles) -> Section:
    table = study.validation.tables.decisions
    own = table[table["prevalence"].isna()].assign(
        threshold=lambda rows: rows["threshold_name"] + rows["threshold"].map(", {:.3f}".format)
    )
    names = ("sensitivity", "specificity", "ppv", "npv", "accuracy")
    rows = {"cohort": "Cohort", "threshold": "Threshold"}
    parts = [
        Table(
            "decisions",
            "Decisions at the locked thresholds: " + _methods(table),
            table,
            wide(own, rows, {name: _heading(name) for name in names}, digits=2),
        ),
        Table(
            "likelihood-ratios",
            "Likelihood ratios at the locked thresholds.",
            own[own["measure"].str.startswith("lr_")],
            wide(own, rows, {"lr_positive": "LR+", "lr_negative": "LR-"}, digits=2),
        ),
    ]
    elsewhere = table[table["prevalence"].notna()]
    if len(elsewhere):
        shown = elsewhere.assign(
            threshold=elsewhere["threshold_name"],
            prevalence=elsewhere["prevalence"].map("{:.0%}".format),
        )
        parts.append(
            Table(
                "predictive-values",
                "Predictive values at stated prevalences.",
                elsewhere,
                wide(
                    shown,
                    {**rows, "prevalence": "Prevalence"},
                    {"ppv": "PPV", "npv": "NPV"},
                    digits=2,
                ),
            )
        )
    text = (
        "The thresholds were chosen on out-of-fold scores of development, so that its numbers "
        "flatter; those of external cohorts do not."
    )
    return Section("Decisions", [text], parts)


def _calibration(study: StudyFiles) -> Section:
    found = study.validation.tables
    table = found.calibration
    measures = {name: _heading(name) for name in table["measure"].unique()}
    note = _notes(table)
    return Section(
        "Calibration",
        [note] if note else [],
        [
            Table(
                "calibration",
                "Calibration of the locked score: intercept 0, slope 1 and O:E 1 are right. "
                + _methods(table),
                table,
                wide(table, _SIZE, measures),
            ),
            Figure(
                "calibration",
                "How often patients of a score have the outcome, with 95% band (restricted cubic "
                "spline), and where the scores lie.",
                "Calibration curves",
                calibration_figure(found.calibration_curve, found.score_histogram, table),
            ),
            *_recalibration(study),
        ],
    )


def _recalibration(study: StudyFiles) -> Sequence[Table]:
    table = study.recalibration
    if table is None:
        return []
    caption = (
        "What recalibration on a centre's own patients would do. It is beside the locked result "
        "and not applied: every other number is of the locked score."
    )
    return [Table("recalibration", caption, table, printed(table, _RECALIBRATED))]


def _usefulness(study: StudyFiles) -> Section:
    found = study.validation.tables
    return Section(
        "Usefulness",
        [
            "Net benefit: true positives a patient, less false ones weighed by the odds of the "
            "threshold at which one would act (Vickers & Elkin 2006)."
        ],
        [
            Figure(
                "decision-curves",
                "Decision curve of each cohort with 95% bootstrap bands, against acting on all, on "
                "none and, where one is named, on a comparator.",
                "Decision curves",
                decision_figure(found.decision_curve),
            )
        ],
    )


def _centres(study: StudyFiles) -> Section:
    found = study.validation.tables
    pooled = found.heterogeneity
    if pooled.empty:
        return Section("Centres", ["No external centre has been scored."])
    without = found.leave_one_out[found.leave_one_out["measure"] == "auc"]
    left_out = pd.DataFrame(
        {
            "Left out": without["left_out"],
            "AUC of the others (95% CI)": intervals(without),
            "Note": without["note"],
        }
    )
    return Section(
        "Centres",
        [
            "Centres are pooled by random effects (REML, Hartung-Knapp). Where few of them agree "
            "by chance, that interval is too narrow and the ad hoc one is to be read. The "
            "prediction interval says where the next centre's number is to be expected, if it is "
            "one of their kind."
        ],
        [
            Figure(
                "centres",
                "AUC of each external centre, pooled, with prediction interval.",
                "Forest plot of AUC by centre",
                centre_forest_figure(found.centres, pooled, "auc"),
            ),
            Table(
                "heterogeneity",
                "Measures over external centres.",
                pooled,
                printed(pooled, _POOLED),
            ),
            Table("leave-one-centre-out", "Without each centre in turn.", without, left_out),
        ],
    )


def _subgroups(study: StudyFiles) -> Sequence[Section]:
    found = study.validation.tables
    table = found.subgroups
    if table.empty:
        return []
    shown = pd.DataFrame(
        {
            "Variable": table["variable"],
            "Level": table["level"],
            "Measure": _named(table),
            "Patients": table["patients"],
            "Value (95% CI)": intervals(table),
            "p of interaction": table["p_interaction"].map(p_value),
        }
    )
    of_auc = table[table["measure"] == "auc"]
    discrimination = found.discrimination[found.discrimination["measure"] == "auc"]
    overall = discrimination.tail(1)  # the widest external cohort
    caption = "External patients by subgroup; p tests whether the levels differ, uncorrected."
    return [
        Section(
            "Subgroups",
            [],
            [
                Figure(
                    "subgroups",
                    "AUC by subgroup with tests of interaction.",
                    "Forest plot of AUC by subgroup",
                    subgroup_forest_figure(of_auc, overall.iloc[0]),
                ),
                Table("subgroups", caption, table, shown),
            ],
        )
    ]


def _methods(table: pd.DataFrame) -> str:
    """Name the method of each measure's interval."""
    used = table.groupby("measure", sort=False)["method"].unique()
    return "; ".join(f"{_heading(name)} {' or '.join(of)}" for name, of in used.items()) + "."


def _notes(table: pd.DataFrame) -> str:
    return notes_of(table.assign(measure=table["measure"].map(_heading)), ["cohort", "measure"])


def _heading(measure: object) -> str:
    name = str(measure)
    text = " ".join(_WORDS.get(word, word) for word in _WHOLE.get(name, name).split("_"))
    return text[:1].upper() + text[1:]


def _named(table: pd.DataFrame) -> list[str]:
    rows = zip(table["measure"], table["threshold_name"], strict=True)
    return [f"{_heading(name)} at {at}" if at else _heading(name) for name, at in rows]


_POOLED: Mapping[str, Printed] = {
    "Measure": _named,
    "Centres": words("centres"),
    "Pooled (95% CI)": interval("value", digits=3, missing=NOT_ESTIMABLE),
    "Ad hoc 95% CI": limits("adhoc_ci_low", "adhoc_ci_high", 3),
    "95% prediction interval": limits("prediction_low", "prediction_high", 3),
    "tau²": number("tau2", 3),
    "I², %": number("i2", 1),
    "Note": words("note"),
}
