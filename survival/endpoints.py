"""One table of scores, times, events and covariates, checked as a whole before anything is fitted.

Every problem is one line that names table, column and patients; all are reported at once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

import pandas as pd

from cohorts.endpoints import Endpoint, event_of_interest
from cohorts.errors import DataError

_PREDICTION_COLUMNS = ("patient_id", "centre", "split", "score_kind", "score", "model_digest")
_JOINED_COLUMNS = ("centre", "split", "score", "group")
_CENTURY = {"days": 36_525.0, "months": 1_200.0, "years": 100.0}
_NAMES_SHOWN = 5


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
        endpoint's time and event, and the covariates, the last three as float. A competing event
        is 0 in the event column; `event_codes` tells which it was.

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
        [*(name for e in endpoints.values() for name in (e.time, e.event)), *covariates]
    )
    numbers = pd.DataFrame({name: _numeric(patients[name]) for name in columns})
    for endpoint in endpoints.values():
        numbers[endpoint.event] = event_of_interest(numbers[endpoint.event])
    numbers.index = numbers.index.astype(str)
    scores = predictions.set_index(predictions["patient_id"].astype(str))
    return scores[["centre", "split", "score"]].join(numbers)


def event_codes(
    joined: pd.DataFrame, patients: pd.DataFrame, endpoint: Endpoint
) -> "pd.Series[int]":
    """Code of each patient of `join_endpoints`: 0 censored, 1 the event, 2 and on the competing."""
    codes = _numeric(patients[endpoint.event])
    codes.index = codes.index.astype(str)
    return codes.reindex(joined.index).astype(int)


def without_outcome(patients: pd.DataFrame, endpoint: Endpoint) -> "pd.Series[str]":
    """Name the patients whose time or event is not known, each with the columns that lack it.

    They can be in no curve of this endpoint. Leaving them out is usual; doing so unseen is not.
    """
    named = [name for name in (endpoint.time, endpoint.event) if name in patients]
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
    absent = list(_absent("predictions", predictions.columns, _PREDICTION_COLUMNS))
    if absent:
        return absent
    if predictions.empty:
        return ["predictions: no row; predict at least one patient"]
    ids = predictions["patient_id"]
    split, kind = predictions["split"], predictions["score_kind"]
    digests = predictions["model_digest"].unique()
    checks = [
        ("patient_id", ids.duplicated(), "more than one row; give one score per patient"),
        ("centre", predictions["centre"].isna(), "missing"),
        ("split", ~split.isin(["development", "external"]), 'not "development" or "external"'),
        (
            "score_kind",
            (split == "development") & (kind != "oof"),
            'a score from a training fold, not "oof"; predict development patients out of fold',
        ),
        (
            "score_kind",
            (split == "external") & (kind != "external"),
            'not "external", which the score of an external patient must be',
        ),
        ("score", ~_numeric(predictions["score"]).between(0, 1), "not a probability from 0 to 1"),
    ]
    problems = [
        _problem("predictions", column, says, ids[mask])
        for column, mask, says in checks
        if mask.any()
    ]
    if len(digests) > 1:
        problems.append(
            f'predictions: column "model_digest": {len(digests)} models; '
            "analyse the scores of one frozen model at a time"
        )
    return problems


def _patient_problems(
    patients: pd.DataFrame, endpoints: Mapping[str, Endpoint], covariates: Sequence[str]
) -> list[str]:
    problems = []
    repeated = patients.index[patients.index.duplicated()].unique()
    if len(repeated):
        problems.append(f"patients: more than one row; give one row per patient {_named(repeated)}")
    for endpoint in endpoints.values():
        problems += _endpoint_problems(patients, endpoint)
    if not endpoints:
        problems.append("patients: no endpoint is named; name its time and event columns")
    outcome = {name for e in endpoints.values() for name in (e.time, e.event)}
    for name in covariates:
        if name in outcome or name in _JOINED_COLUMNS:
            role = "an endpoint" if name in outcome else "a column of the scores"
            problems.append(
                f'patients: covariate "{name}" is also {role}; leave it out or rename it'
            )
        else:
            problems += _covariate_problems(patients, name)
    return problems


def _endpoint_problems(patients: pd.DataFrame, endpoint: Endpoint) -> Iterator[str]:
    absent = list(_absent("patients", patients.columns, (endpoint.time, endpoint.event)))
    if absent:
        yield from absent
        return
    yield from _missing(patients[endpoint.time])
    yield from _missing(patients[endpoint.event])
    yield from _unreadable(patients[endpoint.time])
    yield from _unreadable(patients[endpoint.event])
    time, event = _numeric(patients[endpoint.time]), _numeric(patients[endpoint.event])
    century = _CENTURY[endpoint.unit]
    meaning = ("censored", "event", *endpoint.competing)
    told = " or ".join(f"{code} ({name})" for code, name in enumerate(meaning))
    checks = [
        (
            endpoint.time,
            time < 0,
            "negative; time runs from the smear to the event or last contact",
        ),
        (
            endpoint.time,
            time == 0,
            "zero; give the time under observation, or leave the patient out",
        ),
        (
            endpoint.time,
            time.between(century, float("inf"), inclusive="neither"),
            f'over 100 years in "{endpoint.unit}"; correct the unit',
        ),
        (endpoint.event, event.notna() & ~event.isin(range(len(meaning))), f"not {told}"),
    ]
    for column, mask, says in checks:
        if mask.any():
            yield _problem("patients", column, says, patients.index[mask])


def _covariate_problems(patients: pd.DataFrame, name: str) -> Iterator[str]:
    absent = list(_absent("patients", patients.columns, (name,)))
    if absent:
        yield from absent
        return
    yield from _unreadable(patients[name])


def _missing(column: "pd.Series[float]") -> Iterator[str]:
    missing = column.isna()
    if missing.any():
        says = "missing; give the value, or leave the patient out of both tables"
        yield _problem("patients", str(column.name), says, column.index[missing])


def _unreadable(column: "pd.Series[float]") -> Iterator[str]:
    """Report values that are no finite number."""
    numbers = _numeric(column)
    no_number = (numbers.isna() | numbers.abs().eq(float("inf"))) & column.notna()
    if no_number.any():
        says = "not a number; code a category as 0 and 1"
        yield _problem("patients", str(column.name), says, column.index[no_number])


def _unmatched(predictions: pd.DataFrame, patients: pd.DataFrame) -> Iterator[str]:
    scored, known = set(predictions["patient_id"].astype(str)), set(patients.index.astype(str))
    if scored - known:
        names = _named(sorted(scored - known))
        yield f"patients: scored, but without endpoints; add them or leave their scores out {names}"
    if known - scored:
        names = _named(sorted(known - scored))
        yield f"predictions: no score; predict them or leave them out of the patients table {names}"


def _absent(table: str, columns: Iterable[str], wanted: Iterable[str]) -> Iterator[str]:
    present = [str(column) for column in columns]
    for name in wanted:
        if name not in present:
            near = get_close_matches(name, present, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else f"; it has {', '.join(present)}"
            yield f'{table}: column "{name}" is missing{hint}'


def _problem(table: str, column: str, says: str, ids: Iterable[object]) -> str:
    return f'{table}: column "{column}": {says} {_named(ids)}'


def _named(ids: Iterable[object]) -> str:
    names = [f'"{name}"' for name in ids]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return (
        f"({'patient' if len(names) == 1 else 'patients'} {', '.join(names[:_NAMES_SHOWN])}{more})"
    )


def _numeric(column: "pd.Series[float]") -> "pd.Series[float]":
    return pd.to_numeric(column, errors="coerce").astype(float)
