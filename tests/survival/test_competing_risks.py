"""Cumulative incidence against R's cmprsk and tidycmprsk, and what it must be in any data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.datasets import load_lung

from survival import hazard_ratio, kaplan_meier
from survival.competing_risks import (
    cause_specific_hazard_ratio,
    cumulative_incidence,
    incidence_at,
    kaplan_meier_overestimate,
)

EXAMPLE = pd.read_csv(Path(__file__).parent / "data" / "cmprsk_example.csv")
"""`ss, cc, gg, strt, cv, dd$ss` of cmprsk's tests/test.R, drawn as R 1.6.2 draws from seed 2."""

# cmprsk 2.2-9 tests/test.Rout.save: cuminc(ss, cc) and cuminc(ss, cc, gg) at 1, 2, 3, 4.
R_INCIDENCE = [
    (None, 1, [0.2352861, 0.3287068, 0.4247898, 0.4247898]),
    (None, 2, [0.2567862, 0.3931580, 0.4631781, 0.4911861]),
    ("a", 1, [0.1311269, 0.2699184, 0.3420625, 0.3420625]),
    ("b", 2, [0.3117647, 0.5878431, np.nan, np.nan]),
    ("c", 1, [0.3816280, 0.4889137, 0.5723581, np.nan]),
]
R_VARIANCE = [
    (None, 1, [0.002062112, 0.002957844, 0.004170634, 0.004170634]),
    (None, 2, [0.002190305, 0.003273248, 0.004004514, 0.004369940]),
    ("a", 1, [0.003922836, 0.009113464, 0.012507959, 0.01250796]),
    ("b", 2, [0.007033454, 0.010927780, np.nan, np.nan]),
    ("c", 1, [0.009854126, 0.012351948, 0.015575726, np.nan]),
]

patients = st.lists(
    st.tuples(st.integers(1, 12).map(float), st.sampled_from([0, 1, 2, 3])),
    min_size=2,
    max_size=40,
).map(lambda rows: pd.DataFrame(rows, columns=["time", "event"]))


def members(group: str | None) -> pd.DataFrame:
    return EXAMPLE if group is None else EXAMPLE[EXAMPLE["group"] == group]


@pytest.mark.parametrize(
    ("expected", "of_variance"), list(zip(R_INCIDENCE, R_VARIANCE, strict=True))
)
def test_incidence_and_variance_equal_cmprsk(expected, of_variance) -> None:
    group, cause, incidence = expected
    data = members(group)
    read = incidence_at(cumulative_incidence(data["time"], data["event"], cause), [1, 2, 3, 4])
    assert read["incidence"].tolist() == pytest.approx(incidence, abs=5e-8, nan_ok=True)
    variance = read["std_err"] ** 2
    assert variance.tolist() == pytest.approx(of_variance[2], abs=5e-9, nan_ok=True)


def test_tied_events_by_hand() -> None:
    """Ties at 1 and 2: F = 2/6, then + 4/6 * 1/3; Aalen's terms with (n - d) / (n - 1)."""
    curve = cumulative_incidence([1, 1, 1, 2, 2, 3], [1, 1, 2, 1, 2, 0])
    assert curve["incidence"].tolist() == pytest.approx([0, 2 / 6, 2 / 6 + 3 / 6 / 3, 0.5])
    assert curve["n_risk"].tolist() == [6, 6, 3, 1]
    # At time 1: S = 3/6, F(2) - F(1) = 1/6, D = 1/3; at time 2: D = 0.
    first = (4 / 5 * 2 * (2 / 3) ** 2 + 1 * (1 / 3) ** 2) / 36
    second = (1 / 2) ** 2 / 9
    assert curve["std_err"].iloc[2] ** 2 == pytest.approx(first + second)


def test_limits_are_those_of_log_log() -> None:
    """F = 0.2353, SE = 0.0454: 0.2353^exp(+-1.96 * 0.0454 / (0.2353 * log 0.2353))."""
    read = incidence_at(cumulative_incidence(EXAMPLE["time"], EXAMPLE["event"]), [1.0]).iloc[0]
    assert (read["ci_low"], read["ci_high"]) == pytest.approx((0.152700, 0.328216), abs=2e-6)


@settings(deadline=None, max_examples=40)
@given(patients)
def test_incidences_and_survival_sum_to_one(data: pd.DataFrame) -> None:
    curves = [cumulative_incidence(data["time"], data["event"], cause) for cause in (1, 2, 3)]
    survival = kaplan_meier(data["time"], data["event"] > 0)["survival"]
    total = sum(curve["incidence"] for curve in curves) + survival
    np.testing.assert_allclose(total, 1)
    for curve in curves:
        known = curve.dropna()
        assert (known["ci_low"] <= known["incidence"] + 1e-12).all()
        assert (known["incidence"] <= known["ci_high"] + 1e-12).all()
        assert (curve["n_risk"].diff().iloc[2:] < 0).all()


def test_without_competition_it_is_one_minus_kaplan_meier() -> None:
    """Aalen's variance is then S^2 sum 1/(n - 1)^2, near Greenwood's S^2 sum 1/(n (n - 1))."""
    data = load_lung().drop_duplicates("time")
    curve = cumulative_incidence(data["time"], data["status"])
    plain = kaplan_meier(data["time"], data["status"])
    np.testing.assert_allclose(curve["incidence"], 1 - plain["survival"], atol=1e-12)
    steps = curve.iloc[1:-1]
    error = (1 - steps["incidence"]) * np.sqrt(
        (steps["n_event"] / (steps["n_risk"] - 1) ** 2).cumsum()
    )
    np.testing.assert_allclose(steps["std_err"], error, atol=1e-12)


def test_one_minus_kaplan_meier_is_told_to_overestimate() -> None:
    """Four patients: death at 1 censored gives 1/3 at 2, where one of four had the event."""
    compared = kaplan_meier_overestimate([1, 2, 3, 4], [2, 1, 0, 0], 2)
    assert compared.incidence == pytest.approx(1 / 4)
    assert compared.one_minus_km == pytest.approx(1 / 3)
    assert "33.3% at 2" in compared.note
    assert "25.0%" in compared.note
    assert not kaplan_meier_overestimate([1, 2, 3, 4], [0, 1, 0, 0], 2).note


@settings(deadline=None, max_examples=40)
@given(patients, st.integers(0, 13))
def test_one_minus_kaplan_meier_never_lies_below(data: pd.DataFrame, at: int) -> None:
    compared = kaplan_meier_overestimate(data["time"], data["event"], at)
    assert compared.one_minus_km >= compared.incidence - 1e-12


def test_cause_specific_ratio_censors_other_causes() -> None:
    covariates = EXAMPLE[["x2", "x3"]].astype(float)
    ours = cause_specific_hazard_ratio(EXAMPLE["time"], EXAMPLE["event"], covariates, cause=2)
    assert ours == hazard_ratio(EXAMPLE["time"], (EXAMPLE["event"] == 2).astype(int), covariates)
    assert ours.events == (EXAMPLE["event"] == 2).sum()


def test_nobody_with_the_event() -> None:
    curve = cumulative_incidence([1, 2, 3], [0, 2, 0])
    assert curve["incidence"].eq(0).all()
    assert curve["std_err"].eq(0).all()
    assert curve[["ci_low", "ci_high"]].isna().all(axis=None)
