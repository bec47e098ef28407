"""Maps for other programs: GeoJSON that QuPath opens, and float OME-TIFF."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cmil.attention import SlideAttention, attention_of_bag
from cmil.explanations.image_file import image_file
from cmil.explanations.ome_map import write_ome_map
from cmil.explanations.patch_truth import images_of, side_of
from cmil.explanations.qupath import percentiles, write_tiles
from cmil.progress import progress, say
from cohorts.manifest import Cohort
from feature_extraction.bags import Bag, bag_path, read_bag

if TYPE_CHECKING:
    from cmil.study import Study

SUFFIXES = {"geojson": ".geojson", "ome-tiff": ".ome.tif"}


def export_heatmaps(study: "Study", formats: Sequence[str], patients: Sequence[str] = ()) -> None:
    """Write the maps of every patient with attention files, or of those named, to `heatmaps/`."""
    cohort = study.cohort.restricted_to(patients) if patients else study.cohort
    attention, folder = study.out / "attention", study.out / "heatmaps"
    cells = 0
    with progress("export maps (patients)", len(cohort.patients)) as advance:
        for patient_id in cohort.patients.index:
            cells += not export_patient(
                cohort,
                patient_id,
                bags=study.bags,
                attention=attention,
                folder=folder,
                formats=formats,
            )
            advance(note=patient_id)
    if cells:
        say(
            f"{cells} patients are of single cells, which have no place on a slide: no map exported"
        )


def export_patient(
    cohort: Cohort,
    patient_id: str,
    *,
    bags: Path,
    attention: Path,
    folder: Path,
    formats: Sequence[str],
) -> list[Path]:
    """Write the maps of one patient: a file for each slide, for fields one for each image.

    Parameters
    ----------
    bags, attention
        Folders of the slides' bags and attention files.
    formats
        Keys of `SUFFIXES`.

    Returns
    -------
    Paths of the files; none where instances are single cells.

    Raises
    ------
    FileFormatError
        If a bag or attention file is missing or damaged, does not match the other, or does not
        state the side of its patches.
    """
    slides = {
        slide.slide_id: read_bag(bag_path(bags, slide.slide_id))
        for slide in cohort.slides_of(patient_id)
    }
    looked = {name: attention_of_bag(attention, name, bag) for name, bag in slides.items()}
    ranks = percentiles(np.concatenate([one.relative for one in looked.values()]))
    written, first = [], 0
    for slide_id, bag in slides.items():
        of_slide = ranks[first : first + len(bag)]
        first += len(bag)
        if bag.attributes.get("images_are") == "cells":
            continue
        for image, rows in images_of(bag):
            for form in formats:
                path = image_file(folder, slide_id, image, SUFFIXES[form])
                path.parent.mkdir(parents=True, exist_ok=True)
                side = side_of(bag, slide_id)
                if form == "geojson":
                    maps = {kind: values[rows] for kind, values in looked[slide_id].maps.items()}
                    write_tiles(path, bag.coords[rows], side, maps, of_slide[rows])
                else:
                    _write_image(path, bag, looked[slide_id], rows, side)
                written.append(path)
    return written


def _write_image(
    path: Path, bag: Bag, looked: SlideAttention, rows: NDArray[np.intp], side: int
) -> None:
    mpp = bag.attributes.get("mpp_read")
    write_ome_map(
        path,
        bag.coords[rows],
        looked.maps[looked.kind][rows],
        side,
        float(mpp) if isinstance(mpp, int | float) else None,
        channel=looked.kind,
    )
