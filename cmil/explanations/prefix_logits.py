"""How logits change as instances are taken away, or put in, in an order."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cmil.aggregators import BagModel
from cmil.explanations.subset_logits import subset_logits

_CLOSE = 1e-4


def prefix_logits(
    model: BagModel, instances: Tensor, orders: Sequence[NDArray[np.intp]], counts: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Score the first instances of an order as a bag of their own, for several orders and counts.

    Where a model pools linearly, with weights w (its attention, else equal ones) and contributions
    c, a subset S has the logit bias + sum of c over S / sum of w over S: what is left of a softmax
    is only scaled anew. That is taken where it proves equal to the model on
    four subsets of the bag; otherwise the aggregator runs on every subset.

    Parameters
    ----------
    instances
        (N, D)
    orders
        Permutations of the N instances.
    counts
        (C,) from 1 to N.

    Returns
    -------
    (orders, C, K)
    """
    pooled = _pooled_linearly(model, instances, orders)
    if pooled is not None:
        bias, contributions, weights = pooled
        return np.stack(
            [
                bias
                + (contributions[order].cumsum(axis=0) / weights[order].cumsum(axis=0))[counts - 1]
                for order in orders
            ]
        )
    subsets = [order[:count] for order in orders for count in counts]
    return subset_logits(model, instances, subsets).reshape(len(orders), len(counts), -1)


def _pooled_linearly(
    model: BagModel, instances: Tensor, orders: Sequence[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Bias (K,), contributions (N, K) and weights (N, K or 1), if they tell any subset's logits."""
    said = model.score(instances)
    if said.contributions is None or said.contributions.shape[1] != len(said.logits):
        return None
    contributions = said.contributions.astype(np.float64)
    weights = (
        np.full((len(contributions), 1), 1 / len(contributions))
        if said.attention is None
        else said.attention.astype(np.float64)
    )
    if not (weights > 0).all():
        return None
    bias = said.logits - contributions.sum(axis=0)
    half = -(-len(contributions) // 2)
    tried = [orders[0][:1], orders[0][:half], orders[-1][:half], orders[-1][half // 2 : half + 1]]
    expected = [bias + contributions[at].sum(axis=0) / weights[at].sum(axis=0) for at in tried]
    found = subset_logits(model, instances, tried)
    equal = np.allclose(found, expected, rtol=_CLOSE, atol=_CLOSE)
    return (bias, contributions, weights) if equal else None
