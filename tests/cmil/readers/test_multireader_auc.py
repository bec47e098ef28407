from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmil.readers.multireader_auc import auc_covariance, model_against_readers, multireader_auc
from cmil.validation.auc_difference import auc_difference
from cmil.validation.discrimination import auc_delong
from cohorts.errors import DataError


@pytest.mark.shared
def test_covariance_equals_proc(reference: Callable[[str], Path]) -> None:
    """pROC's own tests, test-cov.R and test-var.R at its commit ee2877e."""
    aneurysms = pd.read_csv(reference("pROC_aSAH.csv"))
    poor = (aneurysms["outcome"] == "Poor").astype(int)
    scores = aneurysms[["wfns", "ndka", "s100b"]].to_numpy().T
    aucs, covariance = auc_covariance(scores, poor)
    assert aucs == pytest.approx([0.823678861788618, 0.611957994579946, 0.731368563685637])
    assert covariance[0, 0] == pytest.approx(0.00146991470882363, abs=1e-12)
    # Var(wfns - s100b) from the Z that pROC gives for their difference.
    difference = covariance[0, 0] + covariance[2, 2] - 2 * covariance[0, 2]
    z = (aucs[0] - aucs[2]) / np.sqrt(difference)
    assert z == pytest.approx(2.20898359144091, abs=1e-10)


def ratings(seed: int, shape: tuple[int, ...], labels: np.ndarray, skill: float) -> np.ndarray:
    """Readings that share what is hard about a patient."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=labels.size)
    return skill * labels + shared + rng.normal(size=(*shape, labels.size))


def test_readers_who_see_the_same_are_tested_as_one() -> None:
    """Without variance between readers what is left is DeLong's paired test."""
    labels = np.arange(60) % 2
    one, other = ratings(0, (2,), labels, 1.2)
    found = multireader_auc(
        np.array([[one, one, one], [other, other, other]]),
        labels,
        ("with", "without"),
        tuple("abc"),
    )
    delong = auc_difference(one, other, labels)
    row = found.differences.iloc[0]
    assert row["difference"] == pytest.approx(delong.value)
    assert row["se"] == pytest.approx(delong.variance**0.5)
    assert (found.p, row["p"]) == pytest.approx((delong.p, delong.p))


def test_model_against_equal_readers_is_delong() -> None:
    labels = np.arange(60) % 2
    model, reader = ratings(1, (2,), labels, 1.2)
    found = model_against_readers(model, [reader, reader], labels)
    delong = auc_difference(model, reader, labels)
    assert (found.difference, found.se, found.p) == pytest.approx(
        (delong.value, delong.variance**0.5, delong.p)
    )
    assert found.model == pytest.approx(auc_delong(model, labels).value)


def test_type_one_error_with_random_readers_and_patients() -> None:
    """Readers who differ, and a model as good as their mean: 5% of studies find a difference."""
    rng = np.random.default_rng(5)
    labels = np.arange(100) % 2
    found = 0
    for _ in range(120):
        shared = rng.normal(size=100)
        skills = 1.6 + rng.normal(scale=0.3, size=(2, 5, 1))
        readings = skills * labels + shared + rng.normal(size=(2, 5, 100))
        found += multireader_auc(readings, labels, ("a", "b"), tuple("12345")).p < 0.05
    assert 1 <= found <= 14  # P(outside | 5% of 120) < 0.005


def test_shapes_and_numbers_that_do_not_fit_are_refused() -> None:
    labels = np.array([0, 1, 0, 1])
    with pytest.raises(DataError, match="are not 2 tests x 3 readers"):
        multireader_auc(np.zeros((2, 2, 4)), labels, ("a", "b"), ("1", "2", "3"))
    with pytest.raises(DataError, match="two of them"):
        model_against_readers(np.zeros(4), np.zeros((1, 4)), labels)
    with pytest.raises(DataError, match="two patients of each label"):
        model_against_readers(np.zeros(3), np.zeros((2, 3)), [1, 0, 0])
    with pytest.raises(DataError, match="a comparison needs two"):
        multireader_auc(np.zeros((1, 2, 4)), labels, ("a",), ("1", "2"))
