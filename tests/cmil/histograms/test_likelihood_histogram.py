"""Histograms are shares, and each instance has its own."""

import numpy as np
import pytest

from cmil.histograms.bag_features import joined
from cmil.histograms.likelihood_histogram import likelihood_histogram, predicted_shares

LIKELIHOODS = np.array([0, 0.1, 0.24, 0.25, 0.5, 0.99, 1, 1], dtype=np.float32)


def test_share_in_each_bin_the_last_of_which_holds_certainty() -> None:
    np.testing.assert_array_equal(
        likelihood_histogram(LIKELIHOODS, 4).values, [3 / 8, 1 / 8, 1 / 8, 3 / 8]
    )


@pytest.mark.parametrize("bandwidth", [0, 0.02, 0.3])
def test_it_is_a_density_that_does_not_know_the_bag_size(bandwidth: float) -> None:
    once = likelihood_histogram(LIKELIHOODS, 10, bandwidth).values
    twice = likelihood_histogram(np.tile(LIKELIHOODS, 2), 10, bandwidth).values
    assert once.sum() == pytest.approx(1)
    np.testing.assert_array_equal(once, twice)


def test_smoothing_is_a_gaussian_kernel_cut_at_the_ends() -> None:
    """scipy 1.17: truncnorm(-5, 5, 0.5, 0.1).cdf at 0.2, 0.4, 0.6, 0.8 differ by these shares."""
    smooth = likelihood_histogram(np.array([0.5], dtype=np.float32), 5, 0.1).values
    np.testing.assert_allclose(
        smooth, [0.0013496, 0.1573054, 0.6826899, 0.1573054, 0.0013496], atol=1e-6
    )


@pytest.mark.parametrize("bandwidth", [0, 0.1])
def test_shares_of_instances_sum_to_the_weighted_features(bandwidth: float) -> None:
    both = np.stack([1 - LIKELIHOODS, LIKELIHOODS], axis=1)
    described = joined([likelihood_histogram(LIKELIHOODS, 7, bandwidth), predicted_shares(both)])
    weights = np.random.default_rng(0).normal(size=(9, 2))
    shares = described.shares(weights)
    assert shares.shape == (8, 2)
    np.testing.assert_allclose(shares.sum(axis=0), described.values @ weights)
    np.testing.assert_array_equal(shares[6], shares[7])


def test_predicted_shares_count_the_likeliest_class() -> None:
    likelihoods = np.array([[0.5, 0.2, 0.3], [0, 0, 1], [0.4, 0.3, 0.3]], dtype=np.float32)
    np.testing.assert_allclose(predicted_shares(likelihoods).values, [2 / 3, 0, 1 / 3])
