"""Max pooling: the bag is what its most suspicious instance is."""

from dataclasses import replace

from cmil.aggregators.shape import Shape
from cmil.aggregators.top_k import TopK


class Max(TopK):
    """The logit is the largest evidence of a bag, for each output apart.

    The one pooling of these that follows the standard assumption of multiple-instance learning to
    the letter: a bag is positive if and only if an instance is. The largest instance carries the
    whole logit, and only it is learnt from.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(replace(shape, top_k=1))
