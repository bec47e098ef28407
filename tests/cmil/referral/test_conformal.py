from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmil.referral.conformal import (
    METASTASIS,
    NONE,
    REFER,
    ReferralRule,
    conformal_rule,
    fewest_patients,
    fit_referral,
)
from cohorts.errors import DataError, SettingsError

# Few distinct values, so that ties are common.
scores = st.lists(st.integers(0, 12).map(lambda value: value / 12), min_size=2, max_size=25)
rates = st.sampled_from([0.05, 0.1, 0.2, 1 / 3])
thresholds = st.sampled_from([0.0, 0.25, 0.5, 1.0])


def rule_of(
    cases: list[float], controls: list[float], threshold: float, rate: float
) -> ReferralRule:
    labels = [1] * len(cases) + [0] * len(controls)
    return conformal_rule(
        cases + controls, labels, threshold, miss_rate=rate, false_alarm_rate=rate
    )


@given(scores, scores, thresholds, rates)
def test_of_exchangeable_patients_no_more_are_wrong_than_the_rate_allows(
    cases: list[float], controls: list[float], threshold: float, rate: float
) -> None:
    """The guarantee itself: leaving out each patient of a class in turn is exchangeability."""
    missed = sum(
        rule_of(cases[:i] + cases[i + 1 :], controls, threshold, rate)([case])[0] == NONE
        for i, case in enumerate(cases)
    )
    alarmed = sum(
        rule_of(cases, controls[:i] + controls[i + 1 :], threshold, rate)([control])[0]
        == METASTASIS
        for i, control in enumerate(controls)
    )
    assert missed <= rate * len(cases) + 1e-9
    assert alarmed <= rate * len(controls) + 1e-9


@given(scores, scores, thresholds, rates)
def test_no_answer_contradicts_the_locked_threshold(
    cases: list[float], controls: list[float], threshold: float, rate: float
) -> None:
    rule = rule_of(cases, controls, threshold, rate)
    placed = np.linspace(0, 1, 49)
    answers = rule(placed)
    assert not ((answers == NONE) & (placed >= threshold)).any()
    assert not ((answers == METASTASIS) & (placed < threshold)).any()


def test_answers_as_many_as_the_rate_allows() -> None:
    """39 of a class at 5% allow (k + 1) / 40 <= 0.05, so k = 1 wrong answer; by hand."""
    cases = [i / 100 for i in range(30, 69)]
    controls = [i / 100 for i in range(10, 49)]
    rule = rule_of(cases, controls, 0.4, 0.05)
    assert rule.none_below == 0.31  # only the case at 0.30 is missed
    assert rule.metastasis_from == np.nextafter(0.47, 1)  # only the control at 0.48 is alarmed
    assert list(rule([0.30, 0.31, 0.47, 0.48])) == [NONE, REFER, REFER, METASTASIS]


def test_too_few_patients_refer_everyone_and_say_how_many_are_needed() -> None:
    rule = rule_of([0.9] * 18, [0.1] * 18, 0.5, 0.05)
    assert set(rule([0.0, 0.5, 1.0])) == {REFER}
    assert rule.note == (
        '"none" is never answered: 18 development patients with metastasis, miss_rate 0.05 needs '
        '19; "metastasis" is never answered: 18 development patients without metastasis, '
        "false_alarm_rate 0.05 needs 19; everyone is referred"
    )
    assert list(rule_of([0.9] * 19, [0.1] * 19, 0.5, 0.05)([0.05, 0.95])) == [NONE, METASTASIS]
    assert [fewest_patients(rate) for rate in (0.05, 0.1, 1 / 3)] == [19, 9, 2]


def test_is_whole_after_json_and_names_what_it_controls() -> None:
    rule = rule_of([0.9] * 18, [0.1] * 19, 0.5, 0.05)
    assert ReferralRule.model_validate_json(rule.model_dump_json()) == rule
    assert "per class" in rule.guarantee
    assert "exchangeable" in rule.guarantee


@pytest.mark.parametrize("change", [{"split": "external"}, {"score_kind": "train"}])
def test_only_out_of_fold_development_scores_are_fitted_on(change: dict[str, str]) -> None:
    row: dict[str, Any] = {"split": "development", "score_kind": "oof", "score": 0.5, "label": 1}
    table = pd.DataFrame([{**row, "patient_id": "A"}, {**row, "patient_id": "B", **change}])
    with pytest.raises(DataError, match='patient "B" has a'):
        fit_referral(table, 0.5, miss_rate=0.05, false_alarm_rate=0.05)


def test_refuses_what_cannot_be_fitted() -> None:
    with pytest.raises(DataError, match="score is missing"):
        rule_of([float("nan")], [0.1], 0.5, 0.1)
    with pytest.raises(SettingsError, match="miss_rate is 1"):
        rule_of([0.5], [0.1], 0.5, 1)
    with pytest.raises(DataError, match="neither 0 nor 1"):
        conformal_rule([0.5], [2], 0.5, miss_rate=0.1, false_alarm_rate=0.1)
