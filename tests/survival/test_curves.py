"""Kaplan-Meier, medians and numbers at risk against what R's survival package prints."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from lifelines.datasets import load_lung

from cohorts.errors import DataError
from survival import (
    curves_by_group,
    kaplan_meier,
    median_follow_up,
    median_time,
    numbers_at_risk,
    quantile_times,
    survival_at,
)

# therneau/survival tests/cancer.Rout.save (R 2.11.1): summary(survfit(Surv(time, status) ~ ph.ecog,
# lung), times = ...): time, n.risk, survival, std.err, lower and upper 95 % limit.
R_LUNG = {
    0: [
        (30, 60, 0.952, 0.0268, 0.9012, 1.000),
        (90, 56, 0.889, 0.0396, 0.8146, 0.970),
        (180, 52, 0.841, 0.0461, 0.7553, 0.936),
        (365, 22, 0.535, 0.0728, 0.4100, 0.699),
        (730, 5, 0.193, 0.0707, 0.0943, 0.396),
    ],
    1: [
        (30, 111, 0.982, 0.0124, 0.9583, 1.000),
        (180, 82, 0.751, 0.0407, 0.6756, 0.836),
        (365, 34, 0.431, 0.0509, 0.3417, 0.543),
        (730, 7, 0.114, 0.0388, 0.0582, 0.222),
    ],
    2: [
        (30, 46, 0.9000, 0.0424, 0.821, 0.987),
        (365, 9, 0.2147, 0.0614, 0.123, 0.376),
        (730, 1, 0.0371, 0.0345, 0.006, 0.229),
    ],
}

follow_up = st.lists(
    st.tuples(st.integers(1, 15).map(float), st.booleans()), min_size=1, max_size=40
).map(lambda pairs: (np.array([t for t, _ in pairs]), np.array([float(e) for _, e in pairs])))


def at(curve: pd.DataFrame, time: float) -> pd.Series:
    """The last row at or before a time, which is what R's summary prints for it."""
    return curve[curve["time"] <= time].iloc[-1]


@pytest.mark.parametrize(
    ("ecog", "row"), [(ecog, row) for ecog, rows in R_LUNG.items() for row in rows]
)
def test_curve_and_limits_equal_r(ecog: int, row: tuple[float, ...]) -> None:
    lung = load_lung().query("`ph.ecog` == @ecog")
    time, n_risk, *expected = row
    estimate = at(kaplan_meier(lung["time"], lung["status"]), time)
    assert numbers_at_risk(lung["time"], lung["ph.ecog"], [time])["n_risk"].item() == n_risk
    # R prints three significant digits, four where the column's smallest value has them.
    assert estimate[["survival", "std_err", "ci_low", "ci_high"]].tolist() == pytest.approx(
        expected, rel=0, abs=5.1e-4
    )


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        # cancer.Rout.save, print(survfit(Surv(time, status) ~ ph.ecog, lung)[2:3])
        ("`ph.ecog` == 1", (306, 268, 429)),
        ("`ph.ecog` == 2", (199, 156, 288)),
        # R's documented print(survfit(Surv(time, status) ~ 1, lung)): 228 165 310 285 363
        ("time > 0", (310, 285, 363)),
    ],
)
def test_median_and_limits_equal_r(selection: str, expected: tuple[float, ...]) -> None:
    lung = load_lung().query(selection)
    assert median_time(kaplan_meier(lung["time"], lung["status"])) == expected


@pytest.mark.parametrize(
    ("time", "event", "median", "ci_low"),
    [
        # therneau/survival tests/quantile.Rout.save (R 4.3.2), test1 with x = 0 and x = 1.
        ([9, 6, 8, 10], [1, 1, 0, 0], 9, 6),
        ([1, 1, 6], [1, 0, 1], 6, 1),
    ],
)
def test_median_of_few_patients_equals_r(
    time: list[float], event: list[int], median: float, ci_low: float
) -> None:
    result = median_time(kaplan_meier(time, event))
    assert result[:2] == (median, ci_low)
    assert np.isnan(result.ci_high)


def test_median_of_a_curve_that_rests_at_one_half_is_the_middle_of_its_rest() -> None:
    assert median_time(kaplan_meier([1, 2, 3, 4], [1, 1, 1, 1])).median == 2.5
    # Nothing lies below one half, hence no interval to halve.
    assert median_time(kaplan_meier([1, 2, 3, 4], [1, 1, 0, 0])).median == 2


def test_median_not_reached_is_nan() -> None:
    """Its lower limit may be reached all the same, as in R's "NA 1 NA"."""
    result = median_time(kaplan_meier([1, 2, 3], [1, 0, 0]))
    assert result.ci_low == 1
    assert np.isnan([result.median, result.ci_high]).all()


