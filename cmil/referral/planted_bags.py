"""Bags in which a known share of the patches is tumour, mixed from patients of known truth."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cmil.referral.patch_number import ScoreSubsets
from cohorts.errors import DataError


def mixed_rows(
    tumour: ArrayLike, background: ArrayLike, fraction: float, size: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw the patches of a bag in which a known share is tumour, none of them twice.

    Parameters
    ----------
    tumour, background
        Rows of the patches to draw from: known tumour cells, and patches of negative patients.
    fraction
        Of tumour in the bag, rounded to whole patches.
    size
        Patches of the bag.

    Raises
    ------
    DataError
        If there are too few patches of a kind, or the fraction rounds to no tumour patch.
    """
    planted = round(fraction * size)
    if fraction > 0 and planted == 0:
        raise DataError(
            f"a fraction of {fraction:g} is less than one of {size} patches; make larger bags"
        )
    rows = []
    for name, of, count in (("tumour", tumour, planted), ("other", background, size - planted)):
        there = np.asarray(of, dtype=np.intp)
        if len(there) < count:
            raise DataError(
                f"a bag of {size} with fraction {fraction:g} takes {count} {name} patches, "
                f"{len(there)} are there; plant less or make smaller bags"
            )
        rows.append(rng.choice(there, count, replace=False))
    return np.concatenate(rows)


def mixed_scores(
    score: ScoreSubsets,
    tumour: ArrayLike,
    background: ArrayLike,
    fractions: Sequence[float],
    size: int,
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Score bags mixed from one patient's tumour patches and patches without tumour.

    Parameters
    ----------
    score
        Scores subsets of the rows, e.g. of `cmil.referral.patch_number.subset_scorer`. A patch of
        a patient whom the models were trained on flatters them.
    tumour, background
        Rows to draw from; see `mixed_rows`.

    Returns
    -------
    DataFrame
        `fraction, draw, score`.

    Raises
    ------
    DataError
        If there are too few patches of a kind, or a fraction rounds to no tumour patch.
    """
    bags = [
        mixed_rows(tumour, background, fraction, size, rng)
        for fraction in fractions
        for _ in range(draws)
    ]
    return pd.DataFrame(
        {
            "fraction": np.repeat(np.asarray(fractions, dtype=float), draws),
            "draw": np.tile(np.arange(draws), len(fractions)),
            "score": score(bags),
        }
    )
