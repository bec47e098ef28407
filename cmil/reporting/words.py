"""Numbers as a report prints them."""

from collections.abc import Mapping, Sequence

import pandas as pd

NOT_ESTIMABLE = "not estimable"


def with_interval(value: float, ci_low: float, ci_high: float, digits: int = 3) -> str:
    """Give a number with its interval; what has no value is not estimable."""
    if pd.isna(value):
        return NOT_ESTIMABLE
    if pd.isna(ci_low) or pd.isna(ci_high):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({ci_low:.{digits}f} to {ci_high:.{digits}f})"


def intervals(table: pd.DataFrame, value: str = "value", digits: int = 3) -> list[str]:
    """Give column `value` of each row with its `ci_low` and `ci_high`."""
    values, lows, highs = (table[name].astype(float) for name in (value, "ci_low", "ci_high"))
    rows = zip(values, lows, highs, strict=True)
    return [with_interval(middle, low, high, digits) for middle, low, high in rows]


def file_name(text: str) -> str:
    """Give letters and numbers of a text, joined by hyphens."""
    return "-".join("".join(c if c.isalnum() else " " for c in text).split()).lower()


def p_value(p: float) -> str:
    """Give a p value with two or three decimals."""
    if pd.isna(p):
        return NOT_ESTIMABLE
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def wide(
    table: pd.DataFrame, rows: Mapping[str, str], measures: Mapping[str, str], digits: int = 3
) -> pd.DataFrame:
    """Lay a table of one row a measure out with one column a measure.

    Parameters
    ----------
    table
        With `measure, value, ci_low, ci_high` and the columns of `rows`.
    rows
        Column that tells rows apart -> its heading.
    measures
        Measure -> its heading, in order.

    Returns
    -------
    DataFrame
        Text.
    """
    shown = []
    for key, group in table.groupby(list(rows), sort=False, dropna=False):
        texts = dict(zip(group["measure"], intervals(group, digits=digits), strict=True))
        line = dict(zip(rows.values(), map(str, key), strict=True))
        for measure, heading in measures.items():
            line[heading] = texts.get(measure, "")
        shown.append(line)
    return pd.DataFrame(shown, columns=[*rows.values(), *measures.values()])


def notes_of(table: pd.DataFrame, of: Sequence[str]) -> str:
    """Say in one sentence each why numbers are missing."""
    if "note" not in table:
        return ""
    noted = table[table["note"].fillna("") != ""]
    said = dict.fromkeys(
        f"{', '.join(str(row[name]) for name in of if row[name] != '')}: {row['note']}."
        for row in noted.to_dict("records")
    )
    return " ".join(said)
