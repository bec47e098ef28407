"""The log-rank test against R's survdiff and against lifelines."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.datasets import load_larynx, load_lung, load_lymphoma, load_rossi
from lifelines.statistics import multivariate_logrank_test

from cohorts.errors import DataError, SettingsError
from survival import FlemingHarrington, logrank_test, logrank_trend, pairwise_logrank
from survival.logrank import Weighting
from survival.multiplicity import adjusted_p

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


KIDNEY = {
    # Klein & Moeschberger 2003, section 1.4: infections and censorings, months.
    ("surgical", 1): "1.5 3.5 4.5*2 5.5 8.5*2 9.5 10.5 11.5 15.5 16.5 18.5 23.5 26.5",
    ("surgical", 0): "2.5*2 3.5*3 4.5 5.5 6.5*2 7.5*4 8.5 9.5 10.5 11.5 12.5*2 13.5 14.5*2 21.5*2 "
    "22.5*2 25.5 27.5",
    ("percutaneous", 1): "0.5*6 2.5*2 3.5 6.5 15.5",
    ("percutaneous", 0): "0.5*10 1.5*4 2.5*5 3.5*5 4.5*3 5.5*5 6.5 7.5*3 8.5*3 9.5*2 10.5*3 11.5*2 "
    "12.5*4 14.5*2 16.5*2 18.5 19.5*3 20.5 22.5 24.5 25.5 26.5*2 28.5",
}


@pytest.fixture(scope="module")
def kidney() -> pd.DataFrame:
    rows = []
    for (group, event), times in KIDNEY.items():
        for term in times.split():
            time, _, repeats = term.partition("*")
            rows += [(float(time), event, group)] * int(repeats or 1)
    return pd.DataFrame(rows, columns=["time", "event", "group"])


@pytest.mark.parametrize(
    ("weighting", "chi2", "p"),
    [
        # Klein & Moeschberger 2003, table 7.2.
        ("log-rank", 2.53, 0.112),
        ("gehan", 0.002, 0.964),
        ("tarone-ware", 0.40, 0.526),
        ("peto-peto", 1.40, 0.237),
        (FlemingHarrington(0, 1), 9.67, 0.002),
        (FlemingHarrington(1, 1), 9.83, 0.002),
        (FlemingHarrington(0.5, 0.5), 9.28, 0.002),
        (FlemingHarrington(0.5, 2), 8.18, 0.004),
    ],
)
def test_weighted_tests_equal_the_book(kidney, weighting: Weighting, chi2, p) -> None:
    test = logrank_test(kidney["time"], kidney["event"], kidney["group"], weighting=weighting)
    assert test.chi2 == pytest.approx(chi2, abs=5.1e-3)
    assert test.p == pytest.approx(p, abs=5.1e-4)


@pytest.mark.shared
def test_g_rho_test_of_eighteen_groups_equals_r(reference) -> None:
    """therneau/survival tests/cancer.Rout.save: survdiff(~ inst, lung, rho = .5), digits = 6."""
    lung = reference("Rsurvival_lung.csv").dropna(subset=["inst"])
    test = logrank_test(
        lung["time"], lung["status"] == 2, lung["inst"], weighting=FlemingHarrington(0.5)
    )
    groups = test.groups.set_index("group")
    assert groups.loc[1, ["observed", "expected"]].tolist() == pytest.approx(
        [21.190058, 17.455181], abs=5e-7
    )
    assert groups.loc[33, ["observed", "expected"]].tolist() == pytest.approx(
        [0.929177, 0.416202], abs=5e-7
    )
    assert (test.df, test.p) == (17, pytest.approx(0.590384, abs=5e-7))
    assert test.chi2 == pytest.approx(15.1, abs=0.05)


def test_three_groups_equal_r() -> None:
    """survminer::surv_pvalue of aml with a third group, printed at biostars.org/p/401657."""
    time = [9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161, 5, 5, 8, 8, 12, 16, 23, 27, 30, 33, 43, 45]
    event = [1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    group = ["maintained"] * 9 + ["super"] * 2 + ["not"] * 10 + ["super"] * 2
    assert logrank_test(time, event, group).p == pytest.approx(0.005309417, abs=5e-10)


@pytest.fixture(scope="module")
def larynx() -> pd.DataFrame:
    data = load_larynx()
    stage = 1 + data["Stage_II"] + 2 * data["Stage_III"] + 3 * data["Stage_IV"]
    return data.assign(stage=stage)


def test_trend_equals_the_book(larynx: pd.DataFrame) -> None:
    """Klein & Moeschberger 2003, example 7.6: 3.72, p = 0.0002; the k-group test is 22.76."""
    test = logrank_trend(larynx["time"], larynx["death"], larynx["stage"], [1, 2, 3, 4])
    assert (test.z, test.p) == (pytest.approx(3.72, abs=5e-3), pytest.approx(0.0002, abs=5e-5))
    overall = logrank_test(larynx["time"], larynx["death"], larynx["stage"])
    assert overall.chi2 == pytest.approx(22.76, abs=5e-3)
    back = logrank_trend(larynx["time"], larynx["death"], larynx["stage"], [4, 3, 2, 1])
    assert back.z == pytest.approx(-test.z)


def test_trend_of_two_groups_is_the_test_of_them(kidney: pd.DataFrame) -> None:
    columns = kidney["time"], kidney["event"], kidney["group"]
    trend = logrank_trend(*columns, ["surgical", "percutaneous"], weighting="gehan")
    assert trend.z**2 == pytest.approx(logrank_test(*columns, weighting="gehan").chi2)
    assert trend.method == "Gehan-Breslow test for trend"
    with pytest.raises(DataError, match="order: name each group once: percutaneous, surgical"):
        logrank_trend(*columns, ["surgical"])
    assert np.isnan(logrank_trend([1, 2], [1, 1], ["a", "a"], ["a"]).p)


def test_pairs_are_tested_on_their_own_patients_and_corrected(larynx: pd.DataFrame) -> None:
    columns = larynx["time"], larynx["death"], larynx["stage"]
    table = pairwise_logrank(*columns, correction="holm")
    assert table[["group", "other"]].to_numpy().tolist() == [
        [1, 2], [1, 3], [1, 4], [2, 3], [2, 4], [3, 4]
    ]  # fmt: skip
    two = larynx[larynx["stage"].isin([1, 4])]
    assert table.loc[2, "p"] == logrank_test(two["time"], two["death"], two["stage"]).p
    np.testing.assert_array_equal(table["p_adjusted"], adjusted_p(table["p"], "holm"))


WEIGHTINGS = ["log-rank", "gehan", "tarone-ware", "peto-peto", FlemingHarrington(0.5, 1)]


@settings(deadline=None, max_examples=60)
@given(patients, st.sampled_from(WEIGHTINGS), st.floats(0.01, 100))
def test_one_stratum_no_delay_and_another_unit_change_nothing(data, weighting, unit) -> None:
    columns = data["time"], data["event"], data["group"]
    plain = logrank_test(*columns, weighting=weighting)
    same = logrank_test(
        unit * data["time"],
        *columns[1:],
        ["one"] * len(data),
        entry=np.zeros(len(data)),
        weighting=weighting,
    )
    assert same.chi2 == pytest.approx(plain.chi2, rel=1e-9, nan_ok=True)
    assert same.method == f"stratified {plain.method}"


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_without_ties_delayed_entry_is_the_simple_formula(seed: int) -> None:
    """Sum of (in group - share at risk), over the root of share (1 - share): coxph's score test."""
    random = np.random.default_rng(seed)
    entry = random.uniform(0, 5, 30)
    time, group = entry + random.uniform(0.1, 9, 30), np.tile([0, 1], 15)
    event = random.integers(0, 2, 30)
    difference = variance = 0.0
    for i in np.flatnonzero(event):
        at_risk = (entry < time[i]) & (time >= time[i])
        share = group[at_risk].mean()
        difference += group[i] - share
        variance += share * (1 - share)
    test = logrank_test(time, event, group, entry=entry)
    if variance > 1e-9:
        assert test.chi2 == pytest.approx(difference**2 / variance)


def test_gehan_without_censoring_is_the_wilcoxon_test() -> None:
    """Then the statistic is 2 U - n m, the Mann-Whitney count of who outlives whom."""
    random = np.random.default_rng(2)
    a, b = random.exponential(1, 20), random.exponential(2, 25)
    group = np.repeat(["a", "b"], [20, 25])
    test = logrank_test(np.append(a, b), np.ones(45), group, weighting="gehan")
    row = test.groups.iloc[0]
    wins = np.sign(b[:, None] - a).sum()
    assert row["observed"] - row["expected"] == pytest.approx(wins)


def test_negative_power_is_refused() -> None:
    with pytest.raises(SettingsError, match="give 0 or more"):
        FlemingHarrington(-1)
