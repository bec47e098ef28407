"""Further columns of a manifest: as written, one row a patient."""

from pathlib import Path

import pytest

from cohorts.errors import ManifestError
from cohorts.patient_columns import read_patient_columns

HEADER = "patient_id,slide_id,sex,stage"


def written(folder: Path, *rows: str) -> Path:
    path = folder / "cohort.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def test_words_are_kept_and_missing_ones_are_none(tmp_path: Path) -> None:
    manifest = written(tmp_path, "P1,a, f ,4S", "P1,b,f,4S", "P2,c,NA,1")
    table = read_patient_columns(manifest, ("stage", "sex"))
    assert table.to_dict("index") == {
        "P1": {"stage": "4S", "sex": "f"},
        "P2": {"stage": "1", "sex": None},
    }
    assert list(read_patient_columns(manifest, ()).index) == ["P1", "P2"]


def test_every_row_that_differs_and_every_absent_column_is_named(tmp_path: Path) -> None:
    manifest = written(tmp_path, "P1,a,f,4", "P1,b,m,3")
    with pytest.raises(ManifestError) as raised:
        read_patient_columns(manifest, ("sex", "stage"))
    assert len(raised.value.problems) == 2
    assert 'row 3, column "sex": patient "P1" has "m" here but "f" in row 2' in str(raised.value)
    with pytest.raises(ManifestError, match='no column "age"; it has patient_id'):
        read_patient_columns(manifest, ("age",))
