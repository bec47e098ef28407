"""What is selected says something, and not all the same."""

import numpy as np

from cmil.histograms.feature_selection import lasso, select_features, uncorrelated
from cmil.histograms.targets import targets_of


def test_of_two_correlated_features_the_first_is_kept() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50))
    features = np.stack([np.full(50, 0.3), a, -a + 0.1 * b, b, a + 2 * b, 1e-5 * a], axis=1)
    r = np.corrcoef(features[:, 1:].T)
    assert abs(r[0, 1]) > 0.9 > abs(r[0, 3])
    assert list(uncorrelated(features)) == [1, 3, *([4] if abs(r[2, 3]) <= 0.9 else [])]


def test_lasso_finds_the_planted_features_among_noise() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 30))
    labels = (features[:, 4] - features[:, 17] + 0.5 * rng.normal(size=200) > 0).astype(int)
    chosen = lasso(features, labels, 5, np.random.default_rng(0))
    assert {4, 17} <= set(chosen)
    assert len(chosen) < 20


def test_noise_leaves_at_least_one_and_bags_that_are_alike_none() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(20) % 2
    assert len(select_features(rng.normal(size=(20, 3)), targets_of(labels), 5, rng)) >= 1
    assert len(select_features(np.ones((20, 3)), targets_of(labels), 5, rng)) == 0


def test_more_than_two_classes_keep_what_tells_any_from_the_others() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(90) % 3
    features = rng.normal(size=(90, 5))
    features[:, 1] += 4 * (labels == 1)
    features[:, 3] += 4 * (labels == 2)
    assert {1, 3} <= set(select_features(features, targets_of(labels), 3, rng))
