"""Relate the frozen score to survival, stratum by stratum, and write the tables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cohorts.endpoints import Endpoint, TimeUnit
from cohorts.errors import DataError
from cohorts.files import write_text
from cohorts.strata import DEVELOPMENT, POOLED
from survival.cox import hazard_ratio
from survival.curves import (
    curves_by_group,
    kaplan_meier,
    median_follow_up,
    median_time,
    numbers_at_risk,
)
from survival.cut_rules import CutPointRule
from survival.cutpoint import HIGH, CutPoint, apply_cutpoint
from survival.cutpoint_freeze import freeze_cutpoint
from survival.endpoints import join_endpoints, outcome_problems, refuse, without_outcome
from survival.logrank import logrank_test
from survival.settings import SurvivalSettings

TABLES = ("kaplan_meier", "numbers_at_risk", "medians", "logrank", "cox", "left_out")

_TICK_STEPS: dict[TimeUnit, tuple[float, ...]] = {
    "days": (7, 30, 60, 90, 180, 365, 730, 1825),
    "months": (1, 2, 3, 6, 12, 24, 36, 60, 120),
    "years": (0.25, 0.5, 1, 2, 5, 10),
}
_MOST_TICKS = 7


@dataclass(frozen=True)
class SurvivalResults:
    """What `analyse` found; each table is also a CSV file of the same name.

    Every table starts with `endpoint` and `stratum`; times are in the endpoint's unit; limits are
    95 %. A stratum of several centres is compared within centres (`stratified_by`).

    Attributes
    ----------
    cutpoint
        The frozen cut-point, also in `cutpoint.json`.
    kaplan_meier
        Columns of `survival.curves.kaplan_meier` for each `group` ("low", "high"), and `unit`.
    numbers_at_risk
        `group, time, n_risk, n_event, n_censored` at the ticks of the time axis.
    medians
        Median survival and reverse Kaplan-Meier median follow-up of each group and of "all";
        empty where not reached.
    logrank
        High versus low group: observed and expected events, `chi2, df, p`, `note`.
    cox
        Hazard ratio of each term, univariable and adjusted; NaN and a `note` where not estimable.
        An adjusted model is of the patients with all covariates; `n` counts them.
    left_out
        `patient_id, split, centre` of those without time or event, and the columns `missing`.
    """

    cutpoint: CutPoint
    kaplan_meier: pd.DataFrame
    numbers_at_risk: pd.DataFrame
    medians: pd.DataFrame
    logrank: pd.DataFrame
    cox: pd.DataFrame
    left_out: pd.DataFrame


def analyse(
    predictions: pd.DataFrame,
    patients: pd.DataFrame,
    endpoints: Mapping[str, Endpoint],
    settings: SurvivalSettings,
    out: Path,
    cohort_digest: str,
) -> SurvivalResults:
    """Analyse every endpoint in the development cohort, each external centre, and all of them.

    Parameters
    ----------
    predictions
        The predictions table: one row per patient, development patients scored out of fold.
    patients
        Indexed by patient id: the endpoints' columns and the covariates of the same patients.
    endpoints
        Endpoint by its name, which is also its label on figures, e.g. "overall survival".
    settings
        Covariates and the rule of the cut-point.
    out
        Folder for `cutpoint.json` and the tables; a lock that is there is applied, not re-fitted.
    cohort_digest
        Digest of the development cohort (not of the external one, so that a centre can join
        later), kept in the lock.

    Raises
    ------
    DataError
        If the tables do not fit each other or the analysis (every problem at once), or the lock
        in `out` was fitted on something else.
    """
    rows_of = _join_each(predictions, patients, endpoints, settings.covariates)
    rule = CutPointRule(method=settings.cutpoint)
    cut = freeze_cutpoint(out / "cutpoint.json", predictions, cohort_digest, rule)

    def table(of: Callable[[pd.DataFrame, Endpoint], pd.DataFrame]) -> pd.DataFrame:
        parts = []
        for name, endpoint in endpoints.items():
            rows = rows_of[name].assign(group=apply_cutpoint(rows_of[name]["score"], cut))
            for stratum, members in _strata(rows).items():
                part = of(members, endpoint)
                part.insert(0, "endpoint", name)
                part.insert(1, "stratum", stratum)
                parts.append(part)
        return pd.concat(parts, ignore_index=True)

    results = SurvivalResults(
        cutpoint=cut,
        kaplan_meier=table(_curves),
        numbers_at_risk=table(_at_risk),
        medians=table(_medians),
        logrank=table(_logrank),
        cox=table(lambda members, endpoint: _cox(members, endpoint, cut, settings.covariates)),
        left_out=_left_out(predictions, patients, endpoints),
    )
    for name in TABLES:
        text = getattr(results, name).to_csv(index=False, lineterminator="\n")
        write_text(out / f"{name}.csv", text)
    return results


def _join_each(
    predictions: pd.DataFrame,
    patients: pd.DataFrame,
    endpoints: Mapping[str, Endpoint],
    covariates: tuple[str, ...],
) -> dict[str, pd.DataFrame]:
    """Join scores and outcomes endpoint by endpoint, each without those who lack that outcome."""
    if not endpoints:
        refuse(["patients: no endpoint is named; name its time and event columns"])
    joined: dict[str, pd.DataFrame] = {}
    problems: list[str] = []
    for name, endpoint in endpoints.items():
        lacking = without_outcome(patients, endpoint).index
        scored = predictions[~predictions["patient_id"].isin(lacking)]
        known = patients[~patients.index.isin(lacking)]
        if known.empty:
            problems += outcome_problems(patients, {name: endpoint}, ())
            continue
        try:
            joined[name] = join_endpoints(scored, known, {name: endpoint}, covariates)
        except DataError as error:
            problems += str(error).splitlines()
    refuse(list(dict.fromkeys(problems)))
    return joined


def _left_out(
    predictions: pd.DataFrame, patients: pd.DataFrame, endpoints: Mapping[str, Endpoint]
) -> pd.DataFrame:
    columns = ["endpoint", "patient_id", "split", "centre", "missing"]
    parts = [pd.DataFrame(columns=columns)]
    for name, endpoint in endpoints.items():
        missing = without_outcome(patients, endpoint).rename("missing")
        scored = predictions[["patient_id", "split", "centre"]]
        part = scored.merge(missing, left_on="patient_id", right_index=True)
        parts.append(part.assign(endpoint=name)[columns])
    return pd.concat(parts, ignore_index=True)


def _strata(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Patients by stratum; one external centre alone is not pooled with itself."""
    development, external = (rows[rows["split"] == s] for s in ("development", "external"))
    strata = {} if development.empty else {DEVELOPMENT: development}
    centres = {str(name): members for name, members in external.groupby("centre", sort=True)}
    strata |= centres
    if len(centres) > 1:
        strata[POOLED] = external
    return strata