@pytest.mark.shared
def test_aml_medians_equal_r(reference) -> None:
    """R's documented print(survfit(Surv(time, status) ~ x, aml)): 31 (18, NA) and 23 (8, NA)."""
    aml = reference("Rsurvival_aml.csv")
    for group, expected in {"Maintained": (31, 18), "Nonmaintained": (23, 8)}.items():
        patients = aml[aml["x"] == group]
        assert median_time(kaplan_meier(patients["time"], patients["status"]))[:2] == expected


@pytest.mark.shared
def test_numbers_at_risk_of_rs_own_lung_data(reference) -> None:
    """reference_values.json, nrisk_lung_ecog0."""
    lung = reference("Rsurvival_lung.csv").query("`ph.ecog` == 0")
    table = numbers_at_risk(lung["time"], lung["ph.ecog"], [30, 90, 180, 365, 730])
    assert table["n_risk"].tolist() == [60, 56, 52, 22, 5]


def test_censored_patient_is_at_risk_of_an_event_at_the_same_time() -> None:
    curve = kaplan_meier([2, 2, 3], [1, 0, 0])
    assert at(curve, 2)["survival"] == pytest.approx(2 / 3)
    assert at(curve, 2)[["n_risk", "n_event", "n_censored"]].tolist() == [3, 1, 1]


def test_limits_end_where_the_curve_reaches_zero() -> None:
    last = kaplan_meier([1, 2], [1, 1]).iloc[-1]
    assert last["survival"] == 0
    assert last[["std_err", "ci_low", "ci_high"]].isna().all()


def test_follow_up_is_the_curve_of_censoring() -> None:
    """By hand: one of 4 at risk is censored at 4, one of 2 at 8: 3/4, then 3/8, hence 8."""
    assert median_follow_up([4, 6, 8, 9], [0, 1, 0, 1]).median == 8
    assert np.isnan(median_follow_up([4, 6], [1, 1]).median)


@settings(deadline=None)
@given(follow_up)
def test_curve_falls_from_one_and_stays_within_its_limits(data) -> None:
    curve = kaplan_meier(*data)
    survival = curve["survival"].to_numpy()
    assert survival[0] == 1
    assert survival[-1] >= 0
    assert (np.diff(survival) <= 0).all()
    limited = curve.dropna()
    assert (limited["ci_low"] <= limited["survival"]).all()
    assert (limited["survival"] <= limited["ci_high"]).all()
    assert limited["ci_high"].max() <= 1


@settings(deadline=None, max_examples=40)
@given(follow_up)
def test_curve_equals_lifelines(data) -> None:
    fitted = KaplanMeierFitter().fit(*data).survival_function_["KM_estimate"]
    curve = kaplan_meier(*data).set_index("time")["survival"]
    assert curve.to_numpy() == pytest.approx(fitted.loc[curve.index].to_numpy(), abs=1e-12)


@settings(deadline=None)
@given(follow_up)
def test_every_patient_leaves_once(data) -> None:
    time, event = data
    curve = kaplan_meier(time, event)
    assert curve["n_event"].sum() == event.sum()
    assert curve["n_censored"].sum() == (1 - event).sum()
    assert curve["n_risk"].tolist() == [(time >= t).sum() for t in curve["time"]]


@settings(deadline=None)
@given(follow_up, st.lists(st.integers(0, 20), min_size=1))
def test_numbers_at_risk_add_up_over_groups(data, ticks: list[int]) -> None:
    time, event = data
    apart = numbers_at_risk(time, event, ticks).groupby("time")["n_risk"].sum()
    together = numbers_at_risk(time, np.zeros(len(time)), ticks).groupby("time")["n_risk"].sum()
    assert apart.equals(together)


def test_quantiles_equal_r() -> None:
    """therneau/survival tests/quantile.Rout.save (R 4.3.2), test1 without x: fit2."""
    curve = kaplan_meier([9, 1, 1, 6, 6, 8, 10], [1, 1, 0, 1, 1, 0, 0])
    survivals = np.array([13 / 14, 6 / 7, 2 / 3, 0.5, 9 / 35, 0.1])
    table = quantile_times(curve, 1 - survivals)
    np.testing.assert_array_equal(table["time"], [1, 3.5, 6, 9, 9.5, np.nan])
    np.testing.assert_array_equal(table["ci_low"], [1, 1, 1, 6, 6, 9])
    assert table["ci_high"].isna().all()


