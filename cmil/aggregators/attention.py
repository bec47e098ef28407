"""Attention pooling without a gate."""

import torch
from torch import Tensor, nn

from cmil.aggregators.aggregator import Aggregation
from cmil.aggregators.attention_pooling import attend, tanh
from cmil.aggregators.instance_map import InstanceMap
from cmil.aggregators.linear import Linear
from cmil.aggregators.shape import Shape


class Attention(InstanceMap):
    """Attention MIL, Ilse et al. 2018 (ICML, arXiv 1802.04712), eq. 8.

    An instance h has attention softmax over the bag of w . tanh(V h). For all else, and what
    differs from the authors' code, see `GatedAttention`.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.values = Linear(shape.width, shape.attention_width)
        self.weigh = nn.Linear(shape.attention_width, 1, bias=False)  # softmax cancels any bias
        self.classify = nn.Linear(shape.width, shape.outputs)

    def relevance_and_evidence(self, projected: Tensor) -> Tensor:
        """Say all that is pooled of projected instances (n, hidden): (n, 1 + K)."""
        relevance = self.weigh(tanh(self.values(projected)))
        return torch.cat([relevance, projected @ self.classify.weight.T], dim=-1)

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        said = self.say_of_all(self.relevance_and_evidence, instances, mask)
        return Aggregation(*attend(said[..., :1], said[..., 1:], mask, self.classify.bias))
