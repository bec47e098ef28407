"""What all aggregators share: project each instance, and say something of it alone.

Instances are read in chunks, straight from the precision a bag is stored in, so no second copy of
it is made. What training keeps for the way back is the projected instances, and not even those
where they would take more than `KEPT_BYTES`: then each chunk is computed a second time. So memory
does not grow with the embeddings' width, and hardly with the bag.
"""

from abc import ABC
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cmil.aggregators.aggregator import Aggregator, Standardiser

# Instances that are mapped at once: enough for an efficient matrix product, few enough for what
# lies between two products to stay in the processor's cache.
CHUNK = 2048
# Instances of a step above which what follows the projection is computed again on the way back.
RECOMPUTE_ABOVE = 16_384
# 100,000 projected instances of width 512 in float32 are kept, more are computed again.
KEPT_BYTES = 210_000_000

Say = Callable[[Tensor], Tensor]
"""From (n, hidden) projected instances to (n, F) numbers."""


class InstanceMap(Aggregator, ABC):
    """An aggregator that sees instances through fully connected layers.

    Parameters
    ----------
    dimension
        D of an instance.
    widths
        Of each layer, which ReLU and dropout follow; the last is that of a projected instance.
    """

    def __init__(self, dimension: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.standardise = Standardiser(dimension)
        layers: list[nn.Module] = []
        for before, after in pairwise([dimension, *widths]):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.project = nn.Sequential(*layers)
        self.width = widths[-1]

    def say_of_all(self, say: Say, instances: Tensor, mask: Tensor) -> Tensor:
        """Map every instance that is there; what the mask hides is not looked at.

        Parameters
        ----------
        say
            From projected instances to F numbers each.
        instances
            (B, N, D) in any floating type.
        mask
            (B, N) bool.

        Returns
        -------
        (B, N, F) float32, 0 where the mask is False.
        """
        rows = instances.flatten(0, 1)
        if mask.all():
            return self._say(say, rows, None).view(*mask.shape, -1)
        there = mask.flatten().nonzero()[:, 0]
        said = self._say(say, rows, there)
        everywhere = said.new_zeros(len(rows), said.shape[1]).index_copy(0, there, said)
        return everywhere.view(*mask.shape, -1)

    def say_of(self, say: Say, instances: Tensor, chosen: Tensor) -> Tensor:
        """Map chosen instances only.

        Parameters
        ----------
        say
            From projected instances to F numbers each.
        instances
            (B, N, D) in any floating type.
        chosen
            (B, k) int64, places in each bag.

        Returns
        -------
        (B, k, F) float32.
        """
        bags, longest = instances.shape[:2]
        starts = longest * torch.arange(bags, device=chosen.device)[:, None]
        said = self._say(say, instances.flatten(0, 1), (chosen + starts).flatten())
        return said.view(*chosen.shape, -1)

    def judge(self, say: Say, instances: Tensor, mask: Tensor) -> Tensor:
        """Map as `say_of_all` does, to choose instances by: no dropout and no way back."""
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                return self.say_of_all(say, instances, mask)
        finally:
            self.train(training)

    def _say(self, say: Say, rows: Tensor, places: Tensor | None) -> Tensor:
        """Map the rows (M, D) at some places (n,), or all of them: (n, F)."""
        linear = cast("nn.Linear", self.project[0])
        standard = self.standardise
        scaled = linear.weight / standard.spread
        precision = _precision(rows)
        count = len(rows) if places is None else len(places)
        kept_bytes = count * linear.out_features * precision.itemsize
        keep_head = not torch.is_grad_enabled() or count <= RECOMPUTE_ABOVE
        keep_projected = not torch.is_grad_enabled() or kept_bytes <= KEPT_BYTES

        def head(projected: Tensor) -> Tensor:
            return say(self.project[2:](projected)).float()

        def of(where: slice | Tensor) -> Tensor:
            projected = _projected(rows, where, standard.mean, scaled, linear.bias, precision)
            return head(projected) if keep_head else _computed_twice(head, projected)

        said = []
        for first in range(0, count, CHUNK):
            chunk = slice(first, first + CHUNK)
            where = chunk if places is None else places[chunk]
            said.append(of(where) if keep_projected else _computed_twice(of, where))
        return torch.cat(said)


def _precision(rows: Tensor) -> torch.dtype:
    """Of matrix products: float32, or what autocast says."""
    device = rows.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return torch.float32


def _computed_twice(function: Callable[..., Tensor], argument: object) -> Tensor:
    return cast("Tensor", checkpoint(function, argument, use_reentrant=False))


def _projected(
    rows: Tensor,
    where: slice | Tensor,
    mean: Tensor,
    scaled: Tensor,
    bias: Tensor,
    precision: torch.dtype,
) -> Tensor:
    if rows.requires_grad:  # of an explanation: autograd then takes care of the rows
        rows, where = rows[where], slice(None)
    project: Callable[..., Tensor] = _Projection.apply
    return project(rows, where, mean, scaled, bias, precision)


class _Projection(torch.autograd.Function):
    """ReLU((x - mean) scaled^T + bias) of some rows, which keeps nothing but its result.

    The mean is taken off in float32 before anything is rounded: embeddings may lie far from 0.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        where: slice | Tensor,
        mean: Tensor,
        scaled: Tensor,
        bias: Tensor,
        precision: torch.dtype,
    ) -> Tensor:
        centred = _centred(rows, where, mean, precision)
        weight = scaled.to(precision)
        projected = nn.functional.linear(centred, weight, bias.to(precision)).relu_()
        ctx.save_for_backward(rows, mean, weight, projected)
        ctx.where = where
        return projected

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, mean, weight, projected = ctx.saved_tensors
        gradient = torch.where(projected > 0, gradients[0], 0).to(weight.dtype)
        of_rows = (gradient @ weight).to(rows.dtype) if ctx.needs_input_grad[0] else None
        centred = _centred(rows, ctx.where, mean, weight.dtype)
        of_weight = (gradient.T @ centred).float()
        return of_rows, None, None, of_weight, gradient.float().sum(dim=0), None


def _centred(rows: Tensor, where: slice | Tensor, mean: Tensor, precision: torch.dtype) -> Tensor:
    taken = rows.detach()[where].to(torch.float32, copy=True)
    return taken.sub_(mean).to(precision)
