from pathlib import Path

import numpy as np
import pytest

from cmil.readers.ratings import read_ratings, readings_of
from cohorts.errors import DataError, FileFormatError

GOOD = "reader_id,patient_id,decision,rating\nX,P1,1,4.5\nX,P2,0,1\nY,P2,1,3\nY,P1,1,5\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_arranges_readers_by_patients_in_the_order_asked_for(tmp_path: Path) -> None:
    ratings = read_ratings(written(tmp_path, GOOD))
    found = readings_of(ratings, ["P2", "P1"], "rating")
    assert found.readers == ("X", "Y")
    np.testing.assert_array_equal(found.values, [[1, 4.5], [3, 5]])
    assert readings_of(ratings, ["P2"], "decision").values.tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patient_id,decision\nP1,1\n", 'no column "reader_id"'),
        ("reader_id,patient_id\nX,P1\n", 'neither column "decision" nor "rating"'),
        ("reader_id,patient_id,decision\nX,P1,1\n ,P2,1\n", "row 3: reader_id is empty"),
        (
            "reader_id,patient_id,decision\nX,P1,1\nX,P2,1\nX,P1,0\n",
            'row 4: reader "X" has read patient "P1" before',
        ),
        (
            "reader_id,patient_id,decision\nX,P1,1\nX,P2,yes\n",
            'row 3: decision is "yes", not 0 or 1',
        ),
        ("reader_id,patient_id,decision\nX,P1,\n", 'row 2: decision is "", not 0 or 1'),
        ("reader_id,patient_id,rating\nX,P1,inf\n", 'row 2: rating is "inf", not a number'),
    ],
)
def test_names_row_and_column_of_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_ratings(written(tmp_path, text))


def test_missing_readings_are_named(tmp_path: Path) -> None:
    ratings = read_ratings(written(tmp_path, GOOD.replace("Y,P1,1,5\n", "")))
    with pytest.raises(DataError, match='reader "Y" has no decision of patient "P1"'):
        readings_of(ratings, ["P1", "P2"], "decision")
    with pytest.raises(DataError, match='patient "P3"'):
        readings_of(ratings, ["P3"], "decision")
    with pytest.raises(DataError, match='no column "rating"'):
        readings_of(ratings.drop(columns="rating"), ["P2"], "rating")


def test_no_table_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="does not exist"):
        read_ratings(tmp_path / "none.csv")
    with pytest.raises(FileFormatError, match="not a CSV"):
        read_ratings(written(tmp_path, ""))
