"""What all aggregators share: project each instance, and say something of it alone."""

from abc import ABC
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from cmil.aggregators import chunked_map
from cmil.aggregators.aggregator import Aggregator, Standardiser
from cmil.aggregators.chunked_map import ChunkedMap, Say
from cmil.aggregators.dropout import Dropout
from cmil.aggregators.linear import Linear
from cmil.aggregators.shape import Shape


class InstanceMap(Aggregator, ABC):
    """An aggregator that sees instances through fully connected layers.

    What is said of instances may hang on tensors `given` beside the parameters; they are handed to
    `say` after the instances.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.standardise = Standardiser(shape.dimension)
        layers: list[nn.Module] = []
        for before, after in pairwise([shape.dimension, *shape.widths]):
            layers += [Linear(before, after), nn.ReLU(), Dropout(shape.dropout)]
        self.project = nn.Sequential(*layers)

    def say_of_all(self, say: Say, instances: Tensor, mask: Tensor, *given: Tensor) -> Tensor:
        """Map every instance that is there; what the mask hides is not looked at.

        Parameters
        ----------
        say
            From projected instances (n, hidden) to (n, F) numbers.
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
            return self._map(say, given, rows, None).view(*mask.shape, -1)
        there = mask.flatten().nonzero()[:, 0]
        said = self._map(say, given, rows, there)
        everywhere = said.new_zeros(len(rows), said.shape[1]).index_copy(0, there, said)
        return everywhere.view(*mask.shape, -1)

    def say_of(self, say: Say, instances: Tensor, chosen: Tensor) -> Tensor:
        """Map chosen instances only.

        Parameters
        ----------
        say
            From projected instances (n, hidden) to (n, F) numbers.
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
        said = self._map(say, (), instances.flatten(0, 1), (chosen + starts).flatten())
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

    def _map(
        self, say: Say, given: tuple[Tensor, ...], rows: Tensor, places: Tensor | None
    ) -> Tensor:
        """Map the rows (M, D) at some places (n,), or all of them: (n, F)."""
        linear = cast("Linear", self.project[0])

        def say_after_dropout(projected: Tensor, *given: Tensor) -> Tensor:
            return say(self.project[2:](projected), *given).float()

        of_rows = ChunkedMap(rows, places, self.standardise.mean, say_after_dropout, given)
        learnt = [p for p in self.parameters() if p is not linear.weight and p is not linear.bias]
        return chunked_map.apply(
            of_rows, linear.weight / self.standardise.spread, linear.bias, learnt
        )
