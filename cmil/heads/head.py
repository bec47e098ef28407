"""The interface of every head."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Head(ABC):
    """What a model's K logits mean: their loss, their rank, and how well they tell patients apart.

    The truth of a patient is a label (0 or 1, or a class from 0), or a time and an event.
    """

    @property
    @abstractmethod
    def outputs(self) -> int:
        """K, the logits that a model gives for a bag."""

    @abstractmethod
    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Give the mean loss of a batch.

        Parameters
        ----------
        logits
            (B, K)
        truth
            (B,) labels, or (B, 2) times and events.
        """

    @abstractmethod
    def rank(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Reduce (n, K) logits to the one number, (n,), that patients are ordered by."""

    @abstractmethod
    def slope(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give how `rank` moves with each logit of one patient, its gradient: (K,) -> (K,).

        What patches contribute to the logits, weighted by it, is what they contribute to the rank,
        to first order; to a rank that is the logit itself, exactly.
        """

    @abstractmethod
    def discrimination(self, logits: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
        """How well (n, K) logits tell patients of different (n, ...) truth apart; 0.5 is chance.

        NaN where no two patients can be compared.
        """
