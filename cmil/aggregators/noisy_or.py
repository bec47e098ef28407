"""Noisy-or pooling: the bag is positive unless every instance fails to make it so."""

import math

import torch
from torch import Tensor, nn

from cmil.aggregators.aggregator import Aggregation
from cmil.aggregators.instance_map import InstanceMap
from cmil.aggregators.shape import Shape

# Chance of a single instance before anything is learnt. With one half, as a network gives it, a
# bag of 1,000 starts at a logit of 700, from which learning takes long to come back.
_FIRST_CHANCE = 0.01
# exp of less is 0 in float64.
_LOWEST_SCORE = -700.0
# Below, exp(s) - 1 is s (1 + s / 2) to the last digit of float64.
_SMALL = 1e-5


class NoisyOr(InstanceMap):
    """Noisy-or of instance probabilities (Maron & Lozano-Pérez 1998, NIPS; Zhang et al. 2006).

    P = 1 - prod(1 - p_i) over a bag, where p_i is the sigmoid of instance i's score. No share of
    the logit is one instance's: contributions are not defined.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.classify = nn.Linear(shape.width, shape.outputs)
        nn.init.constant_(self.classify.bias, math.log(_FIRST_CHANCE / (1 - _FIRST_CHANCE)))

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        scores = self.say_of_all(self.classify, instances, mask)
        return Aggregation(noisy_or(scores, mask), contributions=None, attention=None)


def noisy_or(scores: Tensor, mask: Tensor) -> Tensor:
    """Logit of P = 1 - prod(1 - p_i), where p_i is the sigmoid of a score.

    Parameters
    ----------
    scores
        (B, N, K)
    mask
        (B, N) bool; what it hides takes no part.

    Returns
    -------
    (B, K), in the scores' type. With s = -log prod(1 - p_i), a sum of softplus, it is
    log(exp(s) - 1). s is summed in float64: its terms range over hundreds of orders of magnitude.
    """
    failures = nn.functional.softplus(scores.double().clamp_min(_LOWEST_SCORE))
    total = failures.masked_fill(~mask[..., None], 0).sum(dim=1)
    # Where one form is not used it is fed with what it can bear, for its gradient's sake.
    small = total < _SMALL
    large_total = torch.where(small, 1.0, total)
    large = large_total + torch.log(-torch.expm1(-large_total))
    small_total = torch.where(small, total, _SMALL)
    logit = torch.where(small, small_total.log() + small_total / 2, large)
    return logit.to(scores.dtype)
