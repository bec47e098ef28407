"""How a logit changes as instances are taken away, or put in, in an order."""

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
    (orders, C)
    """
    pooled = _pooled_linearly(model, instances, orders)
    if pooled is not None:
        bias, contributions, weights = pooled
        return np.stack(
            [
                bias + (np.cumsum(contributions[order]) / np.cumsum(weights[order]))[counts - 1]
                for order in orders
            ]
        )
    subsets = [order[:count] for order in orders for count in counts]
    return subset_logits(model, instances, subsets).reshape(len(orders), len(counts))


def _pooled_linearly(
    model: BagModel, instances: Tensor, orders: Sequence[NDArray[np.intp]]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]] | None:
    """Bias, (N,) contributions and (N,) weights, if they tell the logit of any subset."""
    said = model.score(instances)
    if said.contributions is None:
        return None
    contributions = said.contributions[:, -1].astype(np.float64)
    weights = (
        np.full(len(contributions), 1 / len(contributions))
        if said.attention is None
        else said.attention[:, -1].astype(np.float64)
    )
    if not (weights > 0).all():
        return None
    bias = float(said.logits[-1] - contributions.sum())
    half = -(-len(contributions) // 2)
    tried = [orders[0][:1], orders[0][:half], orders[-1][:half], orders[-1][half // 2 : half + 1]]
    expected = [bias + contributions[rows].sum() / weights[rows].sum() for rows in tried]
    found = subset_logits(model, instances, tried)
    equal = np.allclose(found, expected, rtol=_CLOSE, atol=_CLOSE)
    return (bias, contributions, weights) if equal else None
