"""Choose patches: which are readable by their measured quality, and in what order to take them.

A rule is applied to stored measures, so another rule needs no image.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from cohorts.errors import DataError


def _none_in_words(value: object) -> object:
    return None if value == "none" else value


# TOML has no null: "none" switches a limit off.
Share = Annotated[float | None, Field(ge=0, le=1), BeforeValidator(_none_in_words)]
Level = Annotated[float | None, Field(ge=0, allow_inf_nan=False), BeforeValidator(_none_in_words)]


class PatchRule(BaseModel):
    """The `[extraction.keep]` table of a study: what a patch must be like to be kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_stained: Share = Field(0.05, description="least stained share of the patch itself")
    min_cellularity: Share = Field(
        None, description="least share in the colours of nucleated cells"
    )
    max_ink: Share = Field(0.02, description="largest share in the colours of ink and dirt")
    min_saturation: Level = Field(
        0.025, description="least colourfulness of stained pixels, in absorbance"
    )
    min_sharpness: Level = Field(
        0.6, description="least share of an edge's contrast that is crossed within 1 um"
    )
    max_overlap: Level = Field(0.9, description="most layers of cells on the ground, on average")


KEEP_ALL = PatchRule(
    min_stained=None,
    min_cellularity=None,
    max_ink=None,
    min_saturation=None,
    min_sharpness=None,
    max_overlap=None,
)
"""For images of single cells, whose density and overlap say nothing."""

REASONS: tuple[str, ...] = ("kept", "sparse", "ink", "colourless", "blurred", "thick")
"""What a rule says of a patch, in the order of the check."""

# What is hardly there, or is no stain, is not asked for focus or thickness.
_LEAST_OR_MOST = (
    ("sparse", "min_stained", "stained"),
    ("sparse", "min_cellularity", "cellularity"),
    ("ink", "max_ink", "ink"),
    ("colourless", "min_saturation", "saturation"),
    ("blurred", "min_sharpness", "sharpness"),
    ("thick", "max_overlap", "overlap"),
)


def drop_reasons(quality: Mapping[str, NDArray[np.float32]], rule: PatchRule) -> NDArray[np.uint8]:
    """Tell of each patch whether a rule keeps it, or the first reason why not.

    Parameters
    ----------
    quality
        Measures by name, each (N,), see `quality.MEASURES`. All that `rule` limits must be there,
        and `stained` in any case.
    rule
        A patch at a limit is kept.

    Returns
    -------
    (N,) uint8, index into `REASONS`; 0 is kept

    Raises
    ------
    DataError
        If a measure is missing that the rule limits.
    """
    reasons = np.zeros(len(_values(quality, "stained", "any limit")), dtype=np.uint8)
    for reason, limit, measure in reversed(_LEAST_OR_MOST):
        border = getattr(rule, limit)
        if border is None:
            continue
        values = _values(quality, measure, limit)
        # Compared as stored: 0.6 in double precision is not the limit of a float32 measure.
        border = values.dtype.type(border)
        beyond = values < border if limit.startswith("min_") else values > border
        reasons[beyond] = REASONS.index(reason)
    return reasons


def spread_order(
    coords: NDArray[np.int64], side: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Order patches so that the first few, however many, are spread over all of them.

    Patches are ranked along a Hilbert curve, on which neighbours in rank are neighbours on the
    slide, and taken in van der Corput's order of ranks (bits reversed) with the nested uniform
    scrambling of Owen (1995): the first 2^k come one from each of 2^k equal stretches of the
    curve, each from a random place of its stretch.

    Parameters
    ----------
    coords
        (N, 2) x, y of the patches' top-left corners in level-0 px, not negative.
    side
        Side of a patch in level-0 px, the cell of the curve.
    rng
        Scrambles, so that every patch is as likely to come early.

    Returns
    -------
    (N,) int64, a permutation of 0..N-1
    """
    count = len(coords)
    if count == 0:
        return np.empty(0, dtype=np.int64)
    along = np.argsort(_hilbert_rank(coords // side), kind="stable")
    bits = int(count - 1).bit_length()
    # Ranks are stretched over all numbers of so many bits, else the last stretch is half empty.
    places = (np.arange(count, dtype=np.int64) << bits) // count
    turns = _scrambled_turns(places, bits, rng)
    return np.asarray(along[np.argsort(turns)], dtype=np.int64)


def _values(
    quality: Mapping[str, NDArray[np.float32]], measure: str, limit: str
) -> NDArray[np.float32]:
    if measure not in quality:
        raise DataError(
            f'quality measure "{measure}" is missing, which {limit} needs; '
            "extract the slide again to measure it"
        )
    return quality[measure]


def _hilbert_rank(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position of cells (N, 2) along the Hilbert curve through a square of 2^k cells a side.

    Hilbert 1891; the turning of quadrants as in Warren, Hacker's Delight, 2nd ed., ch. 16.
    """
    x, y = cells.T.copy()
    rank = np.zeros(len(cells), dtype=np.int64)
    for bit in reversed(range(int(cells.max()).bit_length())):
        right, lower = (x >> bit) & 1, (y >> bit) & 1
        rank = (rank << 2) | ((3 * right) ^ lower)
        mask = (1 << bit) - 1
        x, y = x & mask, y & mask
        turned, mirrored = lower == 0, (lower == 0) & (right == 1)
        x, y = np.where(mirrored, mask - x, x), np.where(mirrored, mask - y, y)
        x, y = np.where(turned, y, x), np.where(turned, x, y)
    return rank


def _scrambled_turns(
    places: NDArray[np.int64], bits: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Reverse the bits of each place, flipped by coins that places of equal higher bits share."""
    turns = np.zeros_like(places)
    for bit in reversed(range(bits)):
        coins = rng.integers(2, size=1 << (bits - 1 - bit))
        turned = ((places >> bit) & 1) ^ coins[places >> (bit + 1)]
        turns |= turned << (bits - 1 - bit)
    return turns
