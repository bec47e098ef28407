"""Bags in which a share of a positive patient's instances lies apart."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

Drawn = tuple[list[Tensor], list[int]]


def _draw_bags(
    patients: int,
    *,
    size: int = 40,
    width: int = 6,
    shift: float = 3,
    share: float = 0.3,
    classes: int = 2,
    seed: int = 0,
) -> Drawn:
    """Noise around a mean of each patient's own; of class c > 0, `share` is moved along axis c."""
    rng = np.random.default_rng(seed)
    labels = [patient % classes for patient in range(patients)]
    bags = []
    for label in labels:
        bag = rng.normal(size=(size, width)) + 0.3 * rng.normal(size=width)
        if label:
            bag[: int(share * size), label] += shift
        bags.append(torch.from_numpy(bag.astype(np.float32)))
    return bags, labels


@pytest.fixture(scope="session")
def draw_bags() -> Callable[..., Drawn]:
    return _draw_bags


@pytest.fixture(scope="session")
def auc() -> Callable[[Sequence[float], Sequence[int]], float]:
    from cmil.validation.discrimination import auc_delong

    return lambda scores, labels: auc_delong(scores, labels).value
