"""A bag as a text whose words are its patch likelihoods, rounded to two decimals."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmil.histograms.bag_features import BagFeatures, coded

VOCABULARY = 101  # 0.00, 0.01, .. 1.00


def bag_of_words(
    likelihoods: NDArray[np.float32], inverse_frequency: NDArray[np.float64]
) -> BagFeatures:
    """Count words, weight them by their rarity among patients, and scale to length 1 (TF-IDF).

    Equals scikit-learn's `TfidfTransformer` on counts of the words. Cao et al. 2020 (Theranostics
    10:11080) print six decimals, and their tokenizer drops what stands before the point, so that
    0.000000 and 1.000000 are one word; here a word is a number of hundredths.

    Parameters
    ----------
    likelihoods
        (N,) of one class.
    inverse_frequency
        (101,) from `inverse_document_frequency` of training patients.
    """
    words = _words(likelihoods)
    length = np.linalg.norm(np.bincount(words, minlength=VOCABULARY) * inverse_frequency)
    return coded(words, np.diag(inverse_frequency / length))


def inverse_document_frequency(
    likelihoods: Sequence[NDArray[np.float32]],
) -> NDArray[np.float64]:
    """Rarity of each word among patients: ln((1 + n) / (1 + patients with it)) + 1.

    Equals scikit-learn's `TfidfTransformer(smooth_idf=True).idf_`.

    Parameters
    ----------
    likelihoods
        (N_i,) of one class, for each of n training patients.

    Returns
    -------
    (101,)
    """
    found = [np.bincount(_words(bag), minlength=VOCABULARY) > 0 for bag in likelihoods]
    rarity: NDArray[np.float64] = np.log((1 + len(found)) / (1 + np.sum(found, axis=0))) + 1
    return rarity


def _words(likelihoods: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.rint(likelihoods * (VOCABULARY - 1)).astype(np.int64)
