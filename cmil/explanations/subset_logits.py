"""What a model says of parts of a bag; the embeddings are there, only the aggregator runs."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.aggregators import Aggregator, BagModel
from cmil.explanations.projected import projected

Subset = NDArray[np.intp]
Rank = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# Instances that go through an aggregator at a time; a larger subset goes alone.
_INSTANCES_A_STEP = 4096


def the_only_one(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reduce (n, 1) logits to (n,)."""
    return logits[:, 0]


def subset_logits(
    model: BagModel, instances: Tensor, subsets: Sequence[Subset], rank: Rank = the_only_one
) -> NDArray[np.float64]:
    """Score every subset of a bag as a bag of its own, in the bag's order.

    Parameters
    ----------
    instances
        (N, D)
    subsets
        S arrays of rows, each with at least one.
    rank
        Makes one number of (n, K) logits, as the model's head does.

    Returns
    -------
    (S,) of the logits.
    """
    model, instances = projected(model, instances)
    subsets = [np.sort(subset) for subset in subsets]
    logits = np.empty(len(subsets))
    if not isinstance(model, Aggregator):
        for number, subset in enumerate(subsets):
            said = model.score(instances[torch.from_numpy(subset)]).logits
            logits[number] = rank(np.asarray(said, dtype=np.float64)[None])[0]
        return logits
    model.eval()
    sizes = np.array([len(subset) for subset in subsets])
    with torch.inference_mode():
        for numbers in _batches(sizes):
            longest = int(sizes[numbers].max())
            rows = np.zeros((len(numbers), longest), dtype=np.intp)
            for line, number in enumerate(numbers):
                rows[line, : sizes[number]] = subsets[number]
            mask = torch.from_numpy(np.arange(longest) < sizes[numbers][:, None])
            found = model(instances[torch.from_numpy(rows)].float(), mask)
            logits[numbers] = rank(found.logits.double().numpy())
    return logits


def _batches(sizes: NDArray[np.int_]) -> Iterator[Subset]:
    """Put subsets of like size together, so that little is padded."""
    ascending = np.argsort(sizes, kind="stable")
    first = 0
    for end in range(1, len(ascending) + 1):
        full = end == len(ascending) or (
            sizes[ascending[end]] * (end + 1 - first) > _INSTANCES_A_STEP
        )
        if full:
            yield ascending[first:end]
            first = end