def test_quantiles_have_to_be_shares() -> None:
    with pytest.raises(DataError, match="quantiles: give shares"):
        quantile_times(kaplan_meier([1, 2], [1, 1]), [50])


def test_survival_at_stated_times_equals_r_and_says_where_it_ends() -> None:
    """R's documented summary(survfit(Surv(time, status) ~ 1, lung), times = 365)."""
    table = survival_at(kaplan_meier(load_lung()["time"], load_lung()["status"]), [0, 365, 1500])
    assert table.iloc[0, 1:5].tolist() == [1, 0, 1, 1]
    assert table.iloc[1, 1:5].tolist() == pytest.approx([0.409, 0.0358, 0.345, 0.486], abs=5e-4)
    assert table.iloc[2, 1:5].isna().all()
    assert table["note"].tolist() == ["", "", "not estimable: observation is from 0 to 1022"]
    dead = survival_at(kaplan_meier([1, 2], [1, 1]), [5])
    assert (dead.loc[0, "survival"], dead.loc[0, "note"]) == (0, "")


@settings(deadline=None, max_examples=40)
@given(follow_up)
def test_log_log_limits_equal_lifelines(data) -> None:
    fitted = KaplanMeierFitter().fit(*data).confidence_interval_
    curve = kaplan_meier(*data, interval="log-log").iloc[1:]
    inside = curve[(curve["survival"] > 0) & (curve["survival"] < 1)]
    assert curve.drop(inside.index)[["ci_low", "ci_high"]].isna().all(axis=None)
    expected = fitted.loc[inside["time"]].to_numpy()
    np.testing.assert_allclose(inside[["ci_low", "ci_high"]], expected, atol=1e-10)


def test_plain_limits_are_normal_and_cut() -> None:
    """By hand: S = 3/4 and 1/2 of four patients; Greenwood without censoring is S (1 - S) / 4."""
    curve = kaplan_meier([1, 2, 3, 4], [1, 1, 0, 0], interval="plain")
    half = 1.959964 * np.sqrt(np.array([3 / 16, 1 / 4]) / 4)
    np.testing.assert_allclose(curve["ci_low"].iloc[1:3], [0.75, 0.5] - half, rtol=1e-6)
    np.testing.assert_allclose(curve["ci_high"].iloc[1:3], [1, 0.5 + half[1]], rtol=1e-6)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(1, 9), st.booleans()), min_size=1, max_size=30
    )
)
def test_delayed_entry_is_the_product_over_its_risk_sets(rows) -> None:
    entry = np.array([start for start, _, _ in rows], dtype=float)
    time = entry + [length for _, length, _ in rows]
    event = np.array([died for _, _, died in rows])
    curve = kaplan_meier(time, event, entry=entry)
    assert curve["time"].iloc[0] == entry.min()
    survival = 1.0
    for line in curve.iloc[1:].itertuples():
        n = ((entry < line.time) & (time >= line.time)).sum()
        survival *= 1 - event[time == line.time].sum() / n
        assert line.n_risk == n
        assert line.survival == pytest.approx(survival, abs=1e-12)


@settings(deadline=None)
@given(follow_up, st.randoms(use_true_random=False), st.floats(0.01, 100))
def test_order_of_patients_and_unit_of_time_do_not_matter(data, random, unit: float) -> None:
    time, event = data
    order = list(range(len(time)))
    random.shuffle(order)
    first, second = kaplan_meier(time, event), kaplan_meier(unit * time[order], event[order])
    np.testing.assert_allclose(second["time"], unit * first["time"])
    pd.testing.assert_frame_equal(first.drop(columns="time"), second.drop(columns="time"))


def test_groups_stack_their_curves_in_the_order_of_their_categories() -> None:
    group = pd.Series(pd.Categorical(["b", "a", "b"], categories=["b", "a"]))
    curves = curves_by_group([3, 1, 2], [1, 1, 0], group)
    assert curves["group"].tolist() == ["b", "b", "b", "a", "a"]
    alone = kaplan_meier([3, 2], [1, 0])
    pd.testing.assert_frame_equal(curves.iloc[:3].drop(columns="group"), alone)


def test_cumulative_events_and_censorings_include_the_time_itself() -> None:
    """R: cumsum of n.event and n.censor of summary(survfit(...), times)."""
    table = numbers_at_risk([1, 2, 2, 5], ["a"] * 4, [0, 2, 9], event=[1, 1, 0, 0])
    assert table["n_risk"].tolist() == [4, 3, 0]
    assert table["n_event"].tolist() == [0, 2, 2]
    assert table["n_censored"].tolist() == [0, 1, 2]
