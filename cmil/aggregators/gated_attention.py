"""Gated attention pooling."""

import torch
from torch import Tensor, nn

from cmil.aggregators.aggregator import Aggregation
from cmil.aggregators.attention_pooling import attend, gated
from cmil.aggregators.instance_map import InstanceMap
from cmil.aggregators.linear import Linear
from cmil.aggregators.shape import Shape


class GatedAttention(InstanceMap):
    """Gated attention MIL, Ilse et al. 2018 (ICML, arXiv 1802.04712), eq. 9.

    An instance h has attention softmax over the bag of w . (tanh(V h) * sigmoid(U h)); the bag is
    the attention-weighted sum of its projected instances, classified linearly. As the classifier
    is linear, attention times the instance's own evidence is its exact share of the logit.

    Differences from the authors' code (AMLab-Amsterdam/AttentionDeepMIL): embeddings are
    standardised and come from a frozen encoder, V and U are one matrix product, bags are padded
    and masked, dropout follows the projection.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.values_and_gates = Linear(shape.width, 2 * shape.attention_width)
        self.weigh = nn.Linear(shape.attention_width, 1, bias=False)  # softmax cancels any bias
        self.classify = nn.Linear(shape.width, shape.outputs)

    def relevance_and_evidence(self, projected: Tensor) -> Tensor:
        """Say all that is pooled of projected instances (n, hidden): (n, 1 + K)."""
        relevance = self.weigh(gated(self.values_and_gates(projected)))
        return torch.cat([relevance, projected @ self.classify.weight.T], dim=-1)

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        said = self.say_of_all(self.relevance_and_evidence, instances, mask)
        return Aggregation(*attend(said[..., :1], said[..., 1:], mask, self.classify.bias))
