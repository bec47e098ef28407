"""What every fitted model of a fold can do: score one bag."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class BagScore:
    """What one model says of one bag of N instances; K outputs, one for a binary label.

    Attributes
    ----------
    logits
        (K,) float64.
    contributions
        (N, K) signed shares that sum to the logits less the model's bias, or None where no such
        shares are defined.
    attention
        (N, H) non-negative, each column summing to 1, with one column for all outputs (H = 1) or
        one for each (H = K); None where the model has none.
    """

    logits: NDArray[np.float64]
    contributions: NDArray[np.float32] | None
    attention: NDArray[np.float32] | None

    @property
    def logit(self) -> float:
        """The single logit of a model with one output."""
        return float(self.logits.item())


class BagModel(nn.Module, ABC):
    """A fitted model of one fold; its tensors are all that has to be stored of it."""

    @abstractmethod
    def score(self, instances: Tensor) -> BagScore:
        """Score all instances of a bag, (N, D) in any floating type, without sampling."""
