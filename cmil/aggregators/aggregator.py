"""The interface of every aggregator, and what they share."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from cmil.aggregators.bag_model import BagModel, BagScore
from cmil.instances import Instances, blocks_of
from cohorts.errors import DataError

# An embedding that never varies in training carries nothing; dividing by its spread would blow up
# whatever it does elsewhere.
_SMALLEST_SPREAD = 1e-4
_BLOCK = 1024


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
        Maps the truth of the batch, (B,) int64 classes from 0, to a loss on single instances, to
        be added to the bag's, where the aggregator is trained with one; called in training only.
    """

    logits: Tensor
    contributions: Tensor | None
    attention: Tensor | None
    instance_loss: Callable[[Tensor], Tensor] | None = None


class Aggregator(BagModel):
    """Maps padded bags to logits.

    Attributes
    ----------
    order_matters
        Whether the same instances in another order give another logit.
    level
        () taken off the logits of a score. A partial likelihood leaves the level of a log hazard
        open: there it is the mean over the training patients, so that fold models compare.
    """

    standardise: "Standardiser"
    level: Tensor
    order_matters: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.zeros(()))

    @abstractmethod
    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags.

        Parameters
        ----------
        instances
            (B, N, D) embeddings in any floating type; what lies where `mask` is False is ignored.
        mask
            (B, N) bool, True where there is an instance; at least one in each bag.
        """

    def score(self, instances: Tensor) -> BagScore:
        """Score all instances of a bag, (N, D) in any floating type, without sampling."""
        self.eval()
        device = next(self.parameters()).device
        with torch.inference_mode():
            mask = torch.ones(1, len(instances), dtype=torch.bool, device=device)
            result = self(instances.to(device)[None], mask)
            logits = (result.logits[0] - self.level).cpu().numpy()
        shares = (result.contributions, result.attention)
        contributions, attention = (None if x is None else x[0].cpu().numpy() for x in shares)
        return BagScore(logits.astype(np.float64), contributions, attention)


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

    def fit(self, bags: Sequence[Instances]) -> None:
        """Take mean and standard deviation over instances, every patient counting the same.

        Parameters
        ----------
        bags
            (N, D) instances of each patient; they are read a block at a time.

        Raises
        ------
        DataError
            If embeddings are too large for their spread to be a finite number.
        """
        # Sums of squares are taken about an instance, so that float32 does for those of a block.
        near = bags[0][:1].float()[0]
        mean = torch.zeros(len(self.mean), dtype=torch.float64)
        square = torch.zeros_like(mean)
        for bag in bags:
            for rows in blocks_of(bag, _BLOCK):
                block = bag[rows].to(torch.float32, copy=True).sub_(near)
                mean += block.sum(dim=0) / len(bag) / len(bags)
                square += block.square_().sum(dim=0) / len(bag) / len(bags)
        variance = (square - mean.square()).clamp_min(0)
        if not variance.isfinite().all():
            raise DataError(
                "embeddings are too large: their spread over the training patients is no finite "
                "number; look for values such as 1e30 in the bags, and extract those slides again"
            )
        self.mean.copy_(mean + near)
        self.spread.copy_(variance.sqrt().clamp_min(_SMALLEST_SPREAD))

    def forward(self, instances: Tensor) -> Tensor:
        """Standardise (..., D) embeddings."""
        return (instances - self.mean) / self.spread
