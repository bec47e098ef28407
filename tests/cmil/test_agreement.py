"""Agreement of maps, and how much of a map few instances hold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from cmil.explanations.agreement import rank_agreement, top_agreement
from cmil.explanations.concentration import highest, share_held


@given(st.integers(0, 2**32 - 1), st.integers(3, 30), st.integers(2, 4))
def test_agreement_is_the_mean_of_spearmans_correlations(seed: int, size: int, models: int) -> None:
    maps = np.random.default_rng(seed).integers(0, 50, (models, size)).astype(float)
    maps[:, :2] = [0, 99]  # none is the same everywhere
    pairs = [
        spearmanr(maps[a], maps[b]).statistic for a in range(models) for b in range(a + 1, models)
    ]
    assert rank_agreement(list(maps)) == pytest.approx(np.mean(pairs))


def test_spearman_of_r() -> None:
    """R 4: cor(x, y, method = "spearman") of ?cor.test, Hollander & Wolfe's tuna: 0.6."""
    x = np.array([44.4, 45.9, 41.9, 53.3, 44.7, 44.1, 50.7, 45.2, 60.1])
    y = np.array([2.6, 3.1, 2.5, 5.0, 3.6, 4.0, 5.2, 2.8, 3.8])
    assert rank_agreement([x, y]) == pytest.approx(0.6)


def test_overlap_of_the_highest_tenth() -> None:
    first = np.arange(30.0)
    second = first.copy()
    second[[0, 29]] = second[[29, 0]]  # one of the three highest is exchanged
    assert top_agreement([first, first]) == 1
    assert top_agreement([first, second]) == pytest.approx(2 / 3)
    assert top_agreement([first, -first]) == 0
    assert top_agreement([first, first, -first]) == pytest.approx(1 / 3)


def test_without_two_maps_or_anything_in_them_there_is_no_agreement() -> None:
    ramp = np.arange(20.0)
    assert math.isnan(rank_agreement([ramp]))
    assert math.isnan(rank_agreement([ramp, np.ones(20)]))
    assert math.isnan(top_agreement([ramp]))
    assert math.isnan(top_agreement([ramp[:9], ramp[:9]]))


def test_highest_are_counted_upwards() -> None:
    assert highest(np.arange(30.0)).tolist() == [29, 28, 27]
    assert len(highest(np.zeros(31))) == 4
    assert highest(np.array([2.0, 5.0])).tolist() == [1]


def test_share_that_few_hold() -> None:
    peaked = np.array([9.0] + [1.0] * 99)
    assert share_held(peaked, 1) == pytest.approx(9 / 108)
    assert share_held(peaked, 10) == pytest.approx(18 / 108)
    assert share_held(np.ones(200), 5) == pytest.approx(0.05)
    assert share_held(np.array([-3.0, 1.0, 0.0, 0.0]), 25) == pytest.approx(0.75)
    assert math.isnan(share_held(np.zeros(5), 10))
