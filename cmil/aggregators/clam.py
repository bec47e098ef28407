"""CLAM: gated attention that is also taught by the instances it looks at most and least."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cmil.aggregators.aggregator import Aggregation
from cmil.aggregators.attention_pooling import attend, gated
from cmil.aggregators.instance_map import InstanceMap
from cmil.aggregators.linear import Linear
from cmil.aggregators.shape import Shape

# The paper's B: instances with most, and as many with least attention, that are taught.
_TAUGHT = 8


class Clam(InstanceMap):
    """Clustering-constrained attention MIL, Lu et al. 2021 (Nat Biomed Eng 5:555), Methods.

    Attention is gated (Ilse et al. 2018, eq. 9). Beside the bag's classifier there is one of
    instances for each class, which learns to tell those with most attention from those with least.
    A binary label has two classes.

    Written from the paper. Differences from it: embeddings are standardised; of a bag of fewer
    than 16 instances the half with more attention is told from the rest, so that none is taught to
    be both; single instances are projected anew for their loss, with dropout of their own.

    Parameters
    ----------
    branches
        Number of attention columns: 1 for all classes, or one for each.
    """

    def __init__(self, shape: Shape, branches: int) -> None:
        super().__init__(shape)
        self.classes = max(shape.outputs, 2)
        self.branches = branches
        self.values_and_gates = Linear(shape.width, 2 * shape.attention_width)
        # Softmax cancels any bias.
        self.weigh = nn.Linear(shape.attention_width, branches, bias=False)
        self.classify = nn.Linear(shape.width, max(shape.outputs, branches))
        self.tell_apart = nn.Linear(shape.width, 2 * self.classes)

    def relevance_and_evidence(self, projected: Tensor) -> Tensor:
        """Say all that is pooled of projected instances (n, hidden): (n, H + outputs)."""
        relevance = self.weigh(gated(self.values_and_gates(projected)))
        return torch.cat([relevance, projected @ self.classify.weight.T], dim=-1)

    def attended(
        self, instances: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Pool with every branch: (B, N, D) and (B, N) bool, to the parts of an `Aggregation`."""
        said = self.say_of_all(self.relevance_and_evidence, instances, mask)
        relevance, evidence = said[..., : self.branches], said[..., self.branches :]
        logits, contributions, attention = attend(relevance, evidence, mask, self.classify.bias)
        loss = self._instance_loss(instances, mask, attention.detach())
        return logits, contributions, attention, loss

    def _instance_loss(
        self, instances: Tensor, mask: Tensor, attention: Tensor
    ) -> Callable[[Tensor], Tensor]:
        def loss(truth: Tensor) -> Tensor:
            sizes = mask.sum(dim=1)[:, None]
            rank = torch.arange(min(_TAUGHT, -(-mask.shape[1] // 2)), device=mask.device)
            most_used, least_used = rank < (sizes + 1) // 2, rank < sizes // 2  # (B, k)
            looked_at = attention.masked_fill(~mask[..., None], -torch.inf)
            passed_over = (-attention).masked_fill(~mask[..., None], -torch.inf)
            # How far "in the cluster" leads "outside", of each instance for each class: (B, k, C).
            most = self._leads(instances, looked_at.topk(len(rank), dim=1).indices, most_used)
            least = self._leads(instances, passed_over.topk(len(rank), dim=1).indices, least_used)
            most_used, least_used = most_used[..., None], least_used[..., None]
            of_class = (_svm(most) * most_used + _svm(-least) * least_used).sum(dim=1)
            of_class = of_class / (most_used.sum(dim=1) + least_used.sum(dim=1))
            of_others = (_svm(-most) * most_used).sum(dim=1) / most_used.sum(dim=1)
            is_class = nn.functional.one_hot(truth, self.classes).bool()
            return self._over_classes(of_class, of_others, is_class).mean()

        return loss

    def _over_classes(self, of_class: Tensor, of_others: Tensor, is_class: Tensor) -> Tensor:
        """(B,): where classes exclude each other, what is attended is no evidence of the others.

        A patient with metastasis has instances of patients without; so with a binary label, as in
        the paper, only the classifier of the bag's own class is taught.
        """
        if self.classes == 2:
            return (of_class * is_class).sum(dim=1)
        return torch.where(is_class, of_class, of_others).mean(dim=1)

    def _leads(self, instances: Tensor, chosen: Tensor, used: Tensor) -> Tensor:
        """Score chosen instances (B, k, H) by the classifiers of all classes: (B, k, C)."""
        chosen = torch.where(used[..., None], chosen, chosen[:, :1])
        of_branches = [
            self.say_of(self.tell_apart, instances, places).unflatten(-1, (self.classes, 2))
            for places in chosen.unbind(dim=-1)
        ]
        leads = torch.stack([scores[..., 1] - scores[..., 0] for scores in of_branches], dim=-1)
        if self.branches == 1:
            return leads[..., 0]
        return leads.diagonal(dim1=-2, dim2=-1)


class ClamSb(Clam):
    """CLAM with a single attention branch: all classes look at the same instances."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, branches=1)

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        return Aggregation(*self.attended(instances, mask))


class ClamMb(Clam):
    """CLAM with an attention branch for each class, each with its own classifier.

    Of a binary label there are two branches, without and with; the logit is how far the second
    leads, and the attention that is reported is the second's.
    """

    def __init__(self, shape: Shape) -> None:
        branches = max(shape.outputs, 2)
        super().__init__(shape, branches)
        self.outputs = shape.outputs

    def forward(self, instances: Tensor, mask: Tensor) -> Aggregation:
        """Aggregate a batch of bags: (B, N, D) and (B, N) bool."""
        logits, contributions, attention, loss = self.attended(instances, mask)
        if self.outputs == 1:
            logits, contributions = logits.diff(dim=-1), contributions.diff(dim=-1)
            attention = attention[..., 1:]
        return Aggregation(logits, contributions, attention, loss)


def _svm(lead: Tensor) -> Tensor:
    """Smooth top-1 SVM loss of two classes, Berrada et al. 2018 (ICLR), eq. 5, tau = alpha = 1.

    log(1 + exp(1 - lead)), where lead is the true class's score less the other's.
    """
    return nn.functional.softplus(1 - lead)
