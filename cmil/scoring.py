"""Run a trained aggregator over whole bags."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.aggregators import Aggregator


@dataclass(frozen=True)
class BagScore:
    """What one model says of one bag of N instances.

    Attributes
    ----------
    contributions
        (N,) signed shares; they sum to the logit less the model's bias.
    attention
        (N,) summing to 1, or None where the aggregator has none.
    """

    logit: float
    contributions: NDArray[np.float32]
    attention: NDArray[np.float32] | None


def score_bag(model: Aggregator, instances: Tensor) -> BagScore:
    """Score all instances of a bag, (N, D) in any floating type, without sampling."""
    model.eval()
    with torch.inference_mode():
        batch = instances.float()[None]
        mask = torch.ones(batch.shape[:2], dtype=torch.bool)
        result = model(batch, mask)
    attention = None if result.attention is None else result.attention[0].numpy()
    return BagScore(float(result.logits[0]), result.contributions[0].numpy(), attention)
