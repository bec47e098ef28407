"""What a check found in a table: one line that names table, column and patients, and the mend."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import pandas as pd

from cohorts.errors import DataError

Level = Literal["error", "warning"]

_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (error), or that a reader must know of (warning).

    Attributes
    ----------
    level
        With an "error" nothing can be fitted.
    table, column
        Where it is; `column` is empty where the table as a whole is meant.
    patients
        Ids of the patients concerned; empty where all are.
    message
        One line with all of it, and the mend.
    """

    level: Level
    table: str
    column: str
    patients: tuple[str, ...]
    message: str


def in_column(
    level: Level, table: str, column: str, says: str, ids: Iterable[object] = ()
) -> Finding:
    """Describe a finding in one column, with the patients concerned."""
    patients = tuple(str(name) for name in ids)
    named = f" {name_patients(patients)}" if patients else ""
    return Finding(level, table, column, patients, f'{table}: column "{column}": {says}{named}')


def absent_columns(table: str, columns: Iterable[object], wanted: Iterable[str]) -> list[Finding]:
    """Name each wanted column that is not there, and the one that may be meant."""
    present = [str(column) for column in columns]
    found = []
    for name in wanted:
        if name not in present:
            near = get_close_matches(name, present, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else f"; it has {', '.join(present)}"
            message = f'{table}: column "{name}" is missing{hint}'
            found.append(Finding("error", table, name, (), message))
    return found


def name_patients(ids: Iterable[object]) -> str:
    """Name the first five patients in brackets, and count the others."""
    names = [f'"{name}"' for name in ids]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return (
        f"({'patient' if len(names) == 1 else 'patients'} {', '.join(names[:_NAMES_SHOWN])}{more})"
    )


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Tabulate findings, errors first: `level, table, column, n, patients, message`."""
    lines = [
        {
            "level": finding.level,
            "table": finding.table,
            "column": finding.column,
            "n": len(finding.patients),
            "patients": ", ".join(finding.patients),
            "message": finding.message,
        }
        for finding in sorted(findings, key=lambda finding: finding.level)
    ]
    columns = ["level", "table", "column", "n", "patients", "message"]
    return pd.DataFrame(lines, columns=columns)


def refuse_errors(table: pd.DataFrame) -> None:
    """Raise on the errors of a table of findings, all at once; warnings pass.

    Raises
    ------
    DataError
        One line for each error.
    """
    errors = table.loc[table["level"] == "error", "message"]
    if len(errors):
        raise DataError("\n".join(errors))
