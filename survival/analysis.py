"""Relate the frozen score to survival, stratum by stratum, and write the tables."""

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import starmap
from pathlib import Path

import pandas as pd

from cohorts.endpoints import Endpoint
from cohorts.errors import SettingsError
from cohorts.strata import DEVELOPMENT
from survival.cut_rules import READ_OUTCOMES, CutPointRule
from survival.cutpoint import CutPoint, fit_cutpoint, write_lock
from survival.cutpoint_freeze import freeze_cutpoint
from survival.endpoints import prediction_problems, refuse, without_outcome
from survival.methods_text import methods_text
from survival.results import TABLES, Drawing, SurvivalResults, write_tables
from survival.settings import SurvivalSettings
from survival.study.columns import with_all_columns
from survival.study.patients import join_each, strata_of
from survival.study.plan import Plan, default_horizons
from survival.study.questions import QUESTIONS, SAMPLED_QUESTIONS, ask, ask_sampled
from survival.study.risk_models import fit_risk_models
from survival.study.stratum import Answer, Stratum

_PROCESSES = 2
# Patients times bootstrap samples from which the work outlasts the start of processes.
_WORTH_A_PROCESS = 2_000_000


def analyse(
    predictions: pd.DataFrame,
    patients: pd.DataFrame,
    endpoints: Mapping[str, Endpoint],
    settings: SurvivalSettings,
    out: Path,
    cohort_digest: str,
    *,
    seed: int = 0,
    exploratory: bool = False,
) -> SurvivalResults:
    """Analyse every endpoint in the development cohort, each external centre, and all of them.

    The bootstraps of large cohorts run in two processes of their own, with the same result; a
    script that calls this needs the usual `if __name__ == "__main__":`.

    Parameters
    ----------
    predictions
        The predictions table: one row per patient, development patients scored out of fold.
    patients
        Indexed by patient id: the endpoints' columns and those that `settings` names.
    endpoints
        Endpoint by its name, which is also its label on figures, e.g. "overall survival".
    settings
        What was decided beforehand.
    out
        Folder for `cutpoint.json`, the tables and `methods.md`; a lock that is there is applied,
        not re-fitted.
    cohort_digest
        Digest of the development cohort (not of the external one, so that a centre can join
        later), kept in the lock.
    seed
        Of the bootstrap samples, and of the permutations where a cut-point is searched.
    exploratory
        Fit the cut-point to the development patients whatever was locked, and where there are none
        to the patients at hand. It is kept as `cutpoint-exploratory.json`, never as the lock, and
        every table and figure is stamped.

    Raises
    ------
    DataError
        If the tables do not fit each other or the analysis (every problem at once), or the lock
        in `out` was fitted on something else.
    SettingsError
        As of `refuse_unfit_settings`.
    """
    refuse_unfit_settings(endpoints, settings)
    cohorts = join_each(predictions, patients, endpoints, settings)
    rule = settings.cutpoint
    outcomes = outcomes_of_rule(rule, patients, endpoints)
    if exploratory:
        cut = _explore(out, predictions, cohort_digest, rule, outcomes, seed)
    else:
        lock = out / "cutpoint.json"
        cut = freeze_cutpoint(lock, predictions, cohort_digest, rule, outcomes, seed)
    plans: list[Plan] = []
    asked: list[tuple[Plan, Stratum]] = []
    for name, everyone in cohorts.items():
        strata = strata_of(everyone, cut, predictions)
        plans.append(_plan(name, endpoints[name], cut, settings, strata))
        asked += [(plans[-1], stratum) for stratum in strata.values()]
    tables, drawings = _collect(asked, _ask_all(asked, seed))
    results = SurvivalResults(
        cut,
        **{name: tables.pop(name) for name in TABLES if name != "left_out"},
        left_out=_left_out(predictions, patients, endpoints),
        further=tables,
        drawings=drawings,
        exploratory=exploratory,
        methods=methods_text(plans, tables, seed, exploratory=exploratory),
    )
    write_tables(results, out)
    return results


def outcomes_of_rule(
    rule: CutPointRule, patients: pd.DataFrame, endpoints: Mapping[str, Endpoint]
) -> pd.DataFrame | None:
    """Give `time` and `event` of the endpoint that a cut-point's rule reads, if it reads one."""
    if rule.method not in READ_OUTCOMES or rule.endpoint is None:
        return None
    endpoint = endpoints[rule.endpoint]
    known = patients[[endpoint.time, endpoint.event]].astype(float)
    event = known[endpoint.event]
    return pd.DataFrame({"time": known[endpoint.time], "event": event.mask(event > 1, 0)})


