import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from cmil.referral.conformal import REFER
from cmil.referral.selective_error import SelectiveRule, selective_rule
from cohorts.errors import SettingsError


def test_error_of_those_answered_exceeds_the_rate_seldom() -> None:
    """Scores of known distribution: the error above a certainty has a closed form."""
    rng = np.random.default_rng(0)
    broken, answering = 0, 0
    for _ in range(300):
        labels = np.arange(200) % 2
        logits = rng.normal(size=200) + 2 * labels - 1
        rule = selective_rule(expit(logits), labels, 0.5, error_rate=0.12, confidence=0.8)
        if rule.certainty_above is None:
            continue
        answering += 1
        above = max(rule.certainty_above, 0)
        wrong, right = norm.sf(above + 1), norm.sf(above - 1)
        broken += wrong / (wrong + right) > 0.12
    assert answering > 200
    assert broken / 300 <= 0.2


def test_without_an_error_the_fewest_patients_are_those_of_the_binomial() -> None:
    """0.9^m <= 0.1 / 10 from m = 44 on."""

    def rule_of(patients: int) -> SelectiveRule:
        return selective_rule([0.9] * patients, [1] * patients, 0.5, error_rate=0.1)

    assert rule_of(44).certainty_above == -1
    refused = rule_of(43)
    assert refused.certainty_above is None
    assert refused.note.endswith("without a wrong answer, 44 answered would")
    assert list(refused([0.9])) == [REFER]


def test_a_rate_that_is_no_share_is_refused() -> None:
    with pytest.raises(SettingsError, match="error_rate is 0"):
        selective_rule([0.9], [1], 0.5, error_rate=0)
