"""Bootstrap samples of patients, all at once: how often each patient was drawn."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

SAMPLES = 2000


def patient_weights(
    strata: pd.DataFrame, samples: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Draw patients with replacement within each stratum.

    A statistic that takes weights takes all samples in one call, and is itself the case of ones.
    Discrimination is stratified by outcome and centre, since it is conditional on both;
    calibration and net benefit by centre alone, since they depend on how many have the outcome.

    Parameters
    ----------
    strata
        (n, columns) patients with equal rows form a stratum.
    samples
        Number of bootstrap samples B.
    random
        Source of the draws.

    Returns
    -------
    (B, n)
        How often each patient is in each sample; every row sums to n.
    """
    patients = len(strata)
    stratum = strata.groupby(list(strata.columns), sort=True, dropna=False).ngroup().to_numpy()
    weights = np.empty((samples, patients))
    for number in np.unique(stratum):
        members = np.flatnonzero(stratum == number)
        size = len(members)
        drawn = random.integers(size, size=(samples, size))
        drawn += size * np.arange(samples)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=samples * size)
        weights[:, members] = counts.reshape(samples, size)
    return weights


def weighted_mean(values: ArrayLike, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of (n,) or (n, k) values in each of (B, n) samples: (B,) or (B, k)."""
    return np.asarray(weights @ np.asarray(values, dtype=float) / weights.shape[1])
