"""How wide a network is."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """What an aggregator's layers are built from; each takes of it what it has.

    Attributes
    ----------
    dimension
        D of an instance.
    outputs
        K, the logits of a bag.
    widths
        Of the fully connected layers that project an instance, which ReLU and dropout follow.
    attention_width
        Of the network of attention.
    dropout
        Share of a projection's numbers left out in training.
    top_k
        Instances that `TopK` averages: from 1 on their number, below 1 their share of the bag.
    """

    dimension: int
    outputs: int
    widths: Sequence[int]
    attention_width: int
    dropout: float
    top_k: float

    @property
    def width(self) -> int:
        """Of a projected instance."""
        return self.widths[-1]
