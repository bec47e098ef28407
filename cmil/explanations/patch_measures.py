"""What is known of a patch beside its embedding: its quality, its place, and what tables say."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmil.explanations.patch_tables import PatchTable, measures_of
from feature_extraction.bags import Bag

EDGE = "distance to the slide's edge"
_GRID = ("patch_size_level0", "level0_width", "level0_height")


def patch_measures(
    tables: Sequence[PatchTable], slide_id: str, bag: Bag
) -> dict[str, NDArray[np.float64]]:
    """Collect all measures of a slide's patches, name to (N,).

    The distance to the slide's edge is from the patch's nearest side, in patches; a bag of several
    images or single cells, or one that does not state the slide's size, has none.
    """
    found = {name: values.astype(np.float64) for name, values in bag.quality.items()}
    grid = [value for name in _GRID if isinstance(value := bag.grid.get(name), int | float)]
    if bag.image_index is None and len(grid) == len(_GRID):
        found[EDGE] = _to_edge(bag.coords, *grid)
    return {**found, **measures_of(tables, slide_id, bag)}


def _to_edge(
    coords: NDArray[np.int64], side: float, width: float, height: float
) -> NDArray[np.float64]:
    before = coords.min(axis=1)
    behind = (np.array([width, height]) - side - coords).min(axis=1)
    return np.asarray(np.minimum(before, behind) / side, dtype=np.float64)
