"""Top-k pooling: the mean of the largest evidences."""

import torch
from torch import Tensor, nn

from cmil.aggregators.aggregator import Aggregation
from cmil.aggregators.instance_map import InstanceMap
from cmil.aggregators.shape import Shape


class TopK(InstanceMap):
    """The logit is the mean of the k largest evidences of a bag, for each output apart.

    The mean over a bag's most suspicious tiles is the pooling of, among others, Campanella et al.
    2019 (Nat Med 25:1301, k = 1) and Courtiol et al. 2018 (arXiv 1802.02212, whose smallest
    evidences are left out here). The k instances are chosen without dropout, and only they are
    learnt from. `Shape.top_k` is from 1 on the number k itself, of a smaller bag all; below 1 the
    share of a bag's instances that k is, rounded up.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.classify = nn.Linear(shape.width, shape.outputs)
        self.most = shape.top_k

    def evidence(self, projected: Tensor) -> Tensor:
        """Say what projected instances (n, hidden) are evidence of: (n, K)."""
        return projected @ self.classify.weight.T

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        counts = self._counts(mask.sum(dim=1))
        judged = self.judge(self.evidence, instances, mask)
        judged = judged.masked_fill(~mask[..., None], -torch.inf)
        chosen = judged.topk(int(counts.max()), dim=1).indices  # (B, k, K)
        # Of a bag that needs fewer than the others, the rest weigh 0; some of it may be hidden, and
        # the bag's largest instance is looked at in its place.
        used = torch.arange(chosen.shape[1], device=mask.device) < counts[:, None]
        chosen = torch.where(used[..., None], chosen, chosen[:, :1])
        weights = (used / counts[:, None])[..., None]
        shares = torch.cat(
            [
                self.say_of(self.evidence, instances, places)[..., output : output + 1] * weights
                for output, places in enumerate(chosen.unbind(dim=-1))
            ],
            dim=-1,
        )
        contributions = torch.zeros_like(judged).scatter_add(1, chosen, shares)
        logits = shares.sum(dim=1) + self.classify.bias
        return Aggregation(logits, contributions, attention=None)

    def _counts(self, sizes: Tensor) -> Tensor:
        if self.most >= 1:
            return sizes.clamp_max(int(self.most))
        # A tenth of 30 is 3, whatever binary fractions say.
        return (sizes.double() * self.most - 1e-9).ceil().long()
