"""Kaplan-Meier curves of many bootstrap samples at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survival.follow_up import follow_up


def resampled_survival(
    time: ArrayLike, event: ArrayLike, at: ArrayLike, counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the Kaplan-Meier survival of each bootstrap sample at some times.

    Parameters
    ----------
    time, event
        Time under observation and 1 for an event (n,).
    at
        Times (k,); after a sample's last time its curve goes on level.
    counts
        How often each sample holds each patient (B, n), e.g. `generator.multinomial`.

    Returns
    -------
    numpy.ndarray
        Survival (B, k).
    """
    data = follow_up(time, event)
    order = np.argsort(data.time, kind="stable")
    distinct, first = np.unique(data.time[order], return_index=True)
    sampled = counts[:, order]
    leaving = np.add.reduceat(sampled, first, axis=1)
    n_risk = leaving[:, ::-1].cumsum(axis=1)[:, ::-1]
    events = np.add.reduceat(sampled * data.event[order], first, axis=1)
    survival = np.cumprod(1 - events / np.maximum(n_risk, 1), axis=1)
    from_start = np.concatenate([np.ones((len(counts), 1)), survival], axis=1)
    return np.asarray(from_start[:, np.searchsorted(distinct, at, side="right")])
