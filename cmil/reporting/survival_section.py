"""What the frozen score says of each endpoint."""

from collections.abc import Sequence

import pandas as pd

from cmil.reporting.contents import Figure, Section, Table
from cmil.reporting.study_files import StudyFiles
from cmil.reporting.words import as_text, file_name, intervals
from survival import SurvivalResults, group_figure, hazard_ratio_figure
from survival.print_numbers import NOT_ESTIMABLE, p_value

_FURTHER = {
    "per_sd": "Hazard ratio per standard deviation of the score, of",
    "concordance": "Concordance of score and",
    "rmst_contrasts": "Differences of restricted mean time of",
    "proportional_hazards": "Tests of proportional hazards of",
    "dynamic_auc": "Time-dependent AUC of",
    "brier_integrated": "Integrated Brier score of",
    "added_value": "What the score adds to the clinical model, of",
    "centres_pooled": "Hazard ratio pooled over centres, of",
    "subgroups": "Hazard ratios in subgroups, of",
}


def survival_sections(study: StudyFiles) -> Sequence[Section]:
    """Give one section an endpoint."""
    if study.survival is None:
        return []
    methods = " ".join(study.survival.methods.split())
    return [
        *(_section(study.survival, name) for name in study.settings.cohort.endpoints),
        Section("Methods of the survival analysis", [methods]),
    ]


def _section(survival: SurvivalResults, endpoint: str) -> Section:
    tests = _of(survival.logrank, endpoint)
    figures = [
        Figure(
            file_name(f"survival-{endpoint}-{stratum}"),
            f"Kaplan-Meier curves of {endpoint}, {stratum}, by the locked cut-point "
            f"{survival.cutpoint.value:.3f}, with 95% intervals and numbers at risk.",
            f"Kaplan-Meier curves of {endpoint}, {stratum}",
            group_figure(survival, endpoint, str(stratum)),
        )
        for stratum in tests["stratum"]
    ]
    forest = Figure(
        file_name(f"hazard-ratios-{endpoint}"),
        f"Hazard ratios of {endpoint} with 95% intervals.",
        f"Hazard ratios of {endpoint}",
        hazard_ratio_figure(survival, endpoint),
    )
    return Section(
        f"Survival, {endpoint}",
        [
            f"The cut-point ({survival.cutpoint.method}) was fitted on development out-of-fold "
            "scores and applied unchanged."
        ],
        [
            *figures,
            forest,
            _ratios(survival, endpoint),
            _medians(survival, endpoint),
            *_further(survival, endpoint),
        ],
    )


def _further(survival: SurvivalResults, endpoint: str) -> Sequence[Table]:
    """Give the short tables of the other questions; curves stay in the files of the stage."""
    parts = []
    for name, caption in _FURTHER.items():
        if name in survival.further:
            table = _of(survival.further[name], endpoint)
            if len(table):
                shown = table.drop(columns="endpoint").map(as_text, missing=NOT_ESTIMABLE)
                parts.append(
                    Table(file_name(f"{name}-{endpoint}"), f"{caption} {endpoint}.", table, shown)
                )
    return parts


def _ratios(survival: SurvivalResults, endpoint: str) -> Table:
    ratios = _of(survival.cox, endpoint)
    shown = pd.DataFrame(
        {
            "Patients of": ratios["stratum"],
            "Term": ratios["term"],
            "Adjusted for": ratios["adjusted_for"],
            "Events": ratios["events"],
            "Hazard ratio (95% CI)": intervals(ratios, "hr", 2),
            "p": ratios["p"].map(p_value),
            "Note": ratios["note"],
        }
    )
    caption = f"Cox models of {endpoint} (Efron ties)."
    return Table(file_name(f"cox-{endpoint}"), caption, ratios, shown)


def _medians(survival: SurvivalResults, endpoint: str) -> Table:
    medians = _of(survival.medians, endpoint)
    shown = medians.map(as_text, missing=NOT_ESTIMABLE)
    return Table(file_name(f"medians-{endpoint}"), f"Median times of {endpoint}.", medians, shown)


def _of(table: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    return table[table["endpoint"] == endpoint]
