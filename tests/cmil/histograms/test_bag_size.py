"""Bag size is tested against label and score."""

import numpy as np
import pytest

from cmil.histograms.bag_size import bag_size_association


def test_known_answer() -> None:
    """By hand: positives exceed negatives in 7 of 9 pairs; ranks of size and score agree but one.

    Mann-Whitney: U = 7, mean 4.5, sd sqrt(9 * 7 / 12) = 2.2913, z = (2.5 - 0.5) / sd = 0.8729,
    p = 0.3827. Spearman: 1 - 6 * 2 / (6 * 35) = 0.942857.
    """
    tested = bag_size_association(
        [10, 20, 50, 30, 40, 60], [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.5, 0.4, 0.3, 0.9]
    )
    assert tested.auc.value == pytest.approx(7 / 9)
    assert tested.p == pytest.approx(0.3827, abs=1e-4)
    assert tested.correlation_with_score == pytest.approx(0.942857, abs=1e-6)


def test_logarithm_of_the_size_says_the_same() -> None:
    rng = np.random.default_rng(0)
    sizes, scores, labels = rng.integers(50, 5000, 40), rng.normal(size=40), np.arange(40) % 2
    assert bag_size_association(sizes, labels, scores) == bag_size_association(
        np.log(sizes), labels, scores
    )


def test_bags_of_one_size_follow_nothing() -> None:
    tested = bag_size_association([9, 9, 9, 9], [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    assert (tested.auc.value, tested.p) == (0.5, 1)
    assert np.isnan(tested.correlation_with_score)
