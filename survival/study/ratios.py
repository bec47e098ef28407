"""Hazard ratios by Cox regression: of the score and of its groups, alone and adjusted."""

import pandas as pd

from survival.cox import (
    NO_PENALTY,
    CoxRegression,
    Penalty,
    PenaltyKind,
    cox_regression,
)
from survival.score_figures import forest_figure
from survival.study.panels import titled
from survival.study.plan import Plan
from survival.study.stratum import Answer, Stratum, group_terms

_RATIO = ("hr", "ci_low", "ci_high", "p")


def hazard_ratios(stratum: Stratum, plan: Plan) -> Answer:
    """Fit the score per SD and the score groups, each alone and beside the clinical model."""
    designs = (stratum.score, group_terms(stratum.rows, plan.groups))
    adjustments = _adjustments(stratum)
    models = [
        (design, clinical, fit(stratum, design, clinical, plan.settings.penalty))
        for design in designs
        for clinical in adjustments
    ]
    lines: list[dict[str, object]] = []
    terms = []
    for design, clinical, found in models:
        known = {
            "adjusted_for": ", ".join(clinical.columns),
            "stratified_by": stratum.stratified_by,
        }
        lines += [
            {"term": term} | known | _ratio(found, place)
            for place, term in enumerate(design.columns)
        ]
        model = ", ".join([*design.columns, *clinical.columns])
        terms.append(_all_terms(found, model, stratum))
    # The score beside the whole clinical model, where there is one.
    adjusted = models[len(adjustments) - 1][2]
    return Answer(
        {"cox": pd.DataFrame(lines), "cox_models": pd.concat(terms, ignore_index=True)},
        {"forest": lambda: titled(forest_figure(adjusted), plan.title(stratum))},
    )


def fit(
    stratum: Stratum, design: pd.DataFrame, clinical: pd.DataFrame, kind: PenaltyKind = "none"
) -> CoxRegression:
    """Fit a Cox model of the columns of both, stratified by centre where there are several.

    Who lacks a covariate is left out of this one model; its n says so. A penalty is of models with
    clinical columns; those are what ridge shrinks.
    """
    rows, columns = stratum.rows, pd.concat([design, clinical], axis=1)
    kept = columns.notna().all(axis=1)
    centres = stratum.strata
    return cox_regression(
        rows.loc[kept, "time"],
        rows.loc[kept, "event"],
        columns[kept],
        entry=None if stratum.entry is None else stratum.entry[kept],
        strata=None if centres is None else centres[kept],
        penalty=_penalty(kind, clinical),
    )


def _penalty(kind: PenaltyKind, clinical: pd.DataFrame) -> Penalty:
    if clinical.empty or kind == "none":
        return NO_PENALTY
    return Penalty(kind, tuple(map(str, clinical.columns)) if kind == "ridge" else ())


def _adjustments(stratum: Stratum) -> list[pd.DataFrame]:
    alone = stratum.clinical.iloc[:, :0]
    return [alone, stratum.clinical] if len(stratum.clinical.columns) else [alone]


def _ratio(found: CoxRegression, place: int) -> dict[str, object]:
    ratio = {name: found.table[name].iloc[place] for name in _RATIO}
    counts = {"n": found.n, "events": found.events}
    return ratio | counts | {"events_per_parameter": found.events_per_parameter, "note": found.note}


def _all_terms(found: CoxRegression, model: str, stratum: Stratum) -> pd.DataFrame:
    table = found.table.assign(n=found.n, events=found.events)
    table.insert(0, "model", model)
    test = found.likelihood_ratio
    return table.assign(
        stratified_by=stratum.stratified_by,
        likelihood_ratio=test.chi2,
        likelihood_ratio_df=test.df,
        likelihood_ratio_p=test.p,
        note=found.note,
    )
