"""Deletion and insertion: whether the score follows the patches that the map points at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Shares of the bag at which curves are computed: close at both ends, where a map has to prove
# itself, and symmetric, so that random orders serve deletion and insertion.
_PERCENT = (0, 1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 98, 99, 100)
SHARES = np.array(_PERCENT) / 100
RANDOM_ORDERS = 5


@dataclass(frozen=True)
class Curves:
    """Probability of the decided class as patches go or come, at each of `SHARES`.

    Attributes
    ----------
    deletion, insertion
        (21,) in the order of the map, highest first.
    random_deletion, random_insertion
        (21,) mean over random orders.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    random_deletion: NDArray[np.float64]
    random_insertion: NDArray[np.float64]

    @property
    def deletion_gain(self) -> float:
        """Area by which the map's deletion curve lies below that of random orders."""
        return _area(self.random_deletion - self.deletion)

    @property
    def insertion_gain(self) -> float:
        """Area by which the map's insertion curve lies above that of random orders."""
        return _area(self.insertion - self.random_insertion)


def orders_to_try(values: NDArray[np.floating], rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Order instances by a map, falling and rising, and at random `RANDOM_ORDERS` times.

    Instances of equal value are in random order: their place in the bag means nothing.

    Parameters
    ----------
    values
        (N,)
    """
    size = len(values)
    falling = np.lexsort((rng.random(size), -values))
    return [falling, falling[::-1], *(rng.permutation(size) for _ in range(RANDOM_ORDERS))]


def counts_to_keep(size: int) -> NDArray[np.intp]:
    """Instances in the bag at each of `SHARES`; one at least, since a bag has no empty score."""
    return np.clip(np.rint(SHARES * size), 1, size).astype(np.intp)


def curves_of(probabilities: NDArray[np.float64]) -> Curves:
    """Read curves from the probabilities of the first instances of each order.

    Deletion and insertion as in Petsiuk et al. 2018 (RISE, arXiv 1806.07421), section 4.2, with
    instances of a bag for pixels. The highest taken away, the first ones of the rising order stay.

    Parameters
    ----------
    probabilities
        (2 + `RANDOM_ORDERS`, 21) of the decided class, for `orders_to_try` and `counts_to_keep`.
    """
    falling, rising = probabilities[:2]
    random = probabilities[2:].mean(axis=0)
    return Curves(rising[::-1], falling, random[::-1], random)


def _area(difference: NDArray[np.float64]) -> float:
    middles = (difference[1:] + difference[:-1]) / 2
    return float(middles @ np.diff(SHARES))
