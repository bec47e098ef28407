"""Kaplan-Meier curves of many bootstrap samples at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from survival.follow_up import follow_up
from survival.product_limit import event_curve


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
    curve = event_curve(data.time, data.event.astype(np.float64), counts)
    return curve.at(np.asarray(at, dtype=np.float64))
