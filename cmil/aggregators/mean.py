"""Mean pooling: every instance counts the same. The baseline attention has to beat."""

from collections.abc import Sequence

from torch import Tensor, nn

from cmil.aggregators.aggregator import Aggregation, Aggregator, Standardiser
from cmil.aggregators.projection import projection


class Mean(Aggregator):
    """Project each instance, average over the bag, classify the average linearly."""

    def __init__(self, dimension: int, outputs: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.standardise = Standardiser(dimension)
        self.project = projection(dimension, widths, dropout)
        self.classify = nn.Linear(widths[-1], outputs)

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        projected = self.project(self.standardise(instances))
        evidence = projected @ self.classify.weight.T
        weights = (mask / mask.sum(dim=1, keepdim=True))[..., None]
        contributions = (evidence * weights).masked_fill(~mask[..., None], 0)
        logits = contributions.sum(dim=1) + self.classify.bias
        return Aggregation(logits, contributions, attention=None)
