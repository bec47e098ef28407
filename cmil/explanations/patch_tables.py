"""Tables that say something of each patch: cell classes, attributes, whatever was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cohorts.errors import DataError
from feature_extraction.bags import Bag

_KEYS = ("slide_id", "image", "x", "y")
_MOST_CLASSES = 50


@dataclass(frozen=True)
class PatchTable:
    """Measures of patches by where they lie.

    Attributes
    ----------
    measures
        One numeric column a measure, indexed by `slide_id, image, x, y`; `image` is empty where a
        slide has one. A column of words has become one column for each word, 1 where it stands.
    """

    name: str
    measures: pd.DataFrame


def read_patch_table(path: Path) -> PatchTable:
    """Read a CSV with `slide_id, x, y`, optionally `image`, and one column or more of measures.

    Raises
    ------
    DataError
        If the file or a column is missing, there is no measure, a place occurs twice or is not a
        whole number, or a column holds more than 50 different words; the line names file and row.
    """
    if not path.is_file():
        raise DataError(f'patch table "{path}" does not exist; correct [explanations] patch_tables')
    table = pd.read_csv(path, dtype={"slide_id": str, "image": str}, keep_default_na=False)
    absent = [name for name in ("slide_id", "x", "y") if name not in table]
    if absent:
        raise DataError(f'"{path.name}" has no column "{absent[0]}"')
    if "image" not in table:
        table["image"] = ""
    for axis in ("x", "y"):
        wrong = table.index[pd.to_numeric(table[axis], errors="coerce") % 1 != 0]
        if len(wrong):
            raise DataError(
                f'"{path.name}" row {wrong[0] + 2}: {axis} is not a whole number of level-0 pixels'
            )
        table[axis] = table[axis].astype(float).astype(np.int64)
    twice = table.index[table.duplicated(list(_KEYS))]
    if len(twice):
        raise DataError(f'"{path.name}" row {twice[0] + 2}: its patch occurs before; keep one row')
    columns = [name for name in table if name not in _KEYS]
    if not columns:
        raise DataError(f'"{path.name}" holds no measure beside {", ".join(_KEYS)}; add a column')
    measures = pd.concat([_numbers(path, table[name]) for name in columns], axis=1)
    return PatchTable(path.stem, measures.set_index(pd.MultiIndex.from_frame(table[list(_KEYS)])))


def measures_of(
    tables: Sequence[PatchTable], slide_id: str, bag: Bag
) -> dict[str, NDArray[np.float64]]:
    """Look the patches of a bag up: `<table>: <column>` to (N,), NaN where nothing is said."""
    images = [""] * len(bag)
    if bag.image_index is not None and bag.images:
        images = [bag.images[number] for number in bag.image_index]
    x, y = bag.coords.T
    place = pd.MultiIndex.from_arrays([[slide_id] * len(bag), images, x, y])
    found = {}
    for table in tables:
        here = table.measures.reindex(place)
        for column in here:
            found[f"{table.name}: {column}"] = here[column].to_numpy(np.float64)
    return found


def _numbers(path: Path, column: "pd.Series") -> pd.DataFrame:
    numbers = pd.to_numeric(column.replace("", np.nan), errors="coerce")
    if numbers.notna().sum() == (column != "").sum():
        return numbers.astype(float).to_frame()
    words = sorted(set(column) - {""})
    if len(words) > _MOST_CLASSES:
        raise DataError(
            f'"{path.name}": column "{column.name}" holds {len(words)} different words; at most '
            f"{_MOST_CLASSES} classes are compared, so give numbers or drop it"
        )
    known = column != ""
    return pd.DataFrame(
        {f"{column.name} = {word}": (column == word).where(known).astype(float) for word in words}
    )
