"""Columns of numbers in a table of results -> the columns of text that a page has room for."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from cmil.report import median_text
from cmil.reporting.words import intervals
from survival.print_numbers import NOT_ESTIMABLE, p_value

Printed = Callable[[pd.DataFrame], Sequence[str]]


def printed(table: pd.DataFrame, columns: Mapping[str, Printed]) -> pd.DataFrame:
    """Print a table; a column that the table lacks, or that says nothing in any row, is left out.

    Parameters
    ----------
    columns
        Heading -> what prints the column.
    """
    shown = {}
    for heading, column in columns.items():
        try:
            texts = list(column(table))
        except KeyError:
            continue
        if any(texts):
            shown[heading] = texts
    return pd.DataFrame(shown, index=table.index)


def words(name: str) -> Printed:
    """Print a column as it is."""
    return lambda table: ["" if pd.isna(value) else str(value) for value in table[name]]


def pair(one: str, other: str) -> Printed:
    """Print two columns as a difference of them."""
    return lambda table: [f"{a} - {b}" for a, b in zip(table[one], table[other], strict=True)]


def number(name: str, digits: int = 2, unit: str = "") -> Printed:
    """Print a column of numbers, of whole ones without a point; `unit` names a column of units."""

    def texts(table: pd.DataFrame) -> Sequence[str]:
        values = table[name].astype(float)
        whole = (values.dropna() % 1 == 0).all()
        units = [f" {word}" for word in table[unit]] if unit else [""] * len(table)
        return [
            "" if pd.isna(value) else f"{value:.{0 if whole else digits}f}{word}"
            for value, word in zip(values, units, strict=True)
        ]

    return texts


def interval(
    name: str, low: str = "ci_low", high: str = "ci_high", digits: int = 2, missing: str = ""
) -> Printed:
    """Print a number with its limits; `missing` where it is none."""

    def texts(table: pd.DataFrame) -> Sequence[str]:
        told = zip(table[name], intervals(table, name, digits, (low, high)), strict=True)
        return [missing if pd.isna(value) else text for value, text in told]

    return texts


def own_interval(name: str, digits: int = 2, missing: str = "") -> Printed:
    """Print a number whose limits are named after it."""
    return interval(name, f"{name}_ci_low", f"{name}_ci_high", digits, missing)


def share(name: str) -> Printed:
    """Print a share as counts, with its limits."""

    def texts(table: pd.DataFrame) -> Sequence[str]:
        counts = zip(table[f"{name}_k"], table[f"{name}_n"], strict=True)
        of = [f"{k}/{n} {text}" for (k, n), text in zip(counts, own(table), strict=True)]
        return [text if n else "-" for text, n in zip(of, table[f"{name}_n"], strict=True)]

    own = own_interval(name, missing=NOT_ESTIMABLE)
    return texts


def median_time(name: str = "median", low: str = "ci_low", high: str = "ci_high") -> Printed:
    """Print a median time with its limits; what was not reached is NR."""
    return lambda table: [
        median_text(*row) for row in zip(table[name], table[low], table[high], strict=True)
    ]


def limits(low: str, high: str, digits: int = 2) -> Printed:
    """Print limits alone."""

    def texts(table: pd.DataFrame) -> Sequence[str]:
        rows = zip(table[low], table[high], strict=True)
        return [
            "" if pd.isna(below) else f"{below:.{digits}f} to {above:.{digits}f}"
            for below, above in rows
        ]

    return texts


def p(name: str = "p") -> Printed:
    """Print a p value."""
    # The space after "<" does not end a line.
    return lambda table: [
        "" if pd.isna(value) else p_value(value).replace(" ", "\N{NO-BREAK SPACE}")
        for value in table[name]
    ]


def said_once(table: pd.DataFrame, names: Sequence[str]) -> str:
    """Say in a sentence each what whole columns say, such as the method, to stand in the caption.

    What differs between rows is said for each of its values.
    """
    said = []
    for name in names:
        if name in table:
            values = dict.fromkeys(str(v) for v in table[name].dropna() if str(v))
            said += [f"{value[:1].upper()}{value[1:]}." for value in values]
    return "".join(f" {sentence}" for sentence in said)
