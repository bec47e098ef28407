"""Restricted mean survival time against survRM2."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.errors import SettingsError
from survival import kaplan_meier, restricted_mean
from survival.rmst import restricted_area


@pytest.fixture
def pbc(reference):
    """The sample data of survRM2: arm 1 is D-penicillamine, time in years."""
    rows = reference("Rsurvival_pbc.csv").iloc[:312]
    return rows["time"] / 365.25, rows["status"] == 2, (rows["trt"] == 1).astype(int)


@pytest.mark.shared
def test_pbc_equals_survrm2(pbc) -> None:
    """reference_values.json, rmst_pbc; survRM2's vignette prints three decimals."""
    result = restricted_mean(*pbc, tau=10)
    means = result.groups.set_index("group")[["rmst", "std_err"]]
    assert means.loc[1].tolist() == pytest.approx([7.146, 0.283], abs=6e-4)
    assert means.loc[0].tolist() == pytest.approx([7.283, 0.295], abs=6e-4)
    expected = {
        "RMST difference": [-0.137, -0.939, 0.665, 0.738],
        "RMST ratio": [0.981, 0.878, 1.096, 0.738],
        "RMTL ratio": [1.050, 0.787, 1.402, 0.738],
    }
    for row in result.contrasts.itertuples():
        assert (row.group, row.reference) == (1, 0)
        found = [row.estimate, row.ci_low, row.ci_high, row.p]
        assert found == pytest.approx(expected[row.measure], abs=6e-4)
    # vignette: RMTL (arm=1) 2.854, 2.299 to 3.408
    lost = result.groups.set_index("group").loc[1, ["rmtl", "rmtl_ci_low", "rmtl_ci_high"]]
    assert lost.tolist() == pytest.approx([2.854, 2.299, 3.408], abs=6e-4)
    assert result.tau_source == "pre-specified"


@pytest.mark.shared
def test_without_tau_the_smaller_of_the_largest_times_is_taken_and_said(pbc) -> None:
    result = restricted_mean(*pbc)
    time, _, arm = pbc
    assert result.tau == min(time[arm == 0].max(), time[arm == 1].max())
    assert "not pre-specified" in result.tau_source


def test_area_is_the_mean_of_the_cut_times_where_nobody_is_censored() -> None:
    """Then the variance is that of the mean, with n: Greenwood's is the binomial one."""
    time = np.array([1.0, 2, 3, 5, 8])
    mean, error = restricted_area(kaplan_meier(time, np.ones(5)), 4)
    cut = np.minimum(time, 4)
    assert mean == pytest.approx(cut.mean())
    assert error == pytest.approx(cut.std() / np.sqrt(5))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_unit_of_time_and_order_of_patients_do_not_matter(seed: int, unit: float) -> None:
    random = np.random.default_rng(seed)
    time, group = random.integers(1, 20, 30).astype(float), np.repeat(["a", "b", "c"], 10)
    event = np.append(random.integers(0, 2, 29), 1)
    first = restricted_mean(time, event, group, reference="b")
    order = random.permutation(30)
    second = restricted_mean(unit * time[order], event[order], group[order], reference="b")
    np.testing.assert_allclose(second.groups["rmst"], unit * first.groups["rmst"])
    ratios = first.contrasts["measure"] != "RMST difference"
    np.testing.assert_allclose(
        second.contrasts.loc[ratios, ["estimate", "ci_low", "ci_high", "p"]],
        first.contrasts.loc[ratios, ["estimate", "ci_low", "ci_high", "p"]],
        rtol=1e-6,
    )


def test_group_not_observed_up_to_tau_is_noted_unless_its_curve_has_reached_zero() -> None:
    time, event, group = [1, 2, 3, 9], [1, 1, 1, 0], ["a", "a", "b", "b"]
    short = restricted_mean(time, event, group, tau=10)
    assert short.groups["rmst"].tolist() == pytest.approx([1.5, np.nan], nan_ok=True)
    assert short.contrasts["estimate"].isna().all()
    reason = "not estimable: b is observed up to 9 only, before tau"
    assert short.contrasts["note"].unique().tolist() == [reason]
    assert restricted_mean(time, event, group, tau=8).groups["rmst"].tolist() == [1.5, 5.5]
    with pytest.raises(SettingsError, match="tau: 0 "):
        restricted_mean(time, event, group, tau=0)
    with pytest.raises(SettingsError, match="reference: no group 'c'; name one of a, b"):
        restricted_mean(time, event, group, reference="c")


def test_group_without_event_has_no_ratio_of_time_lost() -> None:
    result = restricted_mean([5, 6, 1, 2, 7], [0, 0, 1, 1, 0], ["a", "a", "b", "b", "b"])
    contrasts = result.contrasts.set_index("measure")
    assert np.isnan(contrasts.loc["RMTL ratio", "estimate"])
    assert contrasts.loc["RMTL ratio", "note"] == "not estimable: RMTL of a group is 0"
    assert "standard error of a is 0" in contrasts.loc["RMST difference", "note"]


def test_interval_of_the_difference_covers_as_it_says() -> None:
    """300 studies of two exponential groups with censoring; 95 % +- 3 Monte Carlo errors."""
    random = np.random.default_rng(11)
    truth = 20 * (1 - np.exp(-1)) - 10 * (1 - np.exp(-2))
    group, covered = np.repeat([0, 1], 80), 0
    for _ in range(300):
        life = random.exponential(np.where(group == 1, 20, 10))
        left = random.uniform(25, 60, 160)
        result = restricted_mean(np.minimum(life, left), life <= left, group, tau=20)
        difference = result.contrasts.iloc[0]
        covered += difference["ci_low"] <= truth <= difference["ci_high"]
    assert 0.91 <= covered / 300 <= 0.985