def _curves(members: pd.DataFrame, endpoint: Endpoint) -> pd.DataFrame:
    curves = curves_by_group(members[endpoint.time], members[endpoint.event], members["group"])
    return curves.assign(unit=endpoint.unit)


def _at_risk(members: pd.DataFrame, endpoint: Endpoint) -> pd.DataFrame:
    time = members[endpoint.time]
    ticks = _ticks(float(time.max()), endpoint.unit)
    return numbers_at_risk(time, members["group"], ticks, event=members[endpoint.event])


def _ticks(longest: float, unit: TimeUnit) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Give times from 0 to the longest follow-up, in steps that clinicians read."""
    steps = _TICK_STEPS[unit]
    step = next((s for s in steps if longest / s < _MOST_TICKS), steps[-1])
    return np.arange(0, longest + step / 1e6, step, dtype=np.float64)


def _medians(members: pd.DataFrame, endpoint: Endpoint) -> pd.DataFrame:
    groups = {"all": members, **dict(iter(members.groupby("group")))}
    lines = []
    for group, patients in groups.items():
        time, event = patients[endpoint.time], patients[endpoint.event]
        survival = median_time(kaplan_meier(time, event))
        follow_up = median_follow_up(time, event)
        lines.append(
            {"group": group, "n": len(patients), "events": int(event.sum()), "unit": endpoint.unit}
            | survival._asdict()
            | {f"follow_up_{name}": value for name, value in follow_up._asdict().items()}
        )
    return pd.DataFrame(lines)


def _logrank(members: pd.DataFrame, endpoint: Endpoint) -> pd.DataFrame:
    centre = _stratifier(members)
    test = logrank_test(members[endpoint.time], members[endpoint.event], members["group"], centre)
    line: dict[str, object] = {"stratified_by": "" if centre is None else "centre"}
    by_group = test.groups.set_index("group").reindex(["low", "high"], fill_value=0)
    for name, group in by_group.iterrows():
        line |= {
            f"n_{name}": int(group["n"]),
            f"observed_{name}": int(group["observed"]),
            f"expected_{name}": float(group["expected"]),
        }
    note = ""
    if len(test.groups) < 2:
        note = f"not estimable: every patient is in the {test.groups['group'].iloc[0]} group"
    elif not members[endpoint.event].any():
        note = "not estimable: no event"
    elif np.isnan(test.chi2):
        note = "not estimable: the groups are never at risk together when an event occurs"
    return pd.DataFrame([{**line, "chi2": test.chi2, "df": test.df, "p": test.p, "note": note}])


def _cox(
    members: pd.DataFrame, endpoint: Endpoint, cut: CutPoint, covariates: tuple[str, ...]
) -> pd.DataFrame:
    terms = {
        "score, per SD": members["score"] / cut.score_sd,
        "high versus low score": (members["group"] == HIGH).astype(float),
    }
    centre = _stratifier(members)
    lines = []
    for term, values in terms.items():
        for adjusted_for in dict.fromkeys([(), covariates]):
            design = pd.concat([values.rename(term), members[list(adjusted_for)]], axis=1)
            # Who lacks a covariate is left out of this one model; its n says so.
            kept = design.notna().all(axis=1)
            ratio = hazard_ratio(
                members.loc[kept, endpoint.time],
                members.loc[kept, endpoint.event],
                design[kept],
                None if centre is None else centre[kept],
            )
            lines.append(
                {
                    "term": term,
                    "adjusted_for": ", ".join(adjusted_for),
                    "stratified_by": "" if centre is None else "centre",
                }
                | vars(ratio)
            )
    return pd.DataFrame(lines)


def _stratifier(members: pd.DataFrame) -> "pd.Series[str] | None":
    """Centres as strata where there are several: their baseline hazards need not be the same."""
    return members["centre"] if members["centre"].nunique() > 1 else None
