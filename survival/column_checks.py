"""Columns of the predictions and patients tables, each checked by itself."""

import pandas as pd

from cohorts.endpoints import Endpoint
from survival.findings import Finding, absent_columns, in_column, name_patients

_PREDICTION_COLUMNS = ("patient_id", "centre", "split", "score_kind", "score", "model_digest")
_CENTURY = {"days": 36_525.0, "months": 1_200.0, "years": 100.0}


def prediction_findings(predictions: pd.DataFrame) -> list[Finding]:
    """Check that each patient has one score, which no fold trained on that patient has given."""
    absent = absent_columns("predictions", predictions.columns, _PREDICTION_COLUMNS)
    if absent:
        return absent
    if predictions.empty:
        nothing = "predictions: no row; predict at least one patient"
        return [Finding("error", "predictions", "", (), nothing)]
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
        ("score", ~numeric(predictions["score"]).between(0, 1), "not a probability from 0 to 1"),
    ]
    found = [
        in_column("error", "predictions", column, says, ids[mask])
        for column, mask, says in checks
        if mask.any()
    ]
    if len(digests) > 1:
        found.append(
            in_column(
                "error",
                "predictions",
                "model_digest",
                f"{len(digests)} models; analyse the scores of one frozen model at a time",
            )
        )
    return found


def repeated_patients(patients: pd.DataFrame) -> list[Finding]:
    """Check that the index names each patient once."""
    repeated = patients.index[patients.index.duplicated()].unique()
    if not len(repeated):
        return []
    line = f"patients: more than one row; give one row per patient {name_patients(repeated)}"
    return [Finding("error", "patients", "", tuple(str(name) for name in repeated), line)]


def endpoint_findings(patients: pd.DataFrame, endpoint: Endpoint) -> list[Finding]:
    """Check that times are positive and of this century, entries before them, and event codes."""
    absent = absent_columns("patients", patients.columns, endpoint.columns)
    if absent:
        return absent
    found = [
        *_missing(patients[endpoint.time]),
        *_missing(patients[endpoint.event]),
        *_unreadable(patients[endpoint.time]),
        *_unreadable(patients[endpoint.event]),
    ]
    time, event = numeric(patients[endpoint.time]), numeric(patients[endpoint.event])
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
    found += [
        in_column("error", "patients", column, says, patients.index[mask])
        for column, mask, says in checks
        if mask.any()
    ]
    return found + _entry_findings(patients, endpoint)


def _entry_findings(patients: pd.DataFrame, endpoint: Endpoint) -> list[Finding]:
    if endpoint.entry is None:
        return []
    begin, end = numeric(patients[endpoint.entry]), numeric(patients[endpoint.time])
    checks = [
        (begin.isna(), "missing or not a number; give 0 where observation began at time zero"),
        (begin < 0, "negative; nobody enters before time zero"),
        (begin >= end, f'not before "{endpoint.time}"; who enters at the end was never observed'),
    ]
    return [
        in_column("error", "patients", endpoint.entry, says, patients.index[mask])
        for mask, says in checks
        if mask.any()
    ]


def covariate_findings(patients: pd.DataFrame, name: str) -> list[Finding]:
    """Check that a covariate is there and holds numbers; missing values are no error."""
    absent = absent_columns("patients", patients.columns, (name,))
    return absent or _unreadable(patients[name])


def numeric(column: "pd.Series[float]") -> "pd.Series[float]":
    """Read numbers, NaN where there is none."""
    return pd.to_numeric(column, errors="coerce").astype(float)


def _missing(column: "pd.Series[float]") -> list[Finding]:
    missing = column.isna()
    if not missing.any():
        return []
    says = "missing; give the value, or leave the patient out of both tables"
    return [in_column("error", "patients", str(column.name), says, column.index[missing])]


def _unreadable(column: "pd.Series[float]") -> list[Finding]:
    """Report values that are no finite number."""
    numbers = numeric(column)
    no_number = (numbers.isna() | numbers.abs().eq(float("inf"))) & column.notna()
    if not no_number.any():
        return []
    says = "not a number; code a category as 0 and 1"
    return [in_column("error", "patients", str(column.name), says, column.index[no_number])]
