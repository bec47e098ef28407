"""Scores, outcomes and covariates of the same patients, by endpoint and stratum."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from cohorts.endpoints import Endpoint
from cohorts.errors import DataError
from cohorts.strata import DEVELOPMENT, POOLED
from survival.cutpoint import CutPoint, apply_cutpoint
from survival.endpoints import (
    event_codes,
    join_endpoints,
    outcome_problems,
    refuse,
    without_outcome,
)
from survival.findings import absent_columns
from survival.risk_group import known_risk_group
from survival.settings import SurvivalSettings
from survival.study.stratum import Stratum


def join_each(
    predictions: pd.DataFrame,
    patients: pd.DataFrame,
    endpoints: Mapping[str, Endpoint],
    settings: SurvivalSettings,
) -> dict[str, Stratum]:
    """Join scores and outcomes endpoint by endpoint, each without those who lack that outcome."""
    if not endpoints:
        refuse(["patients: no endpoint is named; name its time and event columns"])
    joined: dict[str, Stratum] = {}
    absent = absent_columns("patients", patients.columns, settings.words)
    problems = [finding.message for finding in absent]
    for name, endpoint in endpoints.items():
        lacking = without_outcome(patients, endpoint).index
        scored = predictions[~predictions["patient_id"].isin(lacking)]
        known = patients[~patients.index.isin(lacking)]
        if known.empty:
            problems += outcome_problems(patients, {name: endpoint}, ())
            continue
        try:
            rows = join_endpoints(scored, known, {name: endpoint}, settings.covariates)
        except DataError as error:
            problems += str(error).splitlines()
            continue
        if not absent:
            joined[name] = _everyone(rows, known, endpoint, settings)
    refuse(list(dict.fromkeys(problems)))
    return joined


def _everyone(
    rows: pd.DataFrame, known: pd.DataFrame, endpoint: Endpoint, settings: SurvivalSettings
) -> Stratum:
    """All patients with the endpoint's outcome, before they are parted."""
    outcome = {"time": rows[endpoint.time], "event": rows[endpoint.event].astype(int)}
    outcome |= {"entry": rows[endpoint.entry]} if endpoint.entry else {}
    codes = event_codes(rows, known, endpoint)
    columns = known.set_axis(known.index.astype(str)).loc[rows.index]
    risk = known_risk_group(columns, settings.risk_group) if settings.risk_group else None
    return Stratum(
        "all",
        rows[["centre", "score"]].assign(**outcome, code=codes),
        rows[list(settings.covariates)],
        risk,
        columns[list(settings.subgroups)],
    )


def strata_of(everyone: Stratum, cut: CutPoint, predictions: pd.DataFrame) -> dict[str, Stratum]:
    """Part patients into groups at the cut-point, and into strata: development, centres, pooled.

    One external centre alone is not pooled with itself.
    """
    score, split = everyone.rows["score"], predictions["split"]
    rows = everyone.rows.assign(per_sd=score / cut.score_sd, group=apply_cutpoint(score, cut))
    grouped = replace(everyone, rows=rows)
    of_patient = split.set_axis(predictions["patient_id"].astype(str))
    external = of_patient.reindex(rows.index) == "external"
    strata = {} if external.all() else {DEVELOPMENT: grouped.of(DEVELOPMENT, ~external)}
    centre = rows["centre"]
    names = sorted(centre[external].unique())
    strata |= {str(name): grouped.of(str(name), external & (centre == name)) for name in names}
    if len(names) > 1:
        strata[POOLED] = grouped.of(POOLED, external)
    return strata
