"""Bags of words are scikit-learn's TF-IDF of rounded likelihoods."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfTransformer

from cmil.histograms.bag_of_words import VOCABULARY, bag_of_words, inverse_document_frequency

likelihoods = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30).map(
    lambda values: np.array(values, dtype=np.float32)
)


@given(st.lists(likelihoods, min_size=1, max_size=6), likelihoods)
def test_equals_scikit_learn(training: list[np.ndarray], bag: np.ndarray) -> None:
    def counts(values: np.ndarray) -> np.ndarray:
        return np.bincount(np.rint(values * 100).astype(int), minlength=VOCABULARY)

    theirs = TfidfTransformer().fit(np.stack([counts(values) for values in training]))
    rarity = inverse_document_frequency(training)
    np.testing.assert_allclose(rarity, theirs.idf_)
    described = bag_of_words(bag, rarity)
    np.testing.assert_allclose(
        described.values, theirs.transform(counts(bag)[None]).toarray()[0], atol=1e-12
    )
    weights = np.linspace(-1, 2, VOCABULARY)[:, None]
    np.testing.assert_allclose(described.shares(weights).sum(), described.values @ weights[:, 0])


def test_surely_negative_and_surely_positive_are_different_words() -> None:
    rarity = np.ones(VOCABULARY)
    no, yes = (bag_of_words(np.array([p], np.float32), rarity).values for p in (0, 1))
    assert no @ yes == 0


def test_doubled_bag_is_the_same_text() -> None:
    bag = np.array([0.2, 0.201, 0.7], dtype=np.float32)
    rarity = inverse_document_frequency([bag, bag[:1]])
    once, twice = (bag_of_words(b, rarity).values for b in (bag, np.tile(bag, 2)))
    np.testing.assert_allclose(once, twice)
