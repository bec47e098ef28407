"""How a bag's patch likelihoods are distributed: the PLH of the cMIL papers, as a density."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from cmil.histograms.bag_features import BagFeatures, coded


def likelihood_histogram(
    likelihoods: NDArray[np.float32], bins: int, bandwidth: float = 0
) -> BagFeatures:
    """Share of instances in bins of equal width over 0..1.

    After Cao et al. 2020 (Theranostics 10:11080, PALHI), who count 200 bins: shares instead of
    counts, since counts tell how large the bag is; and fewer bins, since a bag fills no 200.

    Parameters
    ----------
    likelihoods
        (N,) of one class.
    bandwidth
        Standard deviation, in units of likelihood, of a Gaussian around the middle of each bin
        that spreads its share over the others; what would fall outside 0..1 is spread inside.
    """
    codes = np.minimum((likelihoods * bins).astype(np.int64), bins - 1)
    return coded(codes, _spread(bins, bandwidth) / len(codes))


def predicted_shares(likelihoods: NDArray[np.float32]) -> BagFeatures:
    """Share of instances for which each class is the likeliest, from likelihoods (N, C)."""
    classes = likelihoods.shape[1]
    return coded(likelihoods.argmax(axis=1), np.eye(classes) / len(likelihoods))


def _spread(bins: int, bandwidth: float) -> NDArray[np.float64]:
    """Where the share of each bin goes, (bins, bins), rows summing to 1."""
    if bandwidth == 0:
        return np.eye(bins)
    edges = np.linspace(0, 1, bins + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    reached = np.diff(ndtr((edges[None, :] - middles[:, None]) / bandwidth), axis=1)
    spread: NDArray[np.float64] = reached / reached.sum(axis=1, keepdims=True)
    return spread
