"""p values corrected for how many tests were made."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Correction = Literal["holm", "bonferroni", "benjamini-hochberg"]


def adjusted_p(p: ArrayLike, correction: Correction) -> NDArray[np.float64]:
    """Correct p values for their number; equals R's `p.adjust`.

    Holm 1979 (Scand J Statist 6:65) and Bonferroni bound the chance of any false finding,
    Benjamini & Hochberg 1995 (J R Stat Soc B 57:289) the share of false ones among the findings.

    Parameters
    ----------
    p
        p values (m,); NaN stays NaN and is not counted.
    correction
        Method.
    """
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(values.shape, np.nan)
    known = ~np.isnan(values)
    m = int(known.sum())
    order = np.argsort(values[known])
    ordered = values[known][order]
    rank = np.arange(1, m + 1)
    if correction == "bonferroni":
        stepped = ordered * m
    elif correction == "holm":
        stepped = np.maximum.accumulate(ordered * (m + 1 - rank))
    else:
        stepped = np.minimum.accumulate((ordered * m / rank)[::-1])[::-1]
    restored = np.empty(m)
    restored[order] = np.minimum(stepped, 1)
    adjusted[known] = restored
    return adjusted
