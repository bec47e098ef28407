"""Additive attention: evidence of an instance need not be linear, and still sums to the logit."""

import torch
from torch import Tensor, nn

from cmil.aggregators.aggregator import Aggregation
from cmil.aggregators.attention_pooling import attend, gated
from cmil.aggregators.instance_map import InstanceMap
from cmil.aggregators.linear import Linear
from cmil.aggregators.shape import Shape


class AdditiveAttention(InstanceMap):
    """Additive MIL, Javed et al. 2022 (NeurIPS, arXiv 2206.01794), eq. 4 and 5.

    The logit is the sum over instances of p(a h): a network p sees each instance h scaled by its
    attention a, and what it says is the instance's contribution. Contributions sum to the logit;
    there is no bias beside them. p has one hidden layer of `attention_width`.

    Differences from the paper: the layers of p have no bias. Otherwise p(0) is not 0, each
    instance that attention passes over adds it, and the logit grows with the bag. Without bias, and
    with ReLU, p(a h) = a p(h), which is what is computed. Attention is gated (Ilse et al. 2018).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.values_and_gates = Linear(shape.width, 2 * shape.attention_width)
        self.weigh = nn.Linear(shape.attention_width, 1, bias=False)  # softmax cancels any bias
        self.contribute = nn.Sequential(
            nn.Linear(shape.width, shape.attention_width, bias=False),
            nn.ReLU(),
            nn.Linear(shape.attention_width, shape.outputs, bias=False),
        )

    def relevance_and_evidence(self, projected: Tensor) -> Tensor:
        """Say all that is pooled of projected instances (n, hidden): (n, 1 + K)."""
        relevance = self.weigh(gated(self.values_and_gates(projected)))
        return torch.cat([relevance, self.contribute(projected)], dim=-1)

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        said = self.say_of_all(self.relevance_and_evidence, instances, mask)
        return Aggregation(*attend(said[..., :1], said[..., 1:], mask, bias=None))
