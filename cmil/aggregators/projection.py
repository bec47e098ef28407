"""What every network does first: project single instances."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def projection(dimension: int, widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Build fully connected layers, each followed by ReLU and dropout.

    Parameters
    ----------
    dimension
        D of an instance.
    widths
        Of each layer; the last is that of a projected instance.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise([dimension, *widths]):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
