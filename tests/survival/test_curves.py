"""Kaplan-Meier, medians and numbers at risk against what R's survival package prints."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from lifelines.datasets import load_lung

from survival import kaplan_meier, median_follow_up, median_time, numbers_at_risk

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


@settings(deadline=None)
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
