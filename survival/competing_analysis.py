"""Everything said of one endpoint with competing events in one stratum, as tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from survival.competing_risks import (
    CAUSE_SPECIFIC_METHOD,
    METHOD,
    cause_specific_hazard_ratio,
    cumulative_incidence,
    kaplan_meier_overestimate,
)
from survival.curves import numbers_at_risk
from survival.fine_gray import fine_gray
from survival.gray import gray_test

CAUSE_SPECIFIC, SUBDISTRIBUTION = "cause-specific", "subdistribution"


@dataclass(frozen=True)
class CompetingRisks:
    """Tables of one endpoint in one stratum; `event` names the event a row speaks of.

    Attributes
    ----------
    incidence
        Columns of `cumulative_incidence` for each `event` and `group`, and `method`.
    numbers_at_risk
        `group, time, n_risk`: free of any event and under observation.
    gray
        Gray's test of the groups for each `event`: `stratified_by, chi2, df, p, method, note`.
    hazards
        `event, model` ("cause-specific" or "subdistribution"), `term, adjusted_for,
        stratified_by, hr, ci_low, ci_high, p, n, events, method, note`. A subdistribution model
        has one baseline; its censoring is estimated within each centre where there are several.
    overestimates
        `event, group, time, incidence, one_minus_km, note` at the last time read.
    """

    incidence: pd.DataFrame
    numbers_at_risk: pd.DataFrame
    gray: pd.DataFrame
    hazards: pd.DataFrame
    overestimates: pd.DataFrame


def competing_risks(
    outcome: pd.DataFrame,
    events: Sequence[str],
    terms: pd.DataFrame,
    covariates: pd.DataFrame,
    at: ArrayLike,
) -> CompetingRisks:
    """Describe, test and model every event of an endpoint, the competing ones too.

    A score that goes with fewer metastases because its patients die first shows only where all
    events are reported (Latouche et al. 2013, J Clin Epidemiol 66:648).

    Parameters
    ----------
    outcome
        `time, code, group, centre`: code 0 for a censored patient, k for the k-th of `events`.
        Where there are several centres, patients are compared within them.
    events
        Name of each event, the endpoint's own first.
    terms
        Numeric columns, each a hazard ratio of its own: the score, the score group.
    covariates
        Numeric columns the adjusted models hold beside a term; may be without columns. Who lacks
        one is left out of the adjusted models, and their `n` says so.
    at
        Times at which the numbers at risk are counted (k,).
    """
    by_group = [(str(name), members) for name, members in outcome.groupby("group")]
    named = [*enumerate(events, start=1)]
    curves = [
        cumulative_incidence(members["time"], members["code"], code).assign(
            event=event, group=name, method=METHOD
        )
        for code, event in named
        for name, members in by_group
    ]
    last = float(np.max(np.asarray(at, dtype=np.float64)))
    overestimates = [
        {"event": event, "group": name}
        | vars(kaplan_meier_overestimate(members["time"], members["code"], last, code))
        for code, event in named
        for name, members in by_group
    ]
    incidence = pd.concat(curves, ignore_index=True)
    leading = ["event", "group"]
    return CompetingRisks(
        incidence[[*leading, *incidence.columns.drop(leading)]],
        numbers_at_risk(outcome["time"], outcome["group"], at),
        pd.DataFrame([{"event": event} | _gray(outcome, code) for code, event in named]),
        pd.DataFrame(
            [
                {"event": event} | line
                for code, event in named
                for line in _hazards(outcome, code, terms, covariates)
            ]
        ),
        pd.DataFrame(overestimates),
    )


def _gray(outcome: pd.DataFrame, code: int) -> dict[str, object]:
    strata = _several_centres(outcome)
    test = gray_test(outcome["time"], outcome["code"], outcome["group"], code, strata)
    return {
        "stratified_by": "" if strata is None else "centre",
        "chi2": test.chi2,
        "df": test.df,
        "p": test.p,
        "method": test.method,
        "note": test.note,
    }


def _hazards(
    outcome: pd.DataFrame, code: int, terms: pd.DataFrame, covariates: pd.DataFrame
) -> list[dict[str, object]]:
    lines = []
    for term in terms:
        for adjusted_for in dict.fromkeys([(), tuple(covariates.columns)]):
            design = pd.concat([terms[term], covariates[list(adjusted_for)]], axis=1)
            kept = design.notna().all(axis=1)
            model = {"term": term, "adjusted_for": ", ".join(map(str, adjusted_for))}
            for ratio in (_cause_specific, _subdistribution):
                line = ratio(outcome[kept], code, design[kept].astype(np.float64))
                lines.append({"model": line.pop("model")} | model | line)
    return lines


def _cause_specific(outcome: pd.DataFrame, code: int, design: pd.DataFrame) -> dict[str, object]:
    strata = _several_centres(outcome)
    ratio = cause_specific_hazard_ratio(outcome["time"], outcome["code"], design, code, strata)
    return {
        "model": CAUSE_SPECIFIC,
        "stratified_by": "" if strata is None else "centre",
        "hr": ratio.hr,
        "ci_low": ratio.ci_low,
        "ci_high": ratio.ci_high,
        "p": ratio.p,
        "n": ratio.n,
        "events": ratio.events,
        "method": CAUSE_SPECIFIC_METHOD,
        "note": ratio.note,
    }


def _subdistribution(outcome: pd.DataFrame, code: int, design: pd.DataFrame) -> dict[str, object]:
    groups = _several_centres(outcome)
    fit = fine_gray(outcome["time"], outcome["code"], design, code, groups)
    term = fit.terms.iloc[0]
    return {
        "model": SUBDISTRIBUTION,
        "stratified_by": "",
        "hr": term["shr"],
        "ci_low": term["ci_low"],
        "ci_high": term["ci_high"],
        "p": term["p"],
        "n": fit.n,
        "events": fit.events,
        "method": fit.method,
        "note": fit.note,
    }


def _several_centres(outcome: pd.DataFrame) -> "pd.Series[str] | None":
    return outcome["centre"] if outcome["centre"].nunique() > 1 else None
