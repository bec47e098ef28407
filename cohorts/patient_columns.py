"""Further patient-level columns of a manifest, as they are written."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cohorts.errors import ManifestError
from cohorts.manifest import read_rows
from cohorts.settings import MISSING


def read_patient_columns(manifest: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read columns that hold words or numbers, of which the first row of a patient counts.

    Parameters
    ----------
    manifest
        That `read_cohort` has read.

    Returns
    -------
    DataFrame
        Indexed by `patient_id`: the columns as text, None where missing.

    Raises
    ------
    ManifestError
        With one line for each column that is absent and each row that says of a patient something
        else than the row before.
    """
    header, rows = read_rows(manifest)
    problems = [
        f'{manifest.name}: no column "{name}"; it has {", ".join(header)}'
        for name in columns
        if name not in header
    ]
    if problems:
        raise ManifestError(problems)
    firsts: dict[str, dict[str, str]] = {}
    for row in rows:
        first = firsts.setdefault(row["patient_id"], row)
        problems += [
            f'{manifest.name} row {row[""]}, column "{name}": patient "{row["patient_id"]}" has '
            f'"{row[name]}" here but "{first[name]}" in row {first[""]}; a patient-level column '
            "must agree over a patient's rows"
            for name in columns
            if row[name] != first[name]
        ]
    if problems:
        raise ManifestError(problems)
    known = {
        patient: [None if row[name].lower() in MISSING else row[name] for name in columns]
        for patient, row in firsts.items()
    }
    table = pd.DataFrame.from_dict(known, orient="index", columns=list(columns), dtype=object)
    table.index.name = "patient_id"
    return table
