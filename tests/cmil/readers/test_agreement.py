import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cmil.readers.agreement import agreement_table, cohen_kappa, fleiss_kappa
from cmil.readers.ratings import Readings
from cohorts.errors import DataError

# Answers of 91 couples, Hout et al. 1987, as in R's vcd::SexualFun.
COUPLES = [[7, 7, 2, 3], [2, 8, 3, 7], [1, 5, 4, 9], [2, 8, 9, 14]]
# 10 subjects, 14 raters, 5 categories, the example of Fleiss' kappa; kappa 0.210.
COUNTS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def readings(table: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    counts = np.array(table)
    one, other = np.indices(counts.shape)
    return np.repeat(one, counts.ravel()), np.repeat(other, counts.ravel())


def test_equals_vcd() -> None:
    """R: vcd::Kappa(SexualFun) gives 0.1293 (ASE 0.06860), weighted 0.2374 (0.07832)."""
    plain = cohen_kappa(*readings(COUPLES))
    assert (plain.value, plain.se) == pytest.approx((0.1293, 0.06860), abs=5e-5)
    linear = cohen_kappa(*readings(COUPLES), "linear")
    assert (linear.value, linear.se) == pytest.approx((0.2374, 0.07832), abs=5e-5)


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_variance_is_that_of_the_delta_method(weights: str) -> None:
    """Multinomial shares, the derivative of kappa taken numerically."""
    counts = np.array(COUPLES, dtype=float)
    grades = np.arange(4)
    apart = np.abs(np.subtract.outer(grades, grades)) / 3
    agree = {"none": np.eye(4), "linear": 1 - apart, "quadratic": 1 - apart**2}[weights]

    def kappa(shares: NDArray[np.float64]) -> float:
        expected = shares.sum(axis=1) @ agree @ shares.sum(axis=0) / shares.sum() ** 2
        return float(((agree * shares).sum() / shares.sum() - expected) / (1 - expected))

    shares = counts / counts.sum()
    slope = np.array(
        [
            (kappa(shares + 1e-6 * unit) - kappa(shares - 1e-6 * unit)) / 2e-6
            for unit in np.eye(16).reshape(16, 4, 4)
        ]
    )
    variance = (shares.ravel() * slope**2).sum() - (shares.ravel() @ slope) ** 2
    found = cohen_kappa(*readings(COUPLES), weights)  # type: ignore[arg-type]
    assert found.se == pytest.approx(math.sqrt(variance / 91), rel=1e-5)


def test_fleiss_kappa_of_the_published_example() -> None:
    said = np.stack([np.repeat(np.arange(5), row) for row in COUNTS], axis=1)
    found = fleiss_kappa(said)
    assert found.value == pytest.approx(0.210, abs=5e-4)
    assert (found.readers, found.patients) == (14, 10)


def test_fleiss_variance_is_that_of_the_infinitesimal_jackknife() -> None:
    """Each patient's influence on kappa, numerically; n - 1 as irrCAC has it."""
    counts = np.array(COUNTS, dtype=float)

    def kappa(weights: NDArray[np.float64]) -> float:
        weights = weights / weights.sum()
        agreed = weights @ (counts * (counts - 1)).sum(axis=1) / (14 * 13)
        by_chance = ((weights @ counts / 14) ** 2).sum()
        return float((agreed - by_chance) / (1 - by_chance))

    even = np.full(10, 0.1)
    influence = [
        (kappa((1 - 1e-6) * even + 1e-6 * unit) - kappa(even)) / 1e-6 for unit in np.eye(10)
    ]
    said = np.stack([np.repeat(np.arange(5), row) for row in COUNTS], axis=1)
    expected = math.sqrt(np.square(influence).sum() / (10 * 9))
    assert fleiss_kappa(said).se == pytest.approx(expected, rel=1e-4)


pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30)


@given(pairs)
def test_who_is_named_first_makes_no_difference(drawn: list[tuple[int, int]]) -> None:
    one, other = zip(*drawn, strict=True)
    for weights in ("none", "quadratic"):
        there, back = cohen_kappa(one, other, weights), cohen_kappa(other, one, weights)
        for field in ("value", "se", "ci_low"):
            assert getattr(there, field) == pytest.approx(getattr(back, field), nan_ok=True)


def test_a_grade_nobody_gave_lies_between_its_neighbours() -> None:
    """Quadratic weights of grades 1 and 3 are those of any two grades."""
    assert cohen_kappa([1, 3, 3], [1, 3, 1], "quadratic").value == pytest.approx(
        cohen_kappa([0, 1, 1], [0, 1, 0]).value
    )
    spaced = cohen_kappa([0, 1, 3, 3], [0, 3, 3, 1], "linear")
    assert spaced.observed == pytest.approx((1 + 1 / 3 + 1 + 1 / 3) / 4)


def test_full_agreement_on_one_category_has_no_kappa() -> None:
    for found in (cohen_kappa([1, 1], [1, 1]), fleiss_kappa([[1, 1], [1, 1]])):
        assert math.isnan(found.value)
        assert found.note == "one category only: kappa not estimable"


def test_readings_of_different_patients_are_refused() -> None:
    with pytest.raises(DataError, match="not 2 and 1"):
        cohen_kappa([1, 0], [1])
    with pytest.raises(DataError, match="two readers"):
        fleiss_kappa([[1, 0]])


def test_table_pairs_the_model_with_each_reader_and_readers_with_each_other() -> None:
    said = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]], dtype=float)
    table = agreement_table(Readings(("X", "Y", "Z"), tuple("abcd"), said), [1, 0, 1, 0])
    assert list(zip(table["one"], table["other"], strict=True)) == [
        ("model", "X"),
        ("model", "Y"),
        ("model", "Z"),
        ("X", "Y"),
        ("X", "Z"),
        ("Y", "Z"),
        ("all readers", "all readers"),
    ]
    assert table.loc[0, "kappa"] == 1
    assert table.loc[1, "kappa"] == pytest.approx(0.5)  # (0.75 - 0.5) / (1 - 0.5)
