"""Grey world (Buchsbaum 1980): scale the channels so that the scene is grey on average.

The scene is half glass and half stain, whatever the sample's share of either: how many cells lie
on a slide says nothing about its light. It undoes a tint of lamp or camera, and needs no reference;
it neither knows nor mends how deeply a slide is stained. Blood is not grey: where it is red or
violet, the glass turns greenish.
"""

from typing import Literal

import cv2
import numpy as np

from feature_extraction.colour.sample import (
    Colour,
    Glass,
    PatchMap,
    Sample,
    each_patch,
    numbers,
)


class GreyWorldColour(Colour):
    """Mean level of each channel over a scene of half glass, half stain."""

    method: Literal["grey-world"] = "grey-world"
    mean: Glass


def measure(sample: Sample) -> GreyWorldColour:
    """Average the scene; never below half a glass, so gains stay between 0.4 and 2.6."""
    return GreyWorldColour(mean=numbers((sample.glass + sample.stained.mean(axis=0)) / 2))


def towards_grey(slide: GreyWorldColour) -> PatchMap:
    """Scale each channel to the mean over the channels."""
    mean = np.array(slide.mean)
    gains = mean.mean() / mean
    levels = np.arange(256)[:, None] * gains
    table = np.minimum(np.rint(levels), 255).astype(np.uint8).reshape(1, 256, 3)
    return each_patch(lambda patch: np.asarray(cv2.LUT(patch, table), dtype=np.uint8))
