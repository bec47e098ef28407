"""Nested search: choose settings for a fold's model by its training patients alone."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cmil.settings import MilSettings
from cmil.training.fits import FitResult

SEARCH = "search.csv"


def grid_points(settings: MilSettings) -> list[Mapping[str, Any]]:
    """Every combination of the values searched, in the order they are named; else one, empty.

    Of settings that the aggregator reads.
    """
    names = list(settings.searched)
    return [
        dict(zip(names, values, strict=True))
        for values in itertools.product(*settings.searched.values())
    ]


def search_table(
    points: Sequence[Mapping[str, Any]], results: Sequence[Sequence[FitResult]]
) -> pd.DataFrame:
    """Say how each point did, and which is chosen.

    The best has the highest mean discrimination (AUC or concordance) over the inner folds; of
    equally good ones, which are frequent among few patients, the lowest mean loss.

    Parameters
    ----------
    points
        Settings that were tried.
    results
        Of each point, one an inner fold.

    Returns
    -------
    DataFrame
        One row a point: its values, `discrimination`, `loss`, `chosen`.
    """
    table = pd.DataFrame([{name: str(value) for name, value in point.items()} for point in points])
    table["discrimination"] = [_mean([r.discrimination for r in of]) for of in results]
    table["loss"] = [_mean([r.loss for r in of]) for of in results]
    # What comes out the same but for rounding is the same; what diverged in any fold has lost.
    reached = table["discrimination"].fillna(0).round(12).where(np.isfinite(table["loss"]), -1)
    order = np.lexsort([table["loss"], -reached])
    table["chosen"] = np.arange(len(table)) == order[0]
    return table


def chosen_point(table: pd.DataFrame) -> int:
    """Give the number of the point that `search_table` chose."""
    return int(table["chosen"].to_numpy().argmax())


def _mean(values: Sequence[float]) -> float:
    """Mean over the folds that have a value."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
