"""Hazard ratios per centre, pooled, and without each centre."""

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_lung

from cohorts.random_effects import pool
from survival import hazard_ratio
from survival.centres import CentreHazards, centre_hazard_ratios


@pytest.fixture(scope="module")
def lung() -> pd.DataFrame:
    return load_lung().dropna(subset=["inst"]).astype({"inst": int})


@pytest.fixture(scope="module")
def hazards(lung: pd.DataFrame) -> CentreHazards:
    return centre_hazard_ratios(lung["time"], lung["status"], lung[["age"]], lung["inst"])


def test_each_centre_has_its_own_ratio(lung: pd.DataFrame, hazards: CentreHazards) -> None:
    assert hazards.centres["n"].sum() == len(lung)
    first = hazards.centres.set_index("centre").loc["1"]
    members = lung[lung["inst"] == 1]
    alone = hazard_ratio(members["time"], members["status"], members[["age"]])
    assert (first["hr"], first["ci_low"], first["p"]) == (alone.hr, alone.ci_low, alone.p)


def test_centres_with_too_few_events_are_shown_and_not_pooled(hazards: CentreHazards) -> None:
    few = hazards.centres[hazards.centres["hr"].isna()]
    assert len(few) > 0
    assert few["weight"].eq(0).all()
    assert few["note"].str.startswith("not estimable").all()
    assert hazards.centres["weight"].sum() == pytest.approx(100)
    assert hazards.pooled["centres"].iloc[0] == hazards.centres["hr"].notna().sum()


def test_pooled_ratio_is_of_logarithms(hazards: CentreHazards) -> None:
    """By hand with tau2 = 0: weights 1 / SE^2; every interval holds the ratio."""
    known = hazards.centres.dropna(subset=["hr"])
    error = (np.log(known["ci_high"]) - np.log(known["ci_low"])) / (2 * 1.959963984540054)
    pooled = hazards.pooled.iloc[0]
    assert pooled["tau2"] == 0
    weight = 1 / error**2
    assert np.log(pooled["hr"]) == pytest.approx(
        (weight * np.log(known["hr"])).sum() / weight.sum()
    )
    assert pooled["prediction_low"] < pooled["ci_low"] < pooled["hr"] < pooled["ci_high"]
    assert pooled["adhoc_ci_low"] <= pooled["ci_low"]
    again = pool(np.log(known["hr"]), error**2)
    assert hazards.log_pooled.estimate == pytest.approx(again.estimate)
    assert hazards.log_pooled.se == pytest.approx(again.se)


def test_p_and_interval_agree(hazards: CentreHazards) -> None:
    """R: 2 * pt(-|b / se|, k - 1); 1 lies outside the interval where p < 0.05."""
    pooled = hazards.pooled.iloc[0]
    assert (pooled["p"] < 0.05) == (pooled["ci_low"] > 1 or pooled["ci_high"] < 1)


def test_leaving_a_centre_out_is_the_study_without_it(
    lung: pd.DataFrame, hazards: CentreHazards
) -> None:
    rest = lung[lung["inst"] != 12]
    without = centre_hazard_ratios(rest["time"], rest["status"], rest[["age"]], rest["inst"])
    line = hazards.left_out.set_index("left_out").loc["12"]
    expected = without.pooled.iloc[0]
    for name in ("hr", "ci_low", "ci_high", "prediction_high", "tau2", "centres"):
        assert line[name] == pytest.approx(expected[name])
    assert len(hazards.left_out) == hazards.centres["hr"].notna().sum()


def test_centres_that_differ_widen_the_prediction(lung: pd.DataFrame) -> None:
    random = np.random.default_rng(2)
    centre = np.repeat(list("abcdef"), 80)
    effect = np.repeat([0.0, 0.2, 0.5, 1.0, 1.5, 2.0], 80)
    score = pd.DataFrame({"score": random.normal(size=480)})
    time = random.exponential(np.exp(-effect * score["score"])) + 1e-6
    hazards = centre_hazard_ratios(time, np.ones(480), score, centre)
    pooled = hazards.pooled.iloc[0]
    # The variance of the six true effects is 0.60.
    assert 0.3 < pooled["tau2"] < 1.0
    assert pooled["i2"] > 80
    assert pooled["prediction_low"] < 0.5 < pooled["ci_low"]


@pytest.mark.parametrize("centres", [["a"] * 40, ["a"] * 40 + ["b"] * 3])
def test_one_estimable_centre_is_not_pooled(lung: pd.DataFrame, centres: list[str]) -> None:
    data = lung.iloc[: len(centres)]
    hazards = centre_hazard_ratios(data["time"], data["status"], data[["age"]], centres)
    pooled = hazards.pooled.iloc[0]
    assert pooled["hr"] == pytest.approx(hazards.centres["hr"].iloc[0])
    assert np.isnan(pooled["prediction_low"])
    assert "one centre" in pooled["note"]


def test_no_centre_with_an_estimate(lung: pd.DataFrame) -> None:
    data = lung.iloc[:6]
    hazards = centre_hazard_ratios(data["time"], data["status"], data[["age"]], list("aabbcc"))
    assert hazards.pooled["hr"].isna().all()
    assert hazards.left_out.empty
