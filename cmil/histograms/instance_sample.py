"""Instances of many patients put together, every patient counting the same."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.instances import Instances

# An embedding that never varies carries nothing; dividing by its spread would blow it up.
_SMALLEST_SPREAD = 1e-4
_ROWS_AT_ONCE = 16_384


def patient_of(bags: Sequence[Instances]) -> NDArray[np.int64]:
    """Position of the patient of each instance, (M,), the bags laid end to end."""
    return np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])


def weighted_moments(instances: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of embeddings under several weightings.

    Parameters
    ----------
    instances
        (M, D) float32.
    weights
        (M, F) float32, non-negative.

    Returns
    -------
    mean, spread
        (F, D) float64; the spread is at least 1e-4.
    """
    total = weights.sum(dim=0, dtype=torch.double)[:, None]
    first = torch.zeros(weights.shape[1], instances.shape[1], dtype=torch.double)
    second = torch.zeros_like(first)
    # Of differences to one instance: squares of embeddings far from 0 would drown their spread.
    origin = instances[0]
    for part in blocks(len(instances)):
        shifted = instances[part] - origin
        first += (weights[part].T @ shifted).double()
        second += (weights[part].T @ shifted.square()).double()
    mean = first / total
    variance = (second / total - mean.square()).clamp_min(0)
    return mean + origin.double(), variance.sqrt().clamp_min(_SMALLEST_SPREAD)


def blocks(rows: int) -> Iterator[slice]:
    """Slices of so many rows that what is computed of them stays small."""
    for first in range(0, rows, _ROWS_AT_ONCE):
        yield slice(first, first + _ROWS_AT_ONCE)
