"""How much of a map a few instances hold."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TOP_PERCENT = (1, 5, 10)


def highest(values: NDArray[np.floating], share: float = 0.1) -> NDArray[np.intp]:
    """Rows of the highest `share` of (N,) values, rounded up, highest first."""
    # A product such as 0.1 * 30 lies above 3.
    count = int(np.ceil(round(share * len(values), 9)))
    return np.argsort(-values, kind="stable")[:count]


def share_held(values: NDArray[np.floating], percent: float) -> float:
    """Share of all attention that the highest `percent` of instances hold.

    Of signed maps, sizes count: how much of all that moved the logit, either way.

    Parameters
    ----------
    values
        (N,)
    percent
        0 to 100; a part of an instance counts as one.

    Returns
    -------
    0 to 1; about `percent` / 100 where attention is even, NaN where the map is 0 everywhere.
    """
    sizes = np.abs(values.astype(np.float64))
    total = sizes.sum()
    return float(sizes[highest(sizes, percent / 100)].sum() / total) if total else float("nan")


def held_text(shares: Sequence[float], kind: str) -> str:
    """Say which share of a map the top patches hold."""
    if any(np.isnan(share) for share in shares):
        return f"the {kind} map is empty"
    percent = [f"{share:.0%}" for share in shares]
    tops = [f"{p}%" for p in TOP_PERCENT]
    what = kind if kind == "attention" else f"{kind} (sizes)"
    return (
        f"the top {', '.join(tops[:-1])} and {tops[-1]} of patches hold {', '.join(percent[:-1])} "
        f"and {percent[-1]} of {what}"
    )
