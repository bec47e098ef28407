"""What the frozen score says of each endpoint."""

from collections.abc import Mapping, Sequence

import pandas as pd

from cmil.reporting.columns import (
    Printed,
    interval,
    limits,
    median_time,
    number,
    p,
    pair,
    printed,
    said_once,
    words,
)
from cmil.reporting.contents import Figure, Section, Table
from cmil.reporting.study_files import StudyFiles
from cmil.reporting.words import file_name, intervals
from survival import SurvivalResults, group_figure, hazard_ratio_figure
from survival.print_numbers import NOT_ESTIMABLE, p_value

_FURTHER = {
    "concordance": "Concordance of score and",
    "rmst_contrasts": "Restricted mean time of groups, of",
    "proportional_hazards": "Tests of proportional hazards of",
    "dynamic_auc": "Time-dependent AUC of",
    "brier_integrated": "Integrated Brier score of",
    "added_value": "What the score adds to the clinical model, of",
    "centres_pooled": "Hazard ratio pooled over centres, of",
    "subgroups": "Hazard ratios in subgroups, of",
}
_OF = {"Patients of": words("stratum")}
_SIZE = {"n": words("n"), "Events": words("events")}
_COLUMNS: Mapping[str, Mapping[str, Printed]] = {
    "concordance": {
        **_OF,
        "Measure": words("method"),
        "C (95% CI)": interval("value", missing=NOT_ESTIMABLE),
        **_SIZE,
        "Up to": number("tau"),
        "Censoring weights of": words("weights"),
        "Note": words("note"),
    },
    "rmst_contrasts": {
        **_OF,
        "Groups": pair("group", "reference"),
        "Measure": words("measure"),
        "Value (95% CI)": interval("estimate", missing=NOT_ESTIMABLE),
        "p": p(),
        "Up to": number("tau", unit="unit"),
        "Note": words("note"),
    },
    "proportional_hazards": {
        **_OF,
        "Term": words("term"),
        "chi²": number("chi2"),
        "df": words("df"),
        "p": p(),
        "Note": words("note"),
    },
    "dynamic_auc": {
        **_OF,
        "Time": number("time", unit="unit"),
        "AUC (95% CI)": interval("auc", missing=NOT_ESTIMABLE),
        "Cases": words("cases"),
        "Controls": words("controls"),
        "Censoring weights of": words("weights"),
        "Note": words("note"),
    },
    "brier_integrated": {
        **_OF,
        "Model": words("model"),
        "Measure": words("measure"),
        "Value (95% CI)": interval("value", digits=3, missing=NOT_ESTIMABLE),
        "n": words("n"),
        "Fitted on": words("fitted_on"),
        "Note": words("note"),
    },
    "added_value": {
        **_OF,
        "Model": words("model"),
        "C, optimism taken off (95% CI)": interval("corrected", missing=NOT_ESTIMABLE),
        "C, apparent": number("apparent"),
        **_SIZE,
        "p (likelihood ratio)": p(),
        "Note": words("note"),
    },
    "centres_pooled": {
        **_OF,
        "Centres": words("centres"),
        "Hazard ratio (95% CI)": interval("hr", missing=NOT_ESTIMABLE),
        "p": p(),
        "Ad hoc 95% CI": limits("adhoc_ci_low", "adhoc_ci_high"),
        "95% prediction interval": limits("prediction_low", "prediction_high"),
        "tau²": number("tau2", 3),
        "I², %": number("i2", 0),
        "Note": words("note"),
    },
    "subgroups": {
        **_OF,
        "Subgroup": words("subgroup"),
        "Level": words("level"),
        **_SIZE,
        "Hazard ratio (95% CI)": interval("hr", missing=NOT_ESTIMABLE),
        "p": p(),
        "Note": words("note"),
    },
}
# What is the same for all rows stands in the caption.
_ONCE = {
    "rmst_contrasts": ("method",),
    "proportional_hazards": ("method",),
    "brier_integrated": ("method",),
    "added_value": ("method",),
    "centres_pooled": ("method",),
}
_MEDIANS: Mapping[str, Printed] = {
    **_OF,
    "Group": words("group"),
    **_SIZE,
    "Median (95% CI)": median_time(),
    "Follow-up, median (95% CI)": median_time(
        "follow_up_median", "follow_up_ci_low", "follow_up_ci_high"
    ),
    "Unit": words("unit"),
}


def survival_sections(study: StudyFiles) -> Sequence[Section]:
    """Give one section an endpoint."""
    if study.survival is None:
        return []
    paragraphs = [" ".join(part.split()) for part in study.survival.methods.split("\n\n")]
    methods = [part for part in paragraphs if part and not part.startswith("#")]
    return [
        *(_section(study.survival, name) for name in study.settings.cohort.endpoints),
        Section("Methods of the survival analysis", methods),
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
                said = f"{caption} {endpoint}.{said_once(table, _ONCE.get(name, ()))}"
                shown = printed(table, _COLUMNS[name])
                parts.append(Table(file_name(f"{name}-{endpoint}"), said, table, shown))
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
    caption = (
        f"Median times of {endpoint}, NR where not reached; follow-up by reverse Kaplan-Meier."
    )
    name = file_name(f"medians-{endpoint}")
    return Table(name, caption, medians, printed(medians, _MEDIANS))


def _of(table: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    return table[table["endpoint"] == endpoint]
