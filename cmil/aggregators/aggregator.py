"""The interface of every aggregator, and what they share."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cmil.aggregators.bag_model import BagModel, BagScore

# An embedding that never varies in training carries nothing; dividing by its spread would blow up
# whatever it does elsewhere.
_SMALLEST_SPREAD = 1e-4


@dataclass(frozen=True)
class Aggregation:
    """What an aggregator says of a batch of bags; K outputs, one for a binary label.

    Attributes
    ----------
    logits
        (B, K)
    contributions
        (B, N, K), signed share of each instance in each logit: their sum over a bag is the logit
        less the bias. 0 where the mask is False; None where no such shares are defined.
    attention
        (B, N, H), non-negative, summing to 1 over a bag, with one column for all outputs (H = 1)
        or one for each (H = K); None where the aggregator has none.
    instance_loss
        Maps the truth of the batch to a loss on single instances, to be added to the bag's, where
        the aggregator is trained with one; called in training only.
    """

    logits: Tensor
    contributions: Tensor | None
    attention: Tensor | None
    instance_loss: Callable[[Tensor], Tensor] | None = None


class Aggregator(BagModel):
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

    def score(self, instances: Tensor) -> BagScore:
        """Score all instances of a bag, (N, D) in any floating type, without sampling."""
        self.eval()
        with torch.inference_mode():
            mask = torch.ones(1, len(instances), dtype=torch.bool)
            result = self(instances.float()[None], mask)
        shares = (result.contributions, result.attention)
        contributions, attention = (None if x is None else x[0].numpy() for x in shares)
        return BagScore(result.logits[0].numpy().astype(np.float64), contributions, attention)


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
