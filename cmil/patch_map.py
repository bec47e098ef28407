"""Which pixel of a shrunk canvas belongs to which patch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Patches that are cut by more bands than this are painted one by one: they lie on no grid.
_MOST_BANDS = 64


@dataclass(frozen=True)
class PatchMap:
    """Values of patches on a canvas; rows that are all alike, and columns, are kept once.

    Attributes
    ----------
    bands
        (R, C) float32, NaN where there is no patch.
    heights, widths
        (R,) and (C,): how many rows and columns of the canvas a band stands for.
    """

    bands: NDArray[np.float32]
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]

    def canvas(self) -> NDArray[np.float32]:
        """Give the value of each pixel: (sum of heights, sum of widths) float32."""
        return np.repeat(np.repeat(self.bands, self.widths, axis=1), self.heights, axis=0)


def patch_map(
    coords: NDArray[np.int64],
    values: NDArray[np.floating],
    side: int,
    dimensions: tuple[int, int],
    shape: tuple[int, int],
) -> PatchMap:
    """Paint every patch's value onto each pixel of a shrunk canvas that the patch touches.

    Where patches overlap, the higher value stays. Patches on a grid, also one that overlaps or that
    falls between pixels, are painted all at once.

    Parameters
    ----------
    coords
        (N, 2) top-left corners in level-0 px, not negative.
    values
        (N,)
    side
        Side of a patch in level-0 px.
    dimensions
        Width and height of the image in level-0 px.
    shape
        Rows and columns of the canvas.
    """
    # In whole numbers: a product rounded up would paint a pixel of the neighbour.
    size = np.array(shape[::-1])
    first = np.minimum(coords * size // dimensions, size)
    last = np.minimum(-(-(coords + side) * size // dimensions), size)
    (left, right, widths), (top, bottom, heights) = (
        _bands(first[:, axis], last[:, axis], size[axis]) for axis in (0, 1)
    )
    painted = np.full((len(heights), len(widths)), np.nan, dtype=np.float32)
    if not len(coords):
        return PatchMap(painted, heights, widths)
    across, down = int((right - left).max()), int((bottom - top).max())
    if across * down > _MOST_BANDS:
        order = np.argsort(values, kind="stable")
        edges = (edge[order].tolist() for edge in (left, right, top, bottom))
        for x0, x1, y0, y1, value in zip(*edges, values[order].tolist(), strict=True):
            painted[y0:y1, x0:x1] = value
    else:
        flat = painted.reshape(-1)
        for step_y in range(down):
            for step_x in range(across):
                inside = (top + step_y < bottom) & (left + step_x < right)
                place = (top[inside] + step_y) * len(widths) + left[inside] + step_x
                np.fmax.at(flat, place, values[inside].astype(np.float32))
    return PatchMap(painted, heights, widths)


def _bands(
    first: NDArray[np.int64], last: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cut an axis wherever a patch begins or ends.

    Returns
    -------
    (N,) band each patch begins with; (N,) band it ends before; (bands,) pixels of each band.
    """
    cut = np.zeros(size + 1, dtype=bool)
    cut[0] = cut[size] = True
    cut[first] = cut[last] = True
    band_at = np.cumsum(cut) - 1
    return band_at[first], band_at[last], np.diff(np.flatnonzero(cut))
