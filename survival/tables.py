"""Read a predictions table and a table of endpoints, ours or another model's."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd
from pydantic import ValidationError

from cohorts.endpoints import Endpoint
from cohorts.errors import DataError, SettingsError
from cohorts.files import digest_of

NO_MODEL: Final = "not stated"
_MISSING: Final = ["", "na", "NA", "n/a", "N/A", "nan", "NaN", "null", "NULL"]


def read_scores(path: Path) -> pd.DataFrame:
    """Read a predictions table; one that names no model is taken to be of one.

    What its columns hold is checked by the analysis, all at once.

    Raises
    ------
    DataError
        If the file is missing or no table.
    """
    table = _read(path, [""])
    if "score" in table:
        table["score"] = pd.to_numeric(table["score"], errors="coerce")
    return table if "model_digest" in table else table.assign(model_digest=NO_MODEL)


def read_patients(path: Path, predictions: pd.DataFrame) -> pd.DataFrame:
    """Read outcomes and covariates of the patients who have a prediction, by patient id.

    Raises
    ------
    DataError
        If the file is missing or no table, or has no column "patient_id".
    """
    table = _read(path, _MISSING)
    if "patient_id" not in table:
        raise DataError(
            f'"{path.name}" has no column "patient_id"; it has {", ".join(table.columns)}'
        )
    table = table.set_index("patient_id")
    known: list[str] = predictions["patient_id"].tolist() if "patient_id" in predictions else []
    return table[table.index.isin(known)]


def read_endpoint(text: str) -> tuple[str, Endpoint]:
    """Read `NAME=[ENTRY:]TIME,EVENT[,UNIT[,COMPETING...]]`; the unit is months by default.

    With `ENTRY:` before it, the time under observation begins in that column.

    Raises
    ------
    SettingsError
        If it is not of that form.
    """
    name, _, columns = text.partition("=")
    fields = [field.strip() for field in next(csv.reader([columns]), [])]
    if not name.strip() or len(fields) < 2 or not all(fields):
        raise SettingsError(
            f'--endpoint "{text}": give NAME=TIME,EVENT, its columns, then the unit and competing '
            'events if any, e.g. "overall survival=os_months,os_event,months"'
        )
    last, event, *rest = fields
    begun, _, time = last.rpartition(":")
    given = {"unit": rest[0]} if rest else {}
    try:
        return name.strip(), Endpoint.model_validate(
            {"time": time, "event": event, "entry": begun or None, "competing": tuple(rest[1:])}
            | given
        )
    except ValidationError as error:
        fault = error.errors()[0]
        says = fault["msg"].removeprefix("Value error, ")
        raise SettingsError(f'--endpoint "{text}": {fault["loc"][0]}: {says}') from error


def development_digest(predictions: pd.DataFrame) -> str:
    """Digest of the development patients with their centres, where no manifest tells more."""
    development = predictions[predictions["split"] == "development"]
    return digest_of(sorted(zip(development["patient_id"], development["centre"], strict=True)))


def _read(path: Path, missing: Sequence[str]) -> pd.DataFrame:
    try:
        return pd.read_csv(
            path, dtype=str, keep_default_na=False, na_values=list(missing), encoding="utf-8-sig"
        )
    except FileNotFoundError as error:
        raise DataError(f'"{path}" does not exist') from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f'"{path.name}" is no CSV table in UTF-8: {error}') from error
