"""One door to the three methods."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cohorts.errors import SettingsError
from feature_extraction.colour import grey_world, macenko, reinhard
from feature_extraction.colour.grey_world import GreyWorldColour
from feature_extraction.colour.macenko import MacenkoColour
from feature_extraction.colour.reference import ColourReference
from feature_extraction.colour.reinhard import ReinhardColour
from feature_extraction.colour.sample import PatchMap, divide

Method = Literal["grey-world", "reinhard", "macenko"]
METHODS_WITH_REFERENCE: frozenset[Method] = frozenset({"reinhard", "macenko"})

SlideColour = GreyWorldColour | ReinhardColour | MacenkoColour
"""Frozen statistics of one slide, as its method needs them."""


def fit_slide(method: Method, sample: NDArray[np.uint8]) -> SlideColour:
    """Measure the colours of one slide.

    Parameters
    ----------
    method
        What they will be normalised by.
    sample
        (m, 3) or (H, W, 3) uint8, red green blue: pixels from all over the slide, glass included.

    Raises
    ------
    ImageError
        If the sample is empty glass, or does not show what the method measures (two stains, stain
        of more than one colour); the message does not name the slide yet.
    """
    divided = divide(sample)
    match method:
        case "grey-world":
            return grey_world.measure(divided)
        case "reinhard":
            return reinhard.measure(divided)
        case "macenko":
            return macenko.measure(divided)


def normaliser(slide: SlideColour, reference: ColourReference | None) -> PatchMap:
    """Give the function that turns patches of a slide into the reference's colours.

    It maps (n, h, w, 3) uint8 to a new array of the same shape; what becomes of a pixel depends on
    the pixel and the slide alone. Threads may share it; it holds the interpreter lock for
    microseconds only.

    Raises
    ------
    SettingsError
        If the reference is of another method, missing, or given for grey-world.
    """
    match slide, reference.colour if reference else None:
        case GreyWorldColour(), None:
            return grey_world.towards_grey(slide)
        case ReinhardColour(), ReinhardColour() as colour:
            return reinhard.towards(slide, colour)
        case MacenkoColour(), MacenkoColour() as colour:
            return macenko.towards(slide, colour)
    given = f'a reference of "{reference.colour.method}"' if reference else "no reference"
    raise SettingsError(
        f'stain = "{slide.method}" was given {given}; use the reference, or the stain, that the '
        "model was trained with"
    )
