"""Which patches are known to hold what the label means, by drawn areas or by the simulation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmil.explanations.annotations import marked_patches, read_areas
from cmil.explanations.image_file import image_file
from cohorts.errors import FileFormatError
from cohorts.smear_truth import read_truth, tumour_patches
from feature_extraction.bags import Bag

_GEOJSON, _SIMULATED = ".geojson", ".json"


def patch_truth(
    folder: Path, slide_id: str, bag: Bag, only_class: str | None
) -> NDArray[np.float64]:
    """Tell which patches of a slide are marked.

    Parameters
    ----------
    folder
        Holds `<slide_id>.geojson`; for a slide of several images `<slide_id>/<image>.geojson`; for
        a simulated slide `<slide_id>.json`.
    only_class
        See `read_areas`.

    Returns
    -------
    (N,) 1 for marked, 0 for not, NaN where there is no file for the patch's image.

    Raises
    ------
    FileFormatError
        If a file is damaged, or the bag does not state the side of its patches.
    """
    truth = np.full(len(bag), np.nan)
    simulated = image_file(folder, slide_id, None, _SIMULATED)
    if simulated.exists():
        truth[:] = tumour_patches(read_truth(simulated), bag.coords, side_of(bag, slide_id))
        return truth
    for image, rows in images_of(bag):
        path = image_file(folder, slide_id, image, _GEOJSON)
        if path.exists():
            areas = read_areas(path, only_class)
            truth[rows] = marked_patches(areas, bag.coords[rows], side_of(bag, slide_id))
    return truth


def images_of(bag: Bag) -> Sequence[tuple[str | None, NDArray[np.intp]]]:
    """Name each image of a bag and its rows; None names a slide's only one."""
    if bag.image_index is None or not bag.images:
        return [(None, np.arange(len(bag)))]
    return [
        (bag.images[number], np.flatnonzero(bag.image_index == number))
        for number in np.unique(bag.image_index)
    ]


def side_of(bag: Bag, slide_id: str) -> int:
    """Side of a bag's patches in level-0 px.

    Raises
    ------
    FileFormatError
        If the bag does not state it.
    """
    side = bag.grid.get("patch_size_level0")
    if side is None:
        raise FileFormatError(
            f'bag "{slide_id}" does not state patch_size_level0, so its patches have no place; '
            "add it to the attributes of coords"
        )
    return int(side)
