"""Maps for QuPath: GeoJSON with one tile a patch, in level-0 pixels."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cmil.attention import MapKind
from cohorts.files import write_text

# QuPath fills a detection in the colour of its class; classes are tenths of the patient's patches.
_CLASSES = (
    ("highest 10%", 90.0, (253, 231, 37)),
    ("next 40%", 50.0, (33, 145, 140)),
    ("lower half", 0.0, (68, 1, 84)),
)


def percentiles(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give the share of a patient's patches, in percent, whose value is at most each one's: (N,).

    Ties get the highest of their ranks; as R's `100 * ecdf(x)(x)`.
    """
    return np.asarray(100 * rankdata(values, method="max") / len(values), dtype=np.float64)


def write_tiles(
    path: Path,
    coords: NDArray[np.int64],
    side: int,
    maps: Mapping[MapKind, NDArray[np.floating]],
    ranks: NDArray[np.float64],
) -> None:
    """Write a FeatureCollection that QuPath opens (File, Import objects from file).

    Parameters
    ----------
    coords
        (N, 2) top-left corners in level-0 px, x to the right and y downwards.
    side
        Side of a patch in level-0 px.
    maps
        Kind to (N,) values as the model used them: measurements of each tile.
    ranks
        (N,) percentile of the map that is shown among all patches of the patient.
    """
    tiles = [
        _tile(int(x), int(y), side, {kind: float(maps[kind][row]) for kind in maps}, float(rank))
        for row, ((x, y), rank) in enumerate(zip(coords, ranks, strict=True))
    ]
    write_text(path, json.dumps({"type": "FeatureCollection", "features": tiles}, allow_nan=False))


def _tile(x: int, y: int, side: int, values: Mapping[str, float], rank: float) -> dict[str, Any]:
    right, below = x + side, y + side
    ring = [[x, y], [right, y], [right, below], [x, below], [x, y]]
    name, _, colour = next(entry for entry in _CLASSES if rank > entry[1])
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "tile",
            "classification": {"name": name, "color": list(colour)},
            "measurements": {**values, "percentile": rank},
        },
    }
