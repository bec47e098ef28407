"""What a model says of parts of a bag; the embeddings are there, only the aggregator runs."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.aggregators import Aggregator, BagModel
from cmil.explanations.projected import projected

Subset = NDArray[np.intp]

# Instances that go through an aggregator at a time; a larger subset goes alone.
_INSTANCES_A_STEP = 4096


def subset_logits(
    model: BagModel, instances: Tensor, subsets: Sequence[Subset]
) -> NDArray[np.float64]:
    """Score every subset of a bag as a bag of its own, in the bag's order.

    Parameters
    ----------
    instances
        (N, D)
    subsets
        S arrays of rows, each with at least one; S at least 1.

    Returns
    -------
    (S, K) logits, as `model.score` gives them.
    """
    model, instances = projected(model, instances)
    subsets = [np.sort(subset) for subset in subsets]
    if not isinstance(model, Aggregator):
        said = [model.score(instances[torch.from_numpy(subset)]).logits for subset in subsets]
        return np.asarray(said, dtype=np.float64)
    model.eval()
    sizes = np.array([len(subset) for subset in subsets])
    batches = list(_batches(sizes))
    found = []
    with torch.inference_mode():
        for numbers in batches:
            longest = int(sizes[numbers].max())
            rows = np.zeros((len(numbers), longest), dtype=np.intp)
            for line, number in enumerate(numbers):
                rows[line, : sizes[number]] = subsets[number]
            mask = torch.from_numpy(np.arange(longest) < sizes[numbers][:, None])
            logits = model(instances[torch.from_numpy(rows)].float(), mask).logits
            found.append((logits - model.level).double().numpy())
    together = np.concatenate(found)
    in_order = np.empty_like(together)
    in_order[np.concatenate(batches)] = together
    return in_order


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
