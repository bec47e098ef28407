"""Columns of the tables that may hold nothing but reasons why there is no number."""

from typing import Final

import pandas as pd

_COLUMNS: Final = {
    "added_value": (
        *("model", "apparent", "optimism", "corrected", "ci_low", "ci_high", "clinical", "n"),
        *("events", "chi2", "df", "p", "apparent_ci_low", "apparent_ci_high", "apparent_p"),
        *("samples", "failed", "method", "fitted_on", "note"),
    ),
    "brier": (
        *("model", "time", "brier", "brier_ci_low", "brier_ci_high"),
        *("null", "null_ci_low", "null_ci_high", "ipa", "ipa_ci_low", "ipa_ci_high", "note"),
        *("n", "method", "fitted_on", "weights", "samples"),
    ),
    "calibration": (
        *("model", "horizon", "measure", "value", "ci_low", "ci_high", "method", "n", "events"),
        *("fitted_on", "samples", "note"),
    ),
    "decision_curve": (
        *("horizon", "model", "threshold", "flagged", "net_benefit", "ci_low", "ci_high"),
        *("interventions_avoided", "note", "fitted_on", "samples", "method"),
    ),
    "landmark": (
        *("landmark", "unit", "stratified_by", "n", "kept", "events", "chi2", "df", "p", "term"),
        *("hr", "hr_ci_low", "hr_ci_high", "hr_p", "note"),
    ),
    "power": (
        *("comparison", "events", "hr", "power", "detectable_hr", "events_for_80", "method"),
        *("note", "n", "high_share", "r_squared"),
    ),
}


def with_all_columns(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Give a table the columns that it has where everything is estimable.

    Parameters
    ----------
    name
        Of the file that the table is kept in.
    table
        Its rows, each with `endpoint` and `stratum` first.

    Returns
    -------
    DataFrame
        What no row has is NaN; columns beyond the known ones come last.
    """
    if name not in _COLUMNS:
        return table
    known = ["endpoint", "stratum", *_COLUMNS[name]]
    return table.reindex(columns=[*known, *table.columns.difference(known, sort=False)])
