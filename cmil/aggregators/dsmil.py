"""DSMIL: the most suspicious instance, and attention by likeness to it."""

import torch
from torch import Tensor, nn

from cmil.aggregators.aggregator import Aggregation
from cmil.aggregators.attention_pooling import attend
from cmil.aggregators.instance_map import InstanceMap
from cmil.aggregators.shape import Shape


class Dsmil(InstanceMap):
    """Dual-stream MIL, Li et al. 2021 (CVPR, arXiv 2011.08939), eq. 2 to 7.

    The first stream scores each instance; the largest score, of the critical instance, is the
    stream's logit. In the second, an instance's attention is the softmax over the bag of its
    query's scalar product with the critical instance's, and the bag is the attention-weighted sum
    of values. The logit is the mean of both streams. Each output has a critical instance of its
    own. Contributions are those of both streams.

    Differences from the paper and the authors' code (binli123/dsmil-wsi): embeddings are
    standardised, projected, and are the values themselves; queries are one layer, scaled by the
    root of their width as in the code; each output is classified from its own bag embedding; the
    critical instance is chosen without dropout. The loss on the first stream is the instance loss;
    the other is on the mean of both.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.judge_instance = nn.Linear(shape.width, shape.outputs)
        self.query = nn.Linear(shape.width, shape.attention_width)
        self.classify = nn.Linear(shape.width, shape.outputs)

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        bags, hidden = len(mask), ~mask[..., None]
        judged = self.judge(self.judge_instance, instances, mask).masked_fill(hidden, -torch.inf)
        critical = judged.argmax(dim=1)  # (B, K)
        said = self.say_of(self._query_and_score, instances, critical)
        queries, scores = said.tensor_split([self.query.out_features], dim=-1)
        scores = scores.diagonal(dim1=1, dim2=2)  # (B, K)
        # q(h) . q(critical) is linear in h but for what softmax cancels: a column for each bag.
        likeness = (queries @ self.query.weight).flatten(0, 1) / self.query.out_features**0.5
        said = self.say_of_all(self._likeness_and_evidence, instances, mask, likeness)
        relevance, evidence = said.tensor_split([-self.classify.out_features], dim=-1)
        own = torch.arange(bags, device=mask.device)
        relevance = relevance.unflatten(-1, (bags, -1))[own, :, own]
        logits, contributions, attention = attend(relevance, evidence, mask, self.classify.bias)
        of_critical = (scores - self.judge_instance.bias)[:, None]
        first = torch.zeros_like(evidence).scatter(1, critical[:, None], of_critical)
        return Aggregation(
            (scores + logits) / 2,
            (first + contributions) / 2,
            attention,
            lambda truth: _loss_on(scores, truth),
        )

    def _likeness_and_evidence(self, projected: Tensor, likeness: Tensor) -> Tensor:
        return projected @ torch.cat([likeness, self.classify.weight]).T

    def _query_and_score(self, projected: Tensor) -> Tensor:
        return torch.cat([self.query(projected), self.judge_instance(projected)], dim=-1)


def _loss_on(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of (B, K) logits, or of the single one of a binary label."""
    if logits.shape[1] > 1:
        return nn.functional.cross_entropy(logits, truth)
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], truth.to(logits.dtype))
