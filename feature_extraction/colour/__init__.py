"""Colour normalisation: measured once a slide, applied to its patches.

`fit_slide` measures a slide's colours on a sample of its pixels, `fit_reference` condenses those of
the development slides, and `normaliser` gives the function that turns patches of the one colour
into the other. Statistics are of a slide, never of a patch: a patch with three cells has no colour
of its own, and its embedding must not depend on its neighbours in a batch.

Own code rather than torchstain, with which the tests compare it (one level apart where the
definitions agree): torchstain fits every image anew, takes the light for 240 whatever the glass,
takes only pixels that absorb in all three channels for stained, which drops red cells, ends in a
`LinAlgError` on empty glass, and is many times slower.
"""

from feature_extraction.colour.reference import ColourReference, fit_reference
from feature_extraction.colour.slide_colour import (
    METHODS_WITH_REFERENCE,
    Method,
    SlideColour,
    fit_slide,
    normaliser,
)

__all__ = [
    "METHODS_WITH_REFERENCE",
    "ColourReference",
    "Method",
    "SlideColour",
    "fit_reference",
    "fit_slide",
    "normaliser",
]
