"""Tell stained patches from empty glass."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from feature_extraction.sources.canvas import Rgb

# Glass and plasma vary by a few percent under uneven light; the palest red cell absorbs more than
# a fifth of the green light. An absorbance of 0.1 lies between.
STAINED_ABSORBANCE = 0.10
BRIGHTEST_PERCENTILE = 98.0
# In a thick area no glass is seen and the brightest percentile would be a stained pixel; no
# scanner delivers glass darker than this.
DARKEST_GLASS = 200.0
# A percentile settles with a few thousand pixels; sorting millions takes longer than reading.
_PIXELS_LOOKED_AT = 1 << 12


def glass_colour(thumbnail: Rgb) -> NDArray[np.float64]:
    """Find the colour of empty glass: the brightest percentile of each channel.

    Parameters
    ----------
    thumbnail
        (H, W, 3) uint8, of the whole image.

    Returns
    -------
    (3,) float64, red, green and blue, 0 to 255; never darker than glass can be
    """
    step = max(1, math.isqrt(thumbnail.shape[0] * thumbnail.shape[1] // _PIXELS_LOOKED_AT))
    # Channel by channel, and sorted by numpy's radix sort, which `percentile` does not use.
    looked_at = np.moveaxis(thumbnail[::step, ::step], 2, 0).reshape(3, -1)
    ordered = np.sort(looked_at, axis=1, kind="stable")
    place = BRIGHTEST_PERCENTILE / 100 * (ordered.shape[1] - 1)
    lower, upper = ordered[:, math.floor(place)], ordered[:, math.ceil(place)]
    brightest = lower + (place % 1) * (upper.astype(np.float64) - lower)
    return np.asarray(np.maximum(brightest, DARKEST_GLASS), dtype=np.float64)


def stained_mask(image: Rgb) -> NDArray[np.bool_]:
    """Mark the pixels that absorb light in any channel.

    Absorbance is -log10(I / I0) per channel (Beer-Lambert), with I0 the glass.

    Parameters
    ----------
    image
        (H, W, 3) uint8.

    Returns
    -------
    (H, W) bool
    """
    glass = glass_colour(image)
    palest_stained = np.ceil(glass * 10.0**-STAINED_ABSORBANCE)
    return np.asarray(cv2.inRange(image, palest_stained, np.full(3, 255.0)) == 0)


def stained_share(
    mask: NDArray[np.bool_],
    dimensions: tuple[int, int],
    coords: NDArray[np.int64],
    side: int,
) -> NDArray[np.float32]:
    """Share of stained pixels in each patch, from a mask of the whole image at any scale.

    Parameters
    ----------
    mask
        (h, w) bool, of the image shrunk to h x w.
    dimensions
        Width and height of the image in level-0 px.
    coords
        (N, 2) x, y of the patches' top-left corners in level-0 px.
    side
        Side of a patch in level-0 px.

    Returns
    -------
    (N,) float32 in [0, 1]
    """
    height, width = mask.shape
    sums = cv2.integral(mask.view(np.uint8))
    # Whole numbers: a float's last bit would draw in a row of mask pixels a patch only borders on.
    first = np.minimum(coords * [width, height] // dimensions, [width - 1, height - 1])
    last = -(-(coords + side) * [width, height] // dimensions)
    last = np.clip(last, first + 1, [width, height])
    (x0, y0), (x1, y1) = first.T, last.T
    stained = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    share: NDArray[np.float32] = (stained / ((x1 - x0) * (y1 - y0))).astype(np.float32)
    return share
