"""Gated attention pooling."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cmil.aggregators.aggregator import Aggregation, Aggregator, Standardiser
from cmil.aggregators.projection import projection


class GatedAttention(Aggregator):
    """Gated attention MIL, Ilse et al. 2018 (ICML, arXiv 1802.04712), eq. 9.

    An instance h has attention softmax over the bag of w . (tanh(V h) * sigmoid(U h)); the bag is
    the attention-weighted sum of its projected instances, classified linearly. As the classifier
    is linear, attention times the instance's own evidence is its exact share of the logit.

    Differences from the authors' code (AMLab-Amsterdam/AttentionDeepMIL): embeddings are
    standardised and come from a frozen encoder, V and U are one matrix product, bags are padded
    and masked, dropout follows the projection.
    """

    def __init__(
        self,
        dimension: int,
        outputs: int,
        widths: Sequence[int],
        attention_width: int,
        dropout: float,
    ) -> None:
        super().__init__()
        hidden = widths[-1]
        self.standardise = Standardiser(dimension)
        self.project = projection(dimension, widths, dropout)
        self.values_and_gates = nn.Linear(hidden, 2 * attention_width)
        self.weigh = nn.Linear(attention_width, 1, bias=False)  # softmax cancels any bias
        self.classify = nn.Linear(hidden, outputs)

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        projected = self.project(self.standardise(instances))
        values, gates = self.values_and_gates(projected).chunk(2, dim=-1)
        relevance = self.weigh(torch.tanh(values) * torch.sigmoid(gates))
        attention = torch.softmax(relevance.masked_fill(~mask[..., None], -torch.inf), dim=1)
        evidence = projected @ self.classify.weight.T
        contributions = (attention * evidence).masked_fill(~mask[..., None], 0)
        logits = contributions.sum(dim=1) + self.classify.bias
        return Aggregation(logits, contributions, attention)
