"""The paired difference of two AUCs against its definition, and against R."""

import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from cmil.validation.auc_difference import (
    auc_difference,
    few_patients_auc_difference,
    unpaired_auc_difference,
)
from cmil.validation.discrimination import auc_delong
from cohorts.errors import DataError

# Few distinct scores, so that most examples hold ties.
scores = st.integers(-3, 3).map(float)
pairs = st.lists(st.tuples(scores, scores), min_size=2, max_size=10)
patients = st.tuples(pairs, pairs)  # cases and controls, each with two scores

Patients = tuple[list[tuple[float, float]], list[tuple[float, float]]]


def columns(drawn: Patients) -> tuple[list[float], list[float], list[int]]:
    one, other = zip(*(drawn[0] + drawn[1]), strict=True)
    return list(one), list(other), [1] * len(drawn[0]) + [0] * len(drawn[1])


@given(patients, st.integers(0, 3))
def test_of_few_patients_p_is_no_less_than_their_number_allows(drawn: Patients, seed: int) -> None:
    one, other, labels = columns(drawn)
    limits = ((0.0, 1.0), (0.0, 1.0))
    found = few_patients_auc_difference(one, other, labels, limits, np.random.default_rng(seed))
    assert found.value == auc_difference(one, other, labels).value
    assert -1 <= found.ci_low <= found.value <= found.ci_high <= 1
    assert max(2.0 ** -len(labels), 1e-4) <= found.p <= 1
    turned = few_patients_auc_difference(other, one, labels, limits, np.random.default_rng(seed))
    assert turned.value == pytest.approx(-found.value)
    assert turned.p == pytest.approx(found.p)


