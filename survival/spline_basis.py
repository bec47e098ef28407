"""Restricted cubic splines: cubic between knots, linear beyond the outer ones."""

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import SettingsError

# Harrell 2015, Regression Modeling Strategies, table 2.3.
_QUANTILES = {
    3: (0.1, 0.5, 0.9),
    4: (0.05, 0.35, 0.65, 0.95),
    5: (0.05, 0.275, 0.5, 0.725, 0.95),
}
_SMALL = 100


def knots_at_quantiles(values: NDArray[np.float64], n_knots: int) -> NDArray[np.float64]:
    """Place 3 to 5 knots at Harrell's quantiles; equals R's `Hmisc::rcspline.eval(knots.only)`.

    Below 100 values the outer knots are the 5th smallest and the 5th largest.

    Raises
    ------
    SettingsError
        If there is no rule for that number of knots.
    """
    if n_knots not in _QUANTILES:
        raise SettingsError(f"{n_knots} knots: give 3, 4 or 5")
    knots = np.quantile(values, _QUANTILES[n_knots])
    if len(values) < _SMALL and len(values) > 2 * n_knots:
        ordered = np.sort(values)
        knots[0], knots[-1] = ordered[4], ordered[-5]
    return knots


def distinct_knots(values: NDArray[np.float64], n_knots: int) -> NDArray[np.float64]:
    """Place knots at Harrell's quantiles whatever the number of values; ties are one knot.

    Parameters
    ----------
    values
        (n,) whose quantiles are the knots.
    n_knots
        3, 4 or 5, before ties.
    """
    return np.unique(np.quantile(values, _QUANTILES[n_knots]))


def restricted_cubic_spline(
    values: NDArray[np.float64], knots: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Basis of cubic splines that are linear beyond the outer knots (n, k - 1), the line first.

    Stone & Koo 1985; equals R's `Hmisc::rcspline.eval(inclx = TRUE, norm = 2)`. With fewer than 3
    knots there is the line only.

    Parameters
    ----------
    values
        Points (n,).
    knots
        Increasing knots (k,).
    """
    if len(knots) < 3:
        return values[:, None]
    first, before, last = knots[0], knots[-2], knots[-1]

    def cube(knot: float) -> NDArray[np.float64]:
        return np.maximum(values - knot, 0.0) ** 3

    curved = [
        cube(knot) + ((before - knot) * cube(last) - (last - knot) * cube(before)) / (last - before)
        for knot in knots[:-2]
    ]
    return np.column_stack([values, *(column / (last - first) ** 2 for column in curved)])
