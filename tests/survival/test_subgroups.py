"""Hazard ratios in subgroups, and whether they differ."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_lung

from cohorts.errors import DataError
from survival import hazard_ratio
from survival.subgroups import SubgroupHazards, subgroup_hazard_ratios


@pytest.fixture(scope="module")
def lung() -> pd.DataFrame:
    data = load_lung().dropna(subset=["inst"])
    sex = data["sex"].map({1: "male", 2: "female"})
    return data.assign(sex=sex, score=data["age"] / 10)


@pytest.fixture(scope="module")
def hazards(lung: pd.DataFrame) -> SubgroupHazards:
    subgroups = lung[["sex", "ph.ecog"]]
    return subgroup_hazard_ratios(lung["time"], lung["status"], lung["score"], subgroups)


def test_levels_are_models_of_their_own(lung: pd.DataFrame, hazards: SubgroupHazards) -> None:
    levels = hazards.levels.set_index(["subgroup", "level"])
    women = lung[lung["sex"] == "female"]
    alone = hazard_ratio(women["time"], women["status"], women[["score"]])
    line = levels.loc[("sex", "female")]
    assert (line["hr"], line["n"], line["events"]) == (alone.hr, alone.n, alone.events)
    everyone = hazard_ratio(lung["time"], lung["status"], lung[["score"]])
    assert levels.loc[("all patients", ""), "hr"] == everyone.hr
    assert [level for name, level in levels.index if name == "ph.ecog"] == ["0", "1", "2", "3"]


def test_interaction_equals_a_model_with_a_product(
    lung: pd.DataFrame, hazards: SubgroupHazards
) -> None:
    """coxph(S ~ score + strata(sex)) against coxph(S ~ score + score:sex + strata(sex))."""
    data = lung[["time", "status", "score", "sex"]].assign(
        product=lung["score"] * (lung["sex"] == "male")
    )
    larger = CoxPHFitter().fit(data, "time", "status", strata=["sex"])
    smaller = CoxPHFitter().fit(data.drop(columns="product"), "time", "status", strata=["sex"])
    chi2 = 2 * (larger.log_likelihood_ - smaller.log_likelihood_)
    line = hazards.interactions.iloc[0]
    assert (line["chi2"], line["df"]) == (pytest.approx(chi2, abs=1e-6), 1)


def test_level_without_enough_events_takes_no_part(hazards: SubgroupHazards) -> None:
    last = hazards.levels.iloc[-1]
    assert (last["level"], last["n"]) == ("3", 1)
    assert np.isnan(last["hr"])
    assert last["note"].startswith("not estimable")
    line = hazards.interactions.iloc[1]
    assert (line["df"], line["missing"]) == (2, 1)
    assert line["note"] == "without 3: no maximum likelihood estimate"


def test_many_tests_are_told_and_corrected(hazards: SubgroupHazards) -> None:
    p = hazards.interactions["p"].tolist()
    assert hazards.interactions["p_holm"].tolist() == pytest.approx(
        [max(p[0], 2 * p[1]), min(2 * p[1], 1)]
    )
    assert hazards.note.startswith("2 interaction tests")


def test_strata_are_kept_apart(lung: pd.DataFrame) -> None:
    """Times of one centre in another unit change nothing within strata."""
    unit = np.where(lung["inst"] == 1, 30.0, 1.0)
    first, second = (
        subgroup_hazard_ratios(
            time, lung["status"], lung["score"], lung[["sex"]], lung["inst"].astype(int)
        )
        for time in (lung["time"], lung["time"] * unit)
    )
    pd.testing.assert_frame_equal(first.levels, second.levels)
    pd.testing.assert_frame_equal(first.interactions, second.interactions)


def test_an_effect_in_one_subgroup_is_found() -> None:
    random = np.random.default_rng(4)
    group = pd.Series(np.repeat(["amplified", "normal"], 150), name="MYCN").astype("category")
    score = pd.Series(random.normal(size=300), name="score")
    time = random.exponential(np.exp(-1.2 * score * (group == "normal"))) + 1e-6
    hazards = subgroup_hazard_ratios(time, np.ones(300), score, group.to_frame())
    assert hazards.interactions["p"].iloc[0] < 1e-6
    assert hazards.levels["level"].tolist() == ["", "amplified", "normal"]
    assert hazards.note == ""


def test_a_number_is_not_a_subgroup(lung: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r'"age" has .* values; cut it into at most 8'):
        subgroup_hazard_ratios(lung["time"], lung["status"], lung["score"], lung[["age"]])


def test_one_level_has_no_interaction(lung: pd.DataFrame) -> None:
    men = lung[lung["sex"] == "male"]
    hazards = subgroup_hazard_ratios(men["time"], men["status"], men["score"], men[["sex"]])
    assert hazards.interactions["note"].str.startswith("not estimable").all()
    assert hazards.interactions["p_holm"].isna().all()


def test_separated_level_has_firths_ratio_and_no_part_in_the_test() -> None:
    random = np.random.default_rng(8)
    level = pd.Series(np.repeat(["a", "b", "c"], [60, 60, 12]), name="level")
    score = pd.Series(random.normal(size=132), name="score")
    time = np.concatenate([random.exponential(size=120) + 0.01, np.arange(1.0, 13.0)])
    # In c, whoever has the higher score dies first.
    score[120:] = np.arange(12.0, 0.0, -1.0)
    hazards = subgroup_hazard_ratios(time, np.ones(132), score, level.to_frame())
    last, test = hazards.levels.iloc[-1], hazards.interactions.iloc[0]
    assert last["hr"] > 1
    assert "Firth" in last["note"]
    assert (test["df"], test["note"]) == (1, "without c: no maximum likelihood estimate")
