"""Numbers as a report prints them."""

from collections.abc import Mapping, Sequence

import pandas as pd

from survival.print_numbers import interval_text


def intervals(
    table: pd.DataFrame,
    value: str = "value",
    digits: int = 3,
    limits: tuple[str, str] = ("ci_low", "ci_high"),
) -> list[str]:
    """Give column `value` of each row with its `limits`, or that it is not estimable."""
    values, lows, highs = (table[name].astype(float) for name in (value, *limits))
    rows = zip(values, lows, highs, strict=True)
    return [interval_text(*row, form=f"z.{digits}f") for row in rows]


def file_name(text: str) -> str:
    """Give letters and numbers of a text, joined by hyphens."""
    return "-".join("".join(c if c.isalnum() else " " for c in text).split()).lower()


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
