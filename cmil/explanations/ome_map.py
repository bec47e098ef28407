"""Maps as float OME-TIFF: one pixel a patch, or finer, with its scale and its place."""

import hashlib
import uuid
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from cmil.patch_map import patch_map
from cohorts.files import whole_file

# Pixels of a patch's side: patches that lie on no common grid are placed to an eighth of a patch.
_FINER = 8
_MOST_PIXELS = 64_000_000


def write_ome_map(
    path: Path,
    coords: NDArray[np.int64],
    values: NDArray[np.floating],
    side: int,
    mpp: float | None,
    *,
    channel: str,
) -> None:
    """Write a map as float32 OME-TIFF, NaN where there is no patch.

    The image covers the patches. A pixel is a patch where patches lie on one grid, otherwise an
    eighth of a patch, coarser only where the image would pass 64 million pixels; where patches
    overlap the higher value stays. PhysicalSizeX and Y give a pixel's side; PositionX and Y of the
    plane give where the image's top-left corner lies on the slide, which begins at 0; both are in
    µm where the resolution is known, otherwise in level-0 pixels. Description gives both in level-0
    pixels. The same map gives the same bytes.

    Parameters
    ----------
    coords
        (N, 2) top-left corners in level-0 px.
    values
        (N,)
    side
        Side of a patch in level-0 px.
    mpp
        Microns per level-0 pixel; None where not known.
    channel
        What the values are.
    """
    first = coords.min(axis=0)
    pixel = _pixel_of(coords - first, side)
    columns, rows = -(-(coords.max(axis=0) + side - first) // pixel)
    size = (int(columns * pixel), int(rows * pixel))
    painted = patch_map(coords - first, values, side, size, (int(rows), int(columns))).canvas()
    scale, unit = (mpp, "µm") if mpp else (1.0, "pixel")
    corner = [float(axis) * scale for axis in first]
    metadata = {
        "axes": "YX",
        "PhysicalSizeX": pixel * scale,
        "PhysicalSizeY": pixel * scale,
        "PhysicalSizeXUnit": unit,
        "PhysicalSizeYUnit": unit,
        "Channel": {"Name": channel},
        "Description": (
            f"{channel} of patches; not a probability, research use only. Top-left corner at "
            f"level-0 pixel ({first[0]}, {first[1]}), {pixel} level-0 pixels a pixel."
        ),
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(painted.tobytes()).hexdigest())),
        "Plane": {
            "PositionX": [corner[0]],
            "PositionY": [corner[1]],
            "PositionXUnit": [unit],
            "PositionYUnit": [unit],
        },
    }
    with whole_file(path) as partial, tifffile.TiffWriter(partial, ome=True) as writer:
        writer.write(painted, metadata=metadata, compression="zlib", photometric="minisblack")


def _pixel_of(coords: NDArray[np.int64], side: int) -> int:
    """Side of a pixel in level-0 px."""
    on_grid = not (coords % side).any()
    pixel = side if on_grid else max(1, side // _FINER)
    extent = (coords.max(axis=0) + side).astype(np.float64)
    return max(pixel, int(np.ceil((extent.prod() / _MOST_PIXELS) ** 0.5)))
