"""What readers said of patients: a table of one row a reading, checked before it is counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cohorts.errors import DataError, FileFormatError

Column = Literal["decision", "rating"]
_IDENTITY = ("reader_id", "patient_id")
_SAID: tuple[Column, ...] = ("decision", "rating")


@dataclass(frozen=True)
class Readings:
    """What every reader said of every patient, in one column of the table.

    Attributes
    ----------
    values
        (R, N) readers x patients.
    """

    readers: tuple[str, ...]
    patients: tuple[str, ...]
    values: NDArray[np.float64]


def read_ratings(path: Path) -> pd.DataFrame:
    """Read a ratings table: `reader_id, patient_id`, and `decision`, `rating` or both.

    `decision` is 1 for metastasis and 0 for none; `rating` is a number, higher the more certain
    the reader is of metastasis.

    Raises
    ------
    FileFormatError
        If the file is missing or not CSV.
    DataError
        Naming file, row and column of the first thing wrong.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise FileFormatError(f'"{path}" does not exist; name the ratings table') from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise FileFormatError(f'"{path}" is not a CSV table in UTF-8 ({error})') from error
    said = _columns_of(table, path)
    for name in _IDENTITY:
        table[name] = table[name].str.strip()
        empty = np.flatnonzero(table[name] == "")
        if len(empty):
            raise DataError(f'"{path}" row {empty[0] + 2}: {name} is empty; fill it in')
    twice = np.flatnonzero(table.duplicated(list(_IDENTITY)))
    if len(twice):
        row = table.iloc[twice[0]]
        raise DataError(
            f'"{path}" row {twice[0] + 2}: reader "{row["reader_id"]}" has read patient '
            f'"{row["patient_id"]}" before; keep one reading'
        )
    for name in said:
        table[name] = _numbers(table[name], name, path)
    return table[[*_IDENTITY, *said]]


def readings_of(ratings: pd.DataFrame, patients: Sequence[str], column: Column) -> Readings:
    """Arrange one column by reader and patient, in the order of `patients`.

    Patients that were read but are not asked for are left out.

    Raises
    ------
    DataError
        If the column is not there, or a reader has not read a patient.
    """
    if column not in ratings.columns:
        raise DataError(f'the ratings table has no column "{column}"; add it')
    wide = ratings.pivot(index="reader_id", columns="patient_id", values=column)
    unread = [patient for patient in patients if patient not in wide.columns]
    if unread:
        raise DataError(
            f'patient "{unread[0]}" ({len(unread)} in all) is in no row of the ratings table; '
            "have every patient read, or leave the patient out of the comparison"
        )
    wide = wide[list(patients)].sort_index()
    missing = np.argwhere(wide.isna().to_numpy())
    if len(missing):
        reader, patient = wide.index[missing[0][0]], wide.columns[missing[0][1]]
        raise DataError(
            f'reader "{reader}" has no {column} of patient "{patient}" ({len(missing)} missing in '
            "all); a paired comparison needs every patient read by every reader"
        )
    return Readings(tuple(wide.index), tuple(wide.columns), wide.to_numpy(dtype=float))


def _columns_of(table: pd.DataFrame, path: Path) -> list[Column]:
    for name in _IDENTITY:
        if name not in table.columns:
            raise DataError(f'"{path}" has no column "{name}"; it needs reader_id and patient_id')
    said = [name for name in _SAID if name in table.columns]
    if not said:
        raise DataError(f'"{path}" has neither column "decision" nor "rating"; add one')
    return said


def _numbers(text: pd.Series, name: Column, path: Path) -> pd.Series:
    numbers = pd.to_numeric(text, errors="coerce")
    good = numbers.isin([0, 1]) if name == "decision" else np.isfinite(numbers)
    bad = np.flatnonzero(~good)
    if len(bad):
        wanted = "0 or 1" if name == "decision" else "a number"
        raise DataError(f'"{path}" row {bad[0] + 2}: {name} is "{text.iloc[bad[0]]}", not {wanted}')
    return numbers.astype(float)
