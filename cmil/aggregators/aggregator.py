"""The interface of every aggregator, and what they share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# An embedding that never varies in training carries nothing; dividing by its spread would blow up
# whatever it does elsewhere.
_SMALLEST_SPREAD = 1e-4


@dataclass(frozen=True)
class Aggregation:
    """What an aggregator says of a batch of bags.

    Attributes
    ----------
    logits
        (B,)
    contributions
        (B, N), signed share of each instance in the logit: their sum over a bag is the logit
        less the bias. 0 where the mask is False.
    attention
        (B, N), non-negative, summing to 1 over a bag; None where the aggregator has none.
    """

    logits: Tensor
    contributions: Tensor
    attention: Tensor | None


class Aggregator(nn.Module, ABC):
    """Maps padded bags to logits; the order of instances makes no difference."""

    standardise: "Standardiser"

    @abstractmethod
    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags.

        Parameters
        ----------
        instances
            (B, N, D) embeddings; what lies where `mask` is False is ignored.
        mask
            (B, N) bool, True where there is an instance; at least one in each bag.
        """


class Standardiser(nn.Module):
    """Centre and scale embeddings by what the training patients showed.

    Encoders differ by orders of magnitude in the scale of their embeddings; with this, one
    learning rate serves them all. The statistics are buffers of the model: fitted on a fold's
    training patients, frozen with it, and applied to every other patient unchanged.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("spread", torch.ones(dimension))

    def fit(self, bags: list[Tensor]) -> None:
        """Take mean and standard deviation over instances, every patient counting the same.

        Parameters
        ----------
        bags
            One (N, D) tensor a patient.
        """
        means = torch.stack([bag.double().mean(dim=0) for bag in bags])
        squares = torch.stack([bag.double().square().mean(dim=0) for bag in bags])
        mean = means.mean(dim=0)
        variance = (squares.mean(dim=0) - mean.square()).clamp_min(0)
        self.mean.copy_(mean)
        self.spread.copy_(variance.sqrt().clamp_min(_SMALLEST_SPREAD))

    def forward(self, instances: Tensor) -> Tensor:
        """Standardise (..., D) embeddings."""
        return (instances - self.mean) / self.spread
