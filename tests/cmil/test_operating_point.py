"""Threshold and proportions against exhaustive search and an independent implementation."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from cmil.operating_point import sensitivity, specificity, wilson, youden_threshold
from cohorts.errors import DataError


def youden_index(threshold: float, scores: list[float], labels: list[int]) -> float:
    called, truth = np.array(scores) >= threshold, np.array(labels) == 1
    return float(called[truth].mean() + (~called[~truth]).mean() - 1)


labelled = st.lists(
    st.tuples(st.integers(0, 6).map(lambda i: i / 8), st.integers(0, 1)), min_size=2, max_size=14
).filter(lambda rows: len({label for _, label in rows}) == 2)


def every_cut(scores: list[float]) -> list[float]:
    """One threshold for each way of cutting the sorted scores in two, lowest first."""
    distinct = sorted(set(scores))
    midway = [(a + b) / 2 for a, b in pairwise(distinct)]
    return [distinct[0], *midway, math.nextafter(distinct[-1], math.inf)]


@given(labelled)
def test_no_other_cut_is_better_and_of_equals_the_lowest_is_taken(
    rows: list[tuple[float, int]],
) -> None:
    scores, labels = (list(column) for column in zip(*rows, strict=True))
    cuts = every_cut(scores)
    indices = [youden_index(cut, scores, labels) for cut in cuts]
    lowest_best = next(
        cut for cut, index in zip(cuts, indices, strict=True) if index > max(indices) - 1e-9
    )
    assert youden_threshold(scores, labels) == pytest.approx(lowest_best, abs=1e-15)


def test_separable_scores_are_cut_midway() -> None:
    assert youden_threshold([0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1]) == pytest.approx(0.4)


def test_equally_good_cuts_take_the_one_that_misses_fewer() -> None:
    # Calling from 0.4 or from 0.8 on gives an index of 1/2 each.
    assert youden_threshold([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1]) == pytest.approx(0.3)


def test_neighbouring_numbers_stay_apart() -> None:
    low = 0.5
    high = math.nextafter(low, 1)
    threshold = youden_threshold([low, high], [0, 1])
    assert low < threshold <= high
    low, high = high, math.nextafter(high, 1)  # here the mean of the two rounds the other way
    threshold = youden_threshold([low, high], [0, 1])
    assert low < threshold <= high


def test_reversed_scores_call_everyone_positive() -> None:
    # All or none are equally good, and none misses every metastasis.
    assert youden_threshold([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1]) == 0.1


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="both labels"):
        youden_threshold([0.1, 0.2], [1, 1])


@pytest.mark.parametrize("n", range(1, 31))
def test_wilson_equals_scipy(n: int) -> None:
    for k in range(n + 1):
        proportion = wilson(k, n)
        interval = binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")
        assert (proportion.k, proportion.n, proportion.value) == (k, n, k / n)
        assert proportion.ci_low == pytest.approx(interval.low, abs=1e-12)
        assert proportion.ci_high == pytest.approx(interval.high, abs=1e-12)
        assert 0 <= proportion.ci_low <= proportion.value <= proportion.ci_high <= 1


def test_wilson_of_nobody_is_unknown() -> None:
    nobody = wilson(0, 0)
    assert (nobody.k, nobody.n) == (0, 0)
    assert all(math.isnan(x) for x in (nobody.value, nobody.ci_low, nobody.ci_high))


def test_sensitivity_and_specificity_count_their_own_class() -> None:
    decisions, labels = [1, 1, 0, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0]
    assert sensitivity(decisions, labels) == wilson(2, 3)
    assert specificity(decisions, labels) == wilson(3, 4)
