"""Mean pooling: every instance counts the same. The baseline attention has to beat."""

from torch import Tensor, nn

from cmil.aggregators.aggregator import Aggregation
from cmil.aggregators.instance_map import InstanceMap
from cmil.aggregators.shape import Shape


class Mean(InstanceMap):
    """Project each instance, average over the bag, classify the average linearly."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.classify = nn.Linear(shape.width, shape.outputs)

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        evidence = self.say_of_all(lambda h: h @ self.classify.weight.T, instances, mask)
        contributions = evidence / mask.sum(dim=1)[:, None, None]
        logits = contributions.sum(dim=1) + self.classify.bias
        return Aggregation(logits, contributions, attention=None)
