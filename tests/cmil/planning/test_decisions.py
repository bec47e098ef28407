import numpy as np
import pytest

from cmil.planning.decisions import cases_for_decision_width, patients_for_paired_decisions
from cohorts.errors import SettingsError


def test_classes_are_reached_at_the_prevalence() -> None:
    """By hand, Buderer 1996: 1.96^2 * 0.9 * 0.1 / 0.1^2 = 34.57 cases, at 20% 172.9 patients.

    Controls would be 1.96^2 * 0.85 * 0.15 / 0.1^2 = 48.98, at 80% 61.2 patients.
    """
    found = cases_for_decision_width(0.9, 0.85, 0.1, 0.2)
    assert found.exact_cases == pytest.approx(34.5731, abs=1e-4)
    assert (found.cases, found.controls) == (35, 139)
    assert "Buderer 1996" in found.text
    rare_controls = cases_for_decision_width(0.9, 0.85, 0.1, 0.9)
    assert rare_controls.exact_controls == pytest.approx(48.9786, abs=1e-4)


def test_planned_power_is_reached_by_the_test() -> None:
    """McNemar's asymptotic test of drawn patients sees the difference as often as planned."""
    rng = np.random.default_rng(0)
    pairs = patients_for_paired_decisions("sensitivity", 0.1, 0.3, 0.8, 0.5).cases
    drawn = rng.multinomial(pairs, [0.2, 0.1, 0.7], size=20000)
    one, other = drawn[:, 0], drawn[:, 1]
    found = ((one - other) ** 2 / (one + other) > 3.841459).mean()
    assert found == pytest.approx(0.8, abs=0.015)


def test_patients_of_a_class_are_a_share_of_all() -> None:
    found = patients_for_paired_decisions("sensitivity", 0.1, 0.3, 0.8, 0.25)
    assert (found.cases, found.controls) == (234, 702)
    found = patients_for_paired_decisions("specificity", 0.1, 0.3, 0.8, 0.25)
    assert (found.cases, found.controls) == (78, 234)


def test_a_difference_larger_than_its_discordant_share_is_refused() -> None:
    with pytest.raises(SettingsError, match="larger than the share of discordant"):
        patients_for_paired_decisions("sensitivity", 0.4, 0.3, 0.8, 0.5)
    with pytest.raises(SettingsError, match="prevalence is 1"):
        cases_for_decision_width(0.9, 0.9, 0.1, 1)
