"""The log-rank test against R's survdiff and against lifelines."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.datasets import load_lung, load_lymphoma, load_rossi
from lifelines.statistics import multivariate_logrank_test

from survival import logrank_test

patients = st.lists(
    st.tuples(st.integers(1, 12).map(float), st.booleans(), st.sampled_from("abc")),
    min_size=6,
    max_size=40,
).map(lambda rows: pd.DataFrame(rows, columns=["time", "event", "group"]))


def test_rossi_equals_r() -> None:
    """sebp/scikit-survival tests/test_compare.py, values from R: race."""
    rossi = load_rossi()
    test = logrank_test(rossi["week"], rossi["arrest"], rossi["race"])
    assert test.chi2 == pytest.approx(0.576101713683918, rel=1e-9)
    assert test.p == pytest.approx(0.447844394252168, rel=1e-9)


def test_lymphoma_equals_statsdirect() -> None:
    """lifelines/tests/test_statistics.py, values from StatsDirect."""
    lymphoma = load_lymphoma()
    test = logrank_test(lymphoma["Time"], lymphoma["Censor"], lymphoma["Stage_group"])
    assert test.chi2 == pytest.approx(6.70971, abs=5e-6)
    assert test.p == pytest.approx(0.0096, abs=5e-5)


def test_expected_events_of_lung_equal_r() -> None:
    """R's survdiff(Surv(time, status) ~ sex, lung), printed in the package's documentation."""
    lung = load_lung()
    test = logrank_test(lung["time"], lung["status"], lung["sex"])
    assert test.groups["n"].tolist() == [138, 90]
    assert test.groups["observed"].tolist() == [112, 53]
    assert test.groups["expected"].tolist() == pytest.approx([91.5817, 73.4183], abs=5e-5)
    assert (test.chi2, test.p) == pytest.approx((10.3267, 0.00131116), rel=1e-5)


@pytest.mark.shared
def test_ovarian_and_aml_equal_r(reference) -> None:
    """reference_values.json, logrank_ovarian and logrank_aml."""
    ovarian = reference("Rsurvival_ovarian.csv")
    test = logrank_test(ovarian["futime"], ovarian["fustat"], ovarian["rx"])
    assert test.chi2 == pytest.approx(1.063, abs=5e-4)
    assert test.groups["expected"].tolist() == pytest.approx([5.23, 6.77], abs=5e-3)
    aml = reference("Rsurvival_aml.csv")
    test = logrank_test(aml["time"], aml["status"], aml["x"])
    assert test.chi2 == pytest.approx(3.4, abs=0.05)
    assert test.groups["expected"].tolist() == pytest.approx([10.69, 7.31], abs=5e-3)


@pytest.mark.shared
def test_stratified_test_of_eight_groups_equals_r(reference) -> None:
    """reference_values.json, logrank_strat_lung: pat.karno + strata(inst)."""
    lung = reference("Rsurvival_lung.csv").dropna(subset=["inst", "pat.karno"])
    test = logrank_test(lung["time"], lung["status"] == 2, lung["pat.karno"], lung["inst"])
    assert test.df == 7
    assert test.chi2 == pytest.approx(21.368, abs=5e-4)
    assert test.p == pytest.approx(0.003, abs=5e-4)


@settings(deadline=None)
@given(patients)
def test_any_groups_equal_lifelines(data: pd.DataFrame) -> None:
    test = logrank_test(data["time"], data["event"], data["group"])
    if np.isnan(test.chi2) or (test.groups["expected"] == 0).any():
        return  # lifelines takes a pseudo-inverse there; R drops the group, and so do we
    theirs = multivariate_logrank_test(data["time"], data["group"], data["event"])
    assert test.chi2 == pytest.approx(theirs.test_statistic, rel=1e-6, abs=1e-9)
    assert test.p == pytest.approx(theirs.p_value, rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(patients, st.randoms(use_true_random=False))
def test_order_and_names_of_patients_and_groups_do_not_matter(data: pd.DataFrame, random) -> None:
    order = list(range(len(data)))
    random.shuffle(order)
    shuffled = data.iloc[order]
    renamed = shuffled["group"].map({"a": "z", "b": "m", "c": "k"})
    first = logrank_test(data["time"], data["event"], data["group"])
    second = logrank_test(shuffled["time"], shuffled["event"], renamed)
    assert second.df == first.df
    assert second.chi2 == pytest.approx(first.chi2, rel=1e-6, abs=1e-9, nan_ok=True)


@settings(deadline=None)
@given(patients)
def test_expected_events_sum_to_the_observed_ones(data: pd.DataFrame) -> None:
    groups = logrank_test(data["time"], data["event"], data["group"], data["time"] > 6).groups
    assert groups["expected"].sum() == pytest.approx(groups["observed"].sum())


def test_strata_are_compared_within_only() -> None:
    """Two centres of one group each hold no comparison, however different their survival."""
    time, event = [1, 2, 3, 10, 11, 12], [1, 1, 1, 1, 1, 1]
    group = ["high"] * 3 + ["low"] * 3
    assert logrank_test(time, event, group).p < 0.05
    assert np.isnan(logrank_test(time, event, group, strata=group).p)


@pytest.mark.parametrize(
    ("event", "group"), [([0, 0, 0, 0], [0, 0, 1, 1]), ([1, 1, 0, 1], [0, 0, 0, 0])]
)
def test_nothing_to_compare_is_nan(event: list[int], group: list[int]) -> None:
    test = logrank_test([1, 2, 3, 4], event, group)
    assert np.isnan(test.chi2)
    assert np.isnan(test.p)