def refuse_unfit_settings(endpoints: Mapping[str, Endpoint], settings: SurvivalSettings) -> None:
    """Refuse settings that do not fit the endpoints, before anything is computed.

    Raises
    ------
    SettingsError
        If the cut-point's rule reads an endpoint that is not there or has late entries, or a time
        is stated for endpoints of several units.
    """
    read = settings.cutpoint.endpoint
    if endpoints and read is not None and read not in endpoints:
        raise SettingsError(
            f'cutpoint: endpoint "{read}" is none of the endpoints; they are {", ".join(endpoints)}'
        )
    if read is not None and read in endpoints and endpoints[read].entry:
        raise SettingsError(
            f'cutpoint: "{settings.cutpoint.method}" reads endpoint "{read}", whose patients enter '
            "late, which it does not allow for; take a rule that reads no outcome, such as median"
        )
    units = sorted({endpoint.unit for endpoint in endpoints.values()})
    stated = {
        "horizons": bool(settings.horizons),
        "rmst_until": settings.rmst_until is not None,
        "landmark": settings.landmark is not None,
    }
    named = [name for name, is_stated in stated.items() if is_stated]
    if named and len(units) > 1:
        raise SettingsError(
            f"{', '.join(named)}: a time means nothing for endpoints in {' and '.join(units)}; "
            "give all endpoints in one unit, or leave it out"
        )


def _explore(
    out: Path,
    predictions: pd.DataFrame,
    cohort_digest: str,
    rule: CutPointRule,
    outcomes: pd.DataFrame | None,
    seed: int,
) -> CutPoint:
    """Fit a cut-point outside the lock, on the patients at hand if no development patient is."""
    refuse(prediction_problems(predictions))
    development = predictions[predictions["split"] == "development"]
    if development.empty:
        development = predictions.assign(split="development", score_kind="oof")
    cut = fit_cutpoint(development, cohort_digest, rule, outcomes, seed)
    path = out / "cutpoint-exploratory.json"
    path.unlink(missing_ok=True)
    write_lock(path, cut)
    return cut


def _plan(
    name: str,
    endpoint: Endpoint,
    cut: CutPoint,
    settings: SurvivalSettings,
    strata: Mapping[str, Stratum],
) -> Plan:
    development = strata.get(DEVELOPMENT)
    horizons, horizons_by = settings.horizons, "settings"
    if not horizons:
        source = development or list(strata.values())[-1]
        horizons, horizons_by = default_horizons(source, endpoint.unit)
    # Where events compete, one less a Cox model's survival is no probability of the event; where
    # patients enter late, nothing that needs a predicted risk is asked.
    plain = not (endpoint.competing or endpoint.entry)
    models = fit_risk_models(development) if development and plain else ()
    return Plan(name, endpoint, cut, settings, horizons, horizons_by, development, models)


def _ask_all(asked: Sequence[tuple[Plan, Stratum]], seed: int) -> list[list[Answer]]:
    """Answers to all questions by plan and stratum, in order."""
    work = sum(len(stratum.rows) * plan.settings.bootstrap_samples for plan, stratum in asked)
    tasks = [(q, stratum, plan, seed) for plan, stratum in asked for q in SAMPLED_QUESTIONS]
    if work < _WORTH_A_PROCESS:
        sampled = list(starmap(ask_sampled, tasks))
        plain = [[ask(q, stratum, plan) for q in QUESTIONS] for plan, stratum in asked]
    else:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(_PROCESSES, mp_context=spawn) as pool:
            # The widest strata first, so that no process is left with one at the end.
            order = sorted(range(len(tasks)), key=lambda i: -len(tasks[i][1].rows))
            futures = {i: pool.submit(ask_sampled, *tasks[i]) for i in order}
            plain = [[ask(q, stratum, plan) for q in QUESTIONS] for plan, stratum in asked]
            sampled = [futures[i].result() for i in range(len(tasks))]
    each = len(SAMPLED_QUESTIONS)
    return [[*given, *sampled[i * each : (i + 1) * each]] for i, given in enumerate(plain)]


def _collect(
    asked: Sequence[tuple[Plan, Stratum]], answers: Sequence[Sequence[Answer]]
) -> tuple[dict[str, pd.DataFrame], tuple[Drawing, ...]]:
    """Put the answers' tables under each other, each row with its endpoint and stratum."""
    parts: dict[str, list[pd.DataFrame]] = {}
    drawings = []
    for (plan, stratum), given in zip(asked, answers, strict=True):
        for answer in given:
            for name, table in answer.tables.items():
                part = table.copy()
                part.insert(0, "endpoint", plan.name)
                part.insert(1, "stratum", stratum.name)
                parts.setdefault(name, []).append(part)
            drawings += [
                Drawing(plan.name, stratum.name, name, draw)
                for name, draw in answer.figures.items()
            ]
    # An empty part has no types to keep; a table without any row still has its columns.
    stacked = {
        name: pd.concat([p for p in tables if len(p)] or tables[:1], ignore_index=True)
        for name, tables in parts.items()
    }
    stacked = {name: with_all_columns(name, table) for name, table in stacked.items()}
    return stacked, tuple(drawings)


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
