"""A written table has the same columns whether or not its numbers are estimable."""

from pathlib import Path

import pandas as pd
import pytest

from survival import SurvivalSettings, analyse
from survival.study.columns import with_all_columns

NAMES = ("added_value", "brier", "calibration", "decision_curve", "landmark", "power")
NUMBERS = ("corrected", "ipa", "value", "net_benefit", "hr", "power")


@pytest.fixture
def written(study, overall_survival, tmp_path: Path):
    """Writes the study with the events of these rows alone, and reads its tables."""
    predictions, patients = study

    def write(name: str, kept: slice, landmark: float) -> dict[str, pd.DataFrame]:
        events = pd.Series(0, index=patients.index)
        events.iloc[kept] = patients["os_event"].iloc[kept]
        chosen = SurvivalSettings(covariates=("age",), bootstrap_samples=20, landmark=landmark)
        told = patients.assign(os_event=events)
        out = tmp_path / name
        analyse(predictions, told, overall_survival, chosen, out, "cohort")
        return {table: pd.read_csv(out / f"{table}.csv") for table in NAMES}

    return write


def test_reasons_alone_have_all_columns(written) -> None:
    many = written("many", slice(None), 6)
    none = written("none", slice(0), 1e6)
    for name, number in zip(NAMES, NUMBERS, strict=True):
        assert many[name][number].notna().any(), name
        assert none[name][number].isna().all(), name
        assert none[name]["note"].str.startswith("not").all(), name
        assert list(none[name].columns) == list(many[name].columns), name


def test_columns_beyond_the_known_ones_are_kept() -> None:
    table = pd.DataFrame([{"endpoint": "death", "stratum": "Bern", "extra": 1, "events": 0}])
    assert with_all_columns("other", table) is table
    whole = with_all_columns("power", table)
    assert list(whole.columns[:3]) == ["endpoint", "stratum", "comparison"]
    assert whole.columns[-1] == "extra"
    assert whole["hr"].isna().all()
