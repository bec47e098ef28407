"""The colour of empty glass on a slide: what scanner, lamp and camera leave, without any cell."""

import numpy as np
from numpy.typing import NDArray

from cohorts.manifest import Slide
from feature_extraction.sources import open_source
from feature_extraction.staining import glass_colour

_THUMBNAIL_PX = 128
_MOST_IMAGES = 8


def background_colour(slide: Slide) -> NDArray[np.float64]:
    """Give the median glass colour of a slide's images, of eight spread over them if more.

    Returns
    -------
    (3,) red, green and blue, 0 to 255, as the image has them, its colour profile left aside.

    Raises
    ------
    ImageError, AccessError
        If an image cannot be read.
    """
    source = open_source(slide, icc=False)
    images = len(source.names)
    chosen = np.unique(np.linspace(0, images - 1, min(images, _MOST_IMAGES)).round().astype(int))
    colours = []
    for index in chosen.tolist():
        with source.open(index) as canvas:
            colours.append(glass_colour(canvas.thumbnail(_THUMBNAIL_PX)))
    return np.asarray(np.median(colours, axis=0), dtype=np.float64)
