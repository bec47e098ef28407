"""Covariates of a Cox model, sorted into risk sets and checked before anything is fitted."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cohorts.errors import DataError
from survival.partial_likelihood import Floats, RiskSets, Ties, partial_likelihood, risk_sets

_SINGULAR = 1e-9
_CONSTANT = 1e-10


class NotEstimableError(DataError):
    """A model that these patients cannot estimate."""


class SeparationError(NotEstimableError):
    """A likelihood that rises for ever: a covariate orders the events (monotone likelihood)."""


class Design(NamedTuple):
    """Risk sets and covariates ready for a fit; `standard` is (x - centre) / scale."""

    names: tuple[str, ...]
    sets: RiskSets
    standard: Floats
    centre: Floats
    scale: Floats


def design(
    time: ArrayLike,
    event: ArrayLike,
    covariates: pd.DataFrame,
    *,
    entry: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    ties: Ties = "efron",
) -> Design:
    """Sort patients into risk sets, and refuse covariates that no likelihood can estimate.

    Columns are in standard deviations: every coefficient then has one size, whatever the unit.
    Parameters and errors as in `fit_cox`.
    """
    x = _matrix(covariates)
    if not len(x):
        raise NotEstimableError("no patient has all covariates")
    sets = risk_sets(time, event, entry, strata, weights, ties)
    if not len(sets.deaths):
        raise NotEstimableError("no event")
    x = x[sets.order]
    centre, scale = x.mean(axis=0), x.std(axis=0)
    names = tuple(str(name) for name in covariates.columns)
    _refuse_constant(names, x, scale)
    standard = (x - centre) / scale
    start = partial_likelihood(sets, standard, np.zeros(len(names)))
    refuse_singular(names, start.information, len(sets.deaths))
    return Design(names, sets, standard, centre, scale)


def _matrix(covariates: pd.DataFrame) -> Floats:
    numbers: Floats = covariates.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(numbers)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f'covariate "{covariates.columns[column]}": row "{covariates.index[row]}" and '
            f"{int(bad.any(axis=1).sum()) - 1} more hold no number; leave them out of the model"
        )
    return numbers


def _refuse_constant(names: tuple[str, ...], x: Floats, scale: Floats) -> None:
    for name, column, spread in zip(names, x.T, scale, strict=True):
        if not spread > 1e-12 * max(1.0, float(np.abs(column).max())):
            raise NotEstimableError(f'"{name}" is the same for all {len(x)} patients')


def refuse_singular(names: tuple[str, ...], information: Floats, events: int) -> None:
    """Raise where the information (p, p) of coefficients per standard deviation is singular.

    Raises
    ------
    NotEstimableError
        If a column never differs at an event, or columns are collinear; they are named.
    """
    # Each is the number of events times a variance of at most about 1.
    variance = np.diag(information)
    for name, size in zip(names, variance, strict=True):
        if not size > _CONSTANT * events:
            raise NotEstimableError(f'"{name}" never differs among patients at risk together')
    spread = np.sqrt(variance)
    values, vectors = np.linalg.eigh(information / np.outer(spread, spread))
    if values[0] < _SINGULAR:
        shares = zip(names, np.abs(vectors[:, 0]), strict=True)
        together = [f'"{name}"' for name, share in shares if share > 1e-4]
        raise NotEstimableError(f"{', '.join(together)}: collinearity; leave one of them out")
