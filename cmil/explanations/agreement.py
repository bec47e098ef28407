"""Whether models that were trained on other patients, or from another seed, look at the same."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cmil.explanations.concentration import highest


def rank_agreement(maps: Sequence[NDArray[np.floating]]) -> float:
    """Spearman's correlation of the maps of a patient's instances, mean over pairs of models.

    Equals R's `cor(x, y, method = "spearman")`.

    Parameters
    ----------
    maps
        One (N,) map a model.

    Returns
    -------
    -1 to 1, 0 by chance; NaN with fewer than two models, or where a map is the same everywhere.
    """
    ranks = [rankdata(values) for values in maps]
    if len(ranks) < 2 or any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    pairs = np.corrcoef(np.stack(ranks))[np.triu_indices(len(ranks), 1)]
    return float(pairs.mean())


def top_agreement(maps: Sequence[NDArray[np.floating]]) -> float:
    """Share of one model's highest tenth that is in another's, mean over pairs; 0.1 by chance.

    NaN with fewer than two models or fewer than ten instances.
    """
    if len(maps) < 2 or len(maps[0]) < 10:
        return float("nan")
    tops = [set(highest(values).tolist()) for values in maps]
    return float(np.mean([len(a & b) / len(a) for a, b in combinations(tops, 2)]))
