from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmil.planning.auc import (
    cases_for_auc,
    cases_for_auc_difference,
    cases_for_auc_difference_from_pilot,
    cases_for_auc_width,
    cases_for_auc_width_from_pilot,
    power_of_auc,
    se_hanley_mcneil,
    variance_obuchowski,
)
from cmil.validation.discrimination import auc_delong
from cohorts.errors import SettingsError


def test_power_equals_proc() -> None:
    """pROC's tests at ee2877e: power.roc.test(ncases = 41, ncontrols = 72, auc = 0.73)."""
    assert power_of_auc(0.73, 41, 72).power == pytest.approx(0.9897453, abs=1e-6)


def test_patients_against_chance_equal_proc() -> None:
    """There: auc of s100b, power 0.95, kappa 1.7; power 0.9, kappa 1."""
    found = cases_for_auc(0.731368563685637, 0.95, 1.7)
    assert (found.exact_cases, found.exact_controls) == pytest.approx((29.29764, 49.806), abs=5e-5)
    assert (found.cases, found.controls, found.patients) == (30, 50, 80)
    assert cases_for_auc(0.731368563685637, 0.9, 1).exact_cases == pytest.approx(29.5697422)


@pytest.mark.parametrize(
    ("auc", "ratio", "controls", "cases"),
    [
        (0.6, 0.25, 84, 334),
        (0.6, 1, 135, 135),
        (0.7, 2, 50, 25),
        (0.7, 4, 84, 21),
        (0.8, 1, 14, 14),
    ],
)
def test_equals_table_4_of_obuchowski(auc: float, ratio: float, controls: int, cases: int) -> None:
    """Obuchowski et al. 2004, Table 4: power 0.9, one-sided 5%, that is two-sided 10%."""
    found = cases_for_auc(auc, 0.9, ratio, level=0.1)
    assert (found.cases, found.controls) == (cases, controls)


@pytest.mark.shared
def test_two_models_equal_proc(reference: Callable[[str], Path]) -> None:
    """There: power.roc.test(ndka, wfns, power = 0.9) and (s100b, ndka)."""
    aneurysms = pd.read_csv(reference("pROC_aSAH.csv"))
    poor = (aneurysms["outcome"] == "Poor").astype(int)
    for one, other, cases, controls in (
        ("ndka", "wfns", 64.77777, 113.7561),
        ("s100b", "ndka", 213.117677, 374.255432),
    ):
        found = cases_for_auc_difference_from_pilot(aneurysms[one], aneurysms[other], poor, 0.9)
        assert found.exact_cases == pytest.approx(cases, rel=1e-6)
        assert found.exact_controls == pytest.approx(controls, rel=1e-6)


def test_planned_width_is_reached_by_both_approximations() -> None:
    for auc, half, ratio in ((0.8, 0.05, 1.0), (0.9, 0.04, 2.5), (0.95, 0.03, 0.4)):
        found = cases_for_auc_width(auc, half, ratio)
        exponential = se_hanley_mcneil(auc, found.exact_cases, found.exact_controls)
        binormal = (variance_obuchowski(auc, ratio) / found.exact_cases) ** 0.5
        assert 1.959964 * max(exponential, binormal) == pytest.approx(half, rel=1e-5)


def test_hanley_mcneil_of_a_published_example() -> None:
    """Hanley & McNeil 1982, Table II: AUC 0.893, 51 abnormal and 58 normal, SE 0.032."""
    assert se_hanley_mcneil(0.893, 51, 58) == pytest.approx(0.032, abs=6e-4)


def test_pilot_of_the_planned_size_already_has_the_width() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [40, 60])
    scores = rng.normal(size=100) + 1.5 * labels
    auc = auc_delong(scores, labels)
    half = auc.value - auc.ci_low
    found = cases_for_auc_width_from_pilot(scores, labels, half, 1.5)
    assert found.exact_cases == pytest.approx(40)
    with pytest.raises(SettingsError, match="no spread"):
        cases_for_auc_width_from_pilot([0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0], 0.1, 1)


def test_more_correlation_needs_fewer_patients() -> None:
    needed = [cases_for_auc_difference(0.9, 0.85, r, 0.8, 1).cases for r in (0.0, 0.3, 0.6)]
    assert needed == sorted(needed, reverse=True)
    assert len(set(needed)) == 3


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="expected AUC of"):
        power_of_auc(0.5, 10, 10)
    with pytest.raises(SettingsError, match="both AUCs are equal"):
        cases_for_auc_difference(0.8, 0.8, 0.5, 0.8, 1)
    with pytest.raises(SettingsError, match="power is 80"):
        cases_for_auc(0.8, 80, 1)
    with pytest.raises(SettingsError, match="controls per case"):
        cases_for_auc(0.8, 0.8, 0)
