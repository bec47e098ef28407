"""One table of scores, times, events and covariates, checked as a whole before anything is fitted.

Every problem is one line that names table, column and patients; all are reported at once.
"""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from cohorts.endpoints import Endpoint, event_of_interest
from cohorts.errors import DataError
from survival.column_checks import (
    covariate_findings,
    endpoint_findings,
    numeric,
    prediction_findings,
    repeated_patients,
)
from survival.findings import name_patients

_JOINED_COLUMNS = ("centre", "split", "score", "group")


def join_endpoints(
    predictions: pd.DataFrame,
    patients: pd.DataFrame,
    endpoints: Mapping[str, Endpoint],
    covariates: Sequence[str],
) -> pd.DataFrame:
    """Join scores with the endpoints and covariates of the same patients.

    Parameters
    ----------
    predictions
        One row per patient: `patient_id, centre, split, score_kind, score, model_digest`.
    patients
        Indexed by patient id, with the columns that `endpoints` and `covariates` name.
    endpoints
        Endpoint by the name it has in tables and figures.
    covariates
        Numeric columns of `patients`.

    Returns
    -------
    pandas.DataFrame
        Indexed by patient id in the order of `predictions`: `centre`, `split`, `score`, each
        endpoint's time, event and entry, and the covariates, all of these as float. A competing
        event is 0 in the event column; `event_codes` tells which it was.

    Raises
    ------
    DataError
        One line for each problem. A patient who is in one table only, or lacks a time or event,
        is a problem and is never dropped in silence; a missing covariate stays NaN.
    """
    prediction_faults = prediction_problems(predictions)
    problems = [*prediction_faults, *_patient_problems(patients, endpoints, covariates)]
    if not prediction_faults:
        problems += _unmatched(predictions, patients)
    refuse(problems)

    columns = dict.fromkeys(
        [*(name for e in endpoints.values() for name in e.columns), *covariates]
    )
    numbers = pd.DataFrame({name: numeric(patients[name]) for name in columns})
    for endpoint in endpoints.values():
        numbers[endpoint.event] = event_of_interest(numbers[endpoint.event])
    numbers.index = numbers.index.astype(str)
    scores = predictions.set_index(predictions["patient_id"].astype(str))
    return scores[["centre", "split", "score"]].join(numbers)


def event_codes(
    joined: pd.DataFrame, patients: pd.DataFrame, endpoint: Endpoint
) -> "pd.Series[int]":
    """Code of each patient of `join_endpoints`: 0 censored, 1 the event, 2 and on the competing."""
    codes = numeric(patients[endpoint.event])
    codes.index = codes.index.astype(str)
    return codes.reindex(joined.index).astype(int)


def without_outcome(patients: pd.DataFrame, endpoint: Endpoint) -> "pd.Series[str]":
    """Name the patients whose time, event or entry is not known, each with what lacks it.

    They can be in no curve of this endpoint. Leaving them out is usual; doing so unseen is not.
    """
    named = [name for name in endpoint.columns if name in patients]
    lacking = patients[named].isna()
    return lacking[lacking.any(axis=1)].apply(
        lambda row: ", ".join(str(name) for name in row.index[row]), axis=1, result_type="reduce"
    )


def outcome_problems(
    patients: pd.DataFrame, endpoints: Mapping[str, Endpoint], covariates: Sequence[str]
) -> list[str]:
    """Say, before any score exists, what would make the analysis refuse these outcomes.

    A missing time or event is none of it: such patients are left out and listed.
    """
    problems: list[str] = []
    for name, endpoint in endpoints.items():
        known = patients[~patients.index.isin(without_outcome(patients, endpoint).index)]
        problems += _patient_problems(known, {name: endpoint}, covariates)
        if known.empty:
            problems.append(
                f'patients: endpoint "{name}": no patient has both time and event; leave it out '
                "of the study's endpoints"
            )
    return list(dict.fromkeys(problems))


def refuse(problems: Sequence[str]) -> None:
    """Raise one DataError that holds every problem, one a line; with none, do nothing."""
    if problems:
        raise DataError("\n".join(problems))


def prediction_problems(predictions: pd.DataFrame) -> list[str]:
    """Say what makes a predictions table unfit for survival analysis, one line each.

    A development patient's score must be out of fold: a score from a fold that was trained on the
    patient separates the curves by memory.
    """
    return [finding.message for finding in prediction_findings(predictions)]


def _patient_problems(
    patients: pd.DataFrame, endpoints: Mapping[str, Endpoint], covariates: Sequence[str]
) -> list[str]:
    findings = repeated_patients(patients)
    for endpoint in endpoints.values():
        findings += endpoint_findings(patients, endpoint)
    problems = [finding.message for finding in findings]
    if not endpoints:
        problems.append("patients: no endpoint is named; name its time and event columns")
    outcome = {name for e in endpoints.values() for name in e.columns}
    for name in covariates:
        if name in outcome or name in _JOINED_COLUMNS:
            role = "an endpoint" if name in outcome else "a column of the scores"
            problems.append(
                f'patients: covariate "{name}" is also {role}; leave it out or rename it'
            )
        else:
            problems += [finding.message for finding in covariate_findings(patients, name)]
    return problems


def _unmatched(predictions: pd.DataFrame, patients: pd.DataFrame) -> Iterator[str]:
    scored, known = set(predictions["patient_id"].astype(str)), set(patients.index.astype(str))
    if scored - known:
        names = name_patients(sorted(scored - known))
        yield f"patients: scored, but without endpoints; add them or leave their scores out {names}"
    if known - scored:
        names = name_patients(sorted(known - scored))
        yield f"predictions: no score; predict them or leave them out of the patients table {names}"