def test_of_few_patients_equal_scores_are_seldom_told_apart() -> None:
    rng, labels = np.random.default_rng(0), [1] * 6 + [0] * 7
    limits = ((0.2, 0.8), (0.2, 0.8))
    p = [
        few_patients_auc_difference(*rng.normal(size=(2, 13)), labels, limits, rng).p
        for _ in range(300)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.09  # 0.05 and three standard errors
    assert 0.4 <= np.mean(p) <= 0.6


@pytest.mark.parametrize(("cases", "controls"), [(5, 5), (4, 6)])
def test_of_few_patients_p_beside_a_constant_is_exact(cases: int, controls: int) -> None:
    """Over all orders of the patients, p is at most a level no more often than the level says."""
    total, rng = cases + controls, np.random.default_rng(0)
    p = []
    for places in combinations(range(total), cases):
        labels = np.isin(np.arange(total), places).astype(int)
        order, limits = (range(total), [0.5] * total), ((0.0, 1.0), (0.0, 1.0))
        p.append(few_patients_auc_difference(*order, labels, limits, rng).p)
    for level in np.unique(p):
        assert np.mean(p <= level) == pytest.approx(level)
    assert min(p) == pytest.approx(2 / math.comb(total, cases))


def test_of_few_patients_p_beside_a_constant_is_mann_whitneys() -> None:
    rng, labels = np.random.default_rng(1), np.array([1] * 6 + [0] * 30)
    limits = ((0.0, 1.0), (0.0, 1.0))
    for shift in (0.0, 0.5, 1.0):
        score = rng.normal(size=36) + shift * labels
        exact = mannwhitneyu(score[labels == 1], score[labels == 0], method="exact").pvalue
        drawn = few_patients_auc_difference(score, np.ones(36), labels, limits, rng).p
        assert drawn == pytest.approx(exact, abs=4 * (exact / 10_000) ** 0.5)


@given(patients)
def test_variance_is_that_of_the_covariance_matrix(drawn: Patients) -> None:
    """S10 / m + S01 / n of DeLong et al. 1988, eq. 4 to 6, with the contrast (1, -1)."""
    cases, controls = (np.array(part) for part in drawn)
    above, level = cases[:, None] > controls[None], cases[:, None] == controls[None]
    psi = above + 0.5 * level  # (cases, controls, scores)
    matrix = np.cov(psi.mean(axis=1).T) / len(cases) + np.cov(psi.mean(axis=0).T) / len(controls)
    contrast = np.array([1, -1])

    found = auc_difference(*columns(drawn))

    assert found.value == pytest.approx(contrast @ psi.mean(axis=(0, 1)), abs=1e-12)
    assert found.variance == pytest.approx(contrast @ matrix @ contrast, abs=1e-12)


@given(patients)
def test_difference_is_that_of_the_aucs_and_changes_sign_with_their_order(drawn: Patients) -> None:
    one, other, labels = columns(drawn)
    there, back = auc_difference(one, other, labels), auc_difference(other, one, labels)
    expected = auc_delong(one, labels).value - auc_delong(other, labels).value
    assert there.value == pytest.approx(expected, abs=1e-12)
    assert (back.value, back.z) == pytest.approx((-there.value, -there.z), nan_ok=True, abs=1e-12)
    assert back.p == pytest.approx(there.p, nan_ok=True)


@given(patients)
def test_scores_of_the_same_order_do_not_differ(drawn: Patients) -> None:
    one, _, labels = columns(drawn)
    same = auc_difference(one, np.exp(one), labels)
    assert (same.value, same.ci_low, same.ci_high, same.variance, same.z, same.p) == (0,) * 5 + (1,)


@pytest.mark.shared
def test_equals_proc_on_its_own_data(reference: Callable[[str], Path]) -> None:
    """Z, p and interval of pROC's own tests, test-roc.test.R at its commit ee2877e.

    There: `roc.test(aSAH$outcome, aSAH$wfns, aSAH$s100b)`, and so on, method "delong", paired.
    """
    aneurysms = pd.read_csv(reference("pROC_aSAH.csv"))
    poor = (aneurysms["outcome"] == "Poor").astype(int)
    expected = {
        ("wfns", "s100b"): (2.20898359144091, 0.0271757822291882),
        ("wfns", "ndka"): (2.79777591868904, 0.00514557970691098),
        ("ndka", "s100b"): (-1.39077002573558, 0.164295175223054),
    }
    limits = {
        ("wfns", "s100b"): (0.0104061769564846, 0.174214419249478),
        ("wfns", "ndka"): (0.0634011709339876, 0.3600405634833566),
        ("ndka", "s100b"): (-0.2876917446341914, 0.0488706064228094),
    }
    for pair, of_test in expected.items():
        found = auc_difference(aneurysms[pair[0]], aneurysms[pair[1]], poor)
        assert (found.z, found.p) == pytest.approx(of_test, abs=1e-10)
        assert (found.ci_low, found.ci_high) == pytest.approx(limits[pair], abs=1e-10)


@pytest.mark.shared
def test_unpaired_equals_proc_on_its_own_data(reference: Callable[[str], Path]) -> None:
    """D and p of `roc.test(r.wfns, r.s100b, paired = FALSE)` and so on, test-roc.test.R."""
    aneurysms = pd.read_csv(reference("pROC_aSAH.csv"))
    poor = (aneurysms["outcome"] == "Poor").astype(int)
    expected = {
        ("wfns", "s100b"): (1.43490640926908, 0.152825378808796),
        ("wfns", "ndka"): (3.10125096778969, 0.00220950791756457),
        ("ndka", "s100b"): (-1.55995743389685, 0.120192832430845),
    }
    for pair, of_test in expected.items():
        found = unpaired_auc_difference(aneurysms[pair[0]], poor, aneurysms[pair[1]], poor)
        assert (found.z, found.p) == pytest.approx(of_test, abs=1e-10)
        assert (found.ci_low < 0 < found.ci_high) == (found.p > 0.05)


def test_unpaired_groups_without_spread_have_no_p() -> None:
    found = unpaired_auc_difference([0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0], [0.9, 0.1], [1, 0])
    assert found.value == 0
    assert math.isnan(found.p)


def test_one_patient_of_a_class_leaves_interval_and_p_unknown() -> None:
    found = auc_difference([0.9, 0.1, 0.2], [0.1, 0.9, 0.2], [1, 0, 0])
    assert found.value == 1.0
    assert all(math.isnan(v) for v in (found.ci_low, found.ci_high, found.variance, found.p))
    same = auc_difference([0.9, 0.1, 0.2], [0.9, 0.1, 0.2], [1, 0, 0])
    assert same.value == 0.0
    assert math.isnan(same.p)


def test_difference_without_spread_has_no_p() -> None:
    """A perfect score against one that ranks nobody: every patient's placement differs alike."""
    found = auc_difference([0.9, 0.8, 0.2, 0.1], [0.5] * 4, [1, 1, 0, 0])
    assert (found.value, found.variance) == (0.5, 0.0)
    assert all(math.isnan(v) for v in (found.ci_low, found.ci_high, found.p))


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="both labels"):
        auc_difference([0.1, 0.2], [0.2, 0.1], [1, 1])
