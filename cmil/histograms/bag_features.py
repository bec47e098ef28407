"""Features of a bag that are sums over its instances, so that each instance has its share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BagFeatures:
    """What describes one bag of N instances.

    Attributes
    ----------
    values
        (F,) float64.
    shares
        Maps weights (F, K) to each instance's part, (N, K), of `values @ weights`; the parts of
        all instances sum to it.
    """

    values: NDArray[np.float64]
    shares: Callable[[NDArray[np.float64]], NDArray[np.float64]]


def coded(codes: NDArray[np.int64], table: NDArray[np.float64]) -> BagFeatures:
    """Features of instances that are each of one kind.

    Parameters
    ----------
    codes
        (N,) the kind of each instance, 0 .. V-1.
    table
        (V, F) what an instance of each kind adds to the features.
    """
    counts = np.bincount(codes, minlength=len(table))
    return BagFeatures(counts @ table, lambda weights: (table @ weights)[codes])


def joined(parts: Sequence[BagFeatures]) -> BagFeatures:
    """Features of all parts, one after another."""
    ends = np.cumsum([len(part.values) for part in parts])[:-1]

    def shares(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        pieces = np.split(weights, ends)
        first, *others = (p.shares(w) for p, w in zip(parts, pieces, strict=True))
        return sum(others, start=first)

    return BagFeatures(np.concatenate([part.values for part in parts]), shares)
