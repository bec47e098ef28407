import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.errors import DataError
from cohorts.splits import centre_folds, dealt, stratified_folds


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


def patients_of(rows: list[tuple[str, int]]) -> pd.DataFrame:
    index = pd.Index([f"P{i}" for i in range(len(rows))], name="patient_id")
    return pd.DataFrame(rows, columns=["centre", "label"], index=index)


def test_each_centre_is_left_out_once() -> None:
    rows = [("B", 0), ("A", 1), ("B", 1), ("C", 0), ("A", 0)]
    fold_of = centre_folds(patients_of(rows))
    assert fold_of.tolist() == [1, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("A", 0), ("A", 1)], 'all development patients are of centre "A"'),
        ([("A", 0), ("A", 1), ("B", 0)], 'patients with label 1 are of centre "A"'),
        ([("A", 0), ("B", 0)], "only label 0"),
    ],
)
def test_centres_that_cannot_be_left_out_are_named(rows: list[tuple[str, int]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        centre_folds(patients_of(rows))


@given(
    strata=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    folds=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_dealing_is_even_in_all_and_in_runs_of_strata(
    strata: list[int], folds: int, seed: int
) -> None:
    fold = dealt(strata, folds, np.random.default_rng(seed))
    for members in (np.ones(len(strata), bool), *(np.array(strata) == s for s in set(strata))):
        counts = np.bincount(fold[members], minlength=folds)
        assert counts.max() - counts.min() <= 1
