"""A linear copy is redundant, noise is not."""

import numpy as np
import pytest

from cmil.histograms.bag_of_words import bag_of_words, inverse_document_frequency
from cmil.histograms.likelihood_histogram import likelihood_histogram
from cmil.histograms.redundancy import redundancy


def test_linear_copy_holds_nothing_new_and_noise_everything() -> None:
    rng = np.random.default_rng(0)
    given = rng.normal(size=(80, 5))
    copy = given @ rng.normal(size=(5, 30)) + 3
    noise = rng.normal(size=(80, 30))
    assert redundancy(copy, given) == pytest.approx(1, abs=1e-6)
    assert redundancy(noise, given) < 0.1
    assert redundancy(np.hstack([copy, noise]), given) < 0.95


def test_most_of_a_bag_of_words_is_in_the_histogram() -> None:
    rng = np.random.default_rng(1)
    bags = [rng.beta(a, b, 400).astype(np.float32) for a, b in rng.uniform(0.5, 5, (60, 2))]
    rarity = inverse_document_frequency(bags)
    words = np.stack([bag_of_words(bag, rarity).values for bag in bags])
    fine = np.stack([likelihood_histogram(bag, 100).values for bag in bags])
    assert redundancy(words, fine) > 0.65
