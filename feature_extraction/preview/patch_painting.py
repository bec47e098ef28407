"""Colour the patches of an image by what became of them, so that the cells stay visible.

A patch the rule kept is green; why another was dropped is told by colour and by hatching, since one
reader in twelve does not tell all colours apart.
"""

import numpy as np
from numpy.typing import NDArray

from feature_extraction.sources.canvas import Rgb

# Okabe & Ito's colours, in the order of `selection.REASONS`: the strongest for blurred and thick,
# which lie among the cells; the one nearest to stain for sparse, which lies on glass.
_KEPT = (0, 158, 115)
_DROPPED = (
    (204, 121, 167), (86, 180, 233), (20, 20, 20), (213, 94, 0), (0, 114, 178), (230, 159, 0),
    (240, 228, 66),
)  # fmt: skip
_HATCH_STEP = 9
_FILL_KEPT, _FILL_DROPPED, _HATCH, _LINE = 0.07, 0.24, 0.50, 0.95
# Below these sides, in pixels of the picture, hatching or a patch's own outline would hide it.
_HATCHED_FROM, _OUTLINED_FROM, _BOLD_FROM = 14, 14, 28


def colour_of(reason: int) -> tuple[int, int, int]:
    """Colour of a reason by its index; 0 is kept."""
    return _KEPT if reason == 0 else _DROPPED[(reason - 1) % len(_DROPPED)]


def paint_patches(
    image: Rgb,
    coords: NDArray[np.int64],
    reason: NDArray[np.uint8],
    side: int,
    dimensions: tuple[int, int],
) -> Rgb:
    """Fill, hatch and outline patches; whatever is no patch stays as it is.

    Parameters
    ----------
    image
        (H, W, 3) uint8, the whole image at any scale.
    coords
        (N, 2) top-left corners in level-0 px.
    reason
        (N,) index of the reason, 0 for kept. Where patches overlap, a dropped one is on top.
    side
        Side of a patch in level-0 px.
    dimensions
        Width and height of the image in level-0 px.

    Returns
    -------
    (H, W, 3) uint8
    """
    height, width = image.shape[:2]
    shown = side * width / dimensions[0]
    order = np.argsort(reason > 0, kind="stable")
    # In whole numbers: a product rounded up would paint a pixel of the neighbour.
    first = np.maximum(coords[order] * [width, height] // dimensions, 0)
    last = np.maximum((coords[order] + side) * [width, height] // dimensions, first + 1)
    fate = np.full((height, width), -1, dtype=np.int16)
    line = np.zeros((height, width), dtype=np.bool_)
    thick = 2 if shown >= _BOLD_FROM else 1
    for (x0, y0), (x1, y1), why in zip(
        first.tolist(), last.tolist(), reason[order].tolist(), strict=True
    ):
        fate[y0:y1, x0:x1] = why
        if shown >= _OUTLINED_FROM:
            line[y0:y1, x0:x1] = True
            line[y0 + thick : y1 - thick, x0 + thick : x1 - thick] = False
    if shown < _OUTLINED_FROM:
        line = _borders(fate)
    return _blended(image, fate, line, hatched=shown >= _HATCHED_FROM)


def swatch(reason: int, side: int) -> Rgb:
    """Draw one patch on the colour of a pale red cell, for a legend: (side, side, 3)."""
    pale = np.full((side, side, 3), (243, 222, 226), dtype=np.uint8)
    corner = np.zeros((1, 2), dtype=np.int64)
    return paint_patches(pale, corner, np.array([reason], dtype=np.uint8), side, (side, side))


def _blended(image: Rgb, fate: NDArray[np.int16], line: NDArray[np.bool_], *, hatched: bool) -> Rgb:
    present = np.unique(fate[fate >= 0]).tolist()
    opacity = np.zeros(fate.shape, dtype=np.float32)
    colour = np.zeros(image.shape, dtype=np.uint8)
    for why in present:
        area = fate == why
        colour[area] = colour_of(why)
        opacity[area] = _FILL_DROPPED if why else _FILL_KEPT
        if why and hatched:
            opacity[area & _hatching(why, fate.shape)] = _HATCH
    opacity[line] = _LINE
    pixels = image.astype(np.float32)
    pixels += (colour - pixels) * opacity[..., None]
    return np.asarray(pixels.round(), dtype=np.uint8)


def _hatching(why: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    lines = ((x + y), (x - y), (x + 0 * y), (y + 0 * x))
    families = ((0,), (1,), (2,), (3,), (0, 1))[(why - 1) % 5]
    marked = np.zeros(shape, dtype=np.bool_)
    for family in families:
        marked |= lines[family] % _HATCH_STEP == 0
    return marked


def _borders(fate: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Mark where an area of one fate ends, on its own side."""
    outer = np.pad(fate, 1, constant_values=-1)
    neighbours = (outer[:-2, 1:-1], outer[2:, 1:-1], outer[1:-1, :-2], outer[1:-1, 2:])
    border = np.zeros(fate.shape, dtype=np.bool_)
    for neighbour in neighbours:
        border |= neighbour != fate
    return border & (fate >= 0)
