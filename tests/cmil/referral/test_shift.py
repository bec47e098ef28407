from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from cmil.referral.shift import shift_of, shift_table
from cmil.referral.shift_file import read_shift_reference, write_shift_reference
from cmil.referral.shift_reference import ShiftReference, describe_patient, fit_shift_reference
from cohorts.errors import DataError, FileFormatError

WIDTH = 1500


def patients(
    count: int, offset: NDArray[np.float64] | float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A few strong directions and noise in all features, as embeddings have them."""
    directions = np.random.default_rng(0).normal(size=(10, WIDTH))
    noise = rng.normal(size=(count, WIDTH))
    return rng.normal(size=(count, 10)) @ directions / 3 + noise + offset


@pytest.fixture(scope="module")
def reference() -> ShiftReference:
    """Four development centres that differ a little."""
    rng = np.random.default_rng(7)
    rows = [patients(15, rng.normal(scale=0.4, size=WIDTH), rng) for _ in range(4)]
    return fit_shift_reference(np.concatenate(rows), np.repeat(list("abcd"), 15), rng, splits=40)


def test_development_like_patients_differ_as_often_as_the_level_says() -> None:
    """60 patients, 1,500 features: the reference's own scale must not set new patients apart."""
    rng = np.random.default_rng(11)
    low = 0
    for _ in range(60):
        own = fit_shift_reference(patients(60, 0, rng), ["one"] * 60, rng, splits=1)
        low += shift_of(own, patients(15, 0, rng), rng).p < 0.05
    assert low <= 8  # P(more | 5% of 60) < 0.003


def test_verdicts_in_the_order_of_the_distance(reference: ShiftReference) -> None:
    rng = np.random.default_rng(3)
    near, usual, far = (
        shift_of(reference, patients(30, rng.normal(scale=scale, size=WIDTH), rng), rng)
        for scale in (0.0, 0.4, 1.5)
    )
    assert usual.verdict == "another centre"
    assert far.verdict == "too far"
    assert near.distance < usual.distance <= reference.too_far < far.distance


def test_development_centres_judge_each_other(reference: ShiftReference) -> None:
    assert list(reference.of_centres["centre"]) == list("abcd")
    assert reference.too_far == reference.of_centres["distance"].max()
    assert reference.false_alarms_of_centres.n == 4
    assert reference.false_alarms_of_splits.k <= 2
    assert reference.differs_in_splits.n == 40


def test_an_odd_development_centre_is_a_false_alarm_of_the_others() -> None:
    """Three centres alike and one apart: the limit holds it, the other three would not."""
    rng = np.random.default_rng(9)
    rows = [patients(15, offset, rng) for offset in (0, 0, 0, 1.0)]
    found = fit_shift_reference(np.concatenate(rows), np.repeat(list("abcd"), 15), rng, splits=5)
    assert found.false_alarms_of_centres.k == 1
    assert list(found.of_centres.set_index("centre")["verdict"])[3] == "another centre"


def test_table_of_a_centre_does_not_depend_on_the_others(reference: ShiftReference) -> None:
    rng = np.random.default_rng(5)
    bern, graz = patients(12, 0.2, rng), patients(3, 0, rng)
    seed = np.random.SeedSequence(1)
    both = shift_table(reference, {"Graz": graz, "Bern": bern}, seed)
    alone = shift_table(reference, {"Bern": bern}, seed)
    pd.testing.assert_series_equal(both.iloc[1], alone.iloc[0], check_names=False)
    assert both.loc[0, "verdict"] == "too few patients"
    assert both.loc[0, "note"] == "3 patients; a shift is tested from 5 on"
    assert both.loc[1, "false_alarms_of"] == "development centres"


def test_one_centre_knows_of_no_other() -> None:
    rng = np.random.default_rng(2)
    single = fit_shift_reference(patients(25, 0, rng), ["Lund"] * 25, rng, splits=20)
    assert "how far centres lie apart is not known" in single.note
    assert single.false_alarms_of_centres.n == 0
    table = shift_table(single, {"Bern": patients(9, 0, rng)}, np.random.SeedSequence(0))
    assert table.loc[0, "false_alarms_of"] == "random development splits"


def test_file_gives_back_what_was_written(reference: ShiftReference, tmp_path: Path) -> None:
    path = tmp_path / "shift.safetensors"
    write_shift_reference(reference, path)
    found = read_shift_reference(path)
    np.testing.assert_array_equal(found.descriptions, reference.descriptions)
    pd.testing.assert_frame_equal(found.of_centres, reference.of_centres)
    assert found.too_far == reference.too_far
    assert found.false_alarms_of_centres == reference.false_alarms_of_centres
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileFormatError, match="missing or damaged"):
        read_shift_reference(path)


def test_describes_mean_and_spread_of_a_bag() -> None:
    assert list(describe_patient(np.array([[1, 5], [3, 5]], dtype=np.float16))) == [2, 5, 1, 0]


def test_refuses_what_does_not_fit(reference: ShiftReference) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="described by 3 numbers, the reference by 1500"):
        shift_of(reference, np.zeros((6, 3)), rng)
    with pytest.raises(DataError, match="patient number 1 is not finite"):
        shift_of(reference, [[0.0], [float("nan")]], rng)
    with pytest.raises(DataError, match="at least 20"):
        fit_shift_reference(np.zeros((6, 3)), ["a"] * 6, rng)
