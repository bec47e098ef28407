import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.errors import DataError
from cohorts.splits import stratified_folds


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[pd.DataFrame, int]:
    """Patients in any order, and a number of folds there are enough of each label for."""
    folds = draw(st.integers(2, 6))
    centres = st.lists(st.sampled_from("ABC"), min_size=folds, max_size=30)
    rows = [(label, centre) for label in (0, 1) for centre in draw(centres)]
    index = pd.Index([f"P{i}" for i in range(len(rows))], name="patient_id")
    patients = pd.DataFrame(rows, columns=["label", "centre"], index=index)
    return patients.loc[draw(st.permutations(index.tolist()))], folds


def spread(folds: pd.Series, chosen: pd.Series, count: int) -> int:
    """How far the sizes of the folds differ among the chosen patients."""
    sizes = np.bincount(folds[chosen], minlength=count)
    return int(sizes.max() - sizes.min())


@settings(max_examples=100, deadline=None)
@given(cohorts(), st.integers(0, 2**32 - 1))
def test_every_fold_has_its_share_of_all_of_each_label_and_of_each_stratum(
    drawn: tuple[pd.DataFrame, int], seed: int
) -> None:
    patients, count = drawn
    folds = stratified_folds(patients, count, np.random.default_rng(seed))
    assert folds.index.equals(patients.index)
    assert folds.dtype.kind == "i"
    assert set(folds) == set(range(count))
    assert spread(folds, folds >= 0, count) <= 1
    for label in (0, 1):
        assert spread(folds, patients["label"] == label, count) <= 1
        for centre in "ABC":
            stratum = (patients["label"] == label) & (patients["centre"] == centre)
            assert spread(folds, stratum, count) <= 1
    again = stratified_folds(patients, count, np.random.default_rng(seed))
    pd.testing.assert_series_equal(folds, again)


def test_another_seed_deals_other_folds() -> None:
    patients = pd.DataFrame(
        {"label": [0, 1] * 20, "centre": "A"}, index=[f"P{i}" for i in range(40)]
    )
    dealt = [stratified_folds(patients, 4, np.random.default_rng(seed)) for seed in (1, 2)]
    assert not dealt[0].equals(dealt[1])


@pytest.mark.parametrize("few", [0, 1])
def test_too_few_of_a_class_is_an_error_that_names_it_and_the_mend(few: int) -> None:
    labels = [few] * 3 + [1 - few] * 9
    patients = pd.DataFrame({"label": labels, "centre": "A"}, index=[f"P{i}" for i in range(12)])
    with pytest.raises(
        DataError, match=f"label {few} has 3 .* for 5 folds; set folds to at most 3"
    ):
        stratified_folds(patients, 5, np.random.default_rng(0))
    assert stratified_folds(patients, 3, np.random.default_rng(0)).nunique() == 3


@pytest.mark.parametrize(("labels", "said"), [([], "no patient"), ([1, 1, 1], "only label 1")])
def test_one_class_cannot_be_divided(labels: list[int], said: str) -> None:
    patients = pd.DataFrame({"label": labels, "centre": ["A"] * len(labels)})
    with pytest.raises(DataError, match=f"{said}; both labels 0 and 1 are needed"):
        stratified_folds(patients, 2, np.random.default_rng(0))
