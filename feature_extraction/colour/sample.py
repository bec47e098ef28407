"""The pixels a slide's colours are measured on, and the words the methods share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cohorts.errors import ImageError
from feature_extraction.staining import BRIGHTEST_PERCENTILE, DARKEST_GLASS, stained_mask

Patches = NDArray[np.uint8]
"""(n, h, w, 3) uint8."""
PatchMap = Callable[[Patches], Patches]

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Level = Annotated[float, Field(strict=True, gt=0, le=255)]
Glass = tuple[Level, Level, Level]

# Percentiles and deviations of fewer pixels, a single cell's worth, are those of chance.
_FEWEST_STAINED = 500
# Below this share the unstained pixels are pale rims of cells, not glass.
_LEAST_GLASS = 0.01


class Colour(BaseModel):
    """What a method measures on a slide."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Sample:
    """Pixels of a slide, told apart.

    Attributes
    ----------
    glass
        (3,) the light that passes where nothing is stained, in levels 0..255.
    stained
        (m, 3) uint8.
    """

    glass: NDArray[np.float64]
    stained: NDArray[np.uint8]


def divide(pixels: NDArray[np.uint8]) -> Sample:
    """Tell glass from stain in an (m, 3) sample or an (H, W, 3) image.

    Raises
    ------
    ImageError
        If too little is stained to measure a colour.
    """
    line = np.ascontiguousarray(pixels).reshape(-1, 1, 3)
    mask = stained_mask(line)[:, 0] if len(line) else np.zeros(0, dtype=np.bool_)
    stained, clear = line[mask, 0], line[~mask, 0]
    if len(stained) < _FEWEST_STAINED:
        raise ImageError(
            f"{len(stained)} of {len(line)} sampled pixels are stained, {_FEWEST_STAINED} are "
            'needed to measure its colours; leave the slide out or set stain = "none"'
        )
    if len(clear) >= _LEAST_GLASS * len(line):
        glass = np.median(clear, axis=0)
    else:
        brightest = np.percentile(line[:, 0], BRIGHTEST_PERCENTILE, axis=0)
        glass = np.maximum(brightest, DARKEST_GLASS)
    return Sample(glass, stained)


def each_patch(recolour: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> PatchMap:
    """Apply `recolour` to one (h, w, 3) patch at a time: its arrays then stay in the cache."""

    def apply(patches: Patches) -> Patches:
        recoloured = np.empty(patches.shape, dtype=np.uint8)
        for patch, out in zip(patches, recoloured, strict=True):
            out[:] = recolour(np.ascontiguousarray(patch))
        return recoloured

    return apply


def numbers(values: NDArray[np.floating]) -> tuple[float, float, float]:
    """Three numbers of an array as Python knows them."""
    first, second, third = values.tolist()
    return first, second, third
