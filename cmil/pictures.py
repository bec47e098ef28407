"""Write the pictures of a cohort's patients."""

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cmil.attention import attention_of_bag
from cmil.patient_picture import ReadSlide, draw_patient
from cohorts.errors import FileFormatError
from cohorts.files import whole_file
from cohorts.manifest import Cohort, Slide
from feature_extraction.bags import bag_path, read_bag
from feature_extraction.sources import open_source

_THREADS = 2


def picture_path(folder: Path, patient_id: str) -> Path:
    """Where the picture of a patient lies."""
    return folder / f"{patient_id}.png"


def write_pictures(
    cohort: Cohort,
    predictions: pd.DataFrame,
    *,
    bags: Path,
    attention: Path,
    folder: Path,
    seed: int,
    on_patient: Callable[[str], None] = lambda _: None,
) -> None:
    """Draw every patient of `cohort` to `folder/<patient_id>.png`.

    Parameters
    ----------
    predictions
        With `patient_id, score, decision, label, n_patches`.
    bags, attention
        Folders of the slides' bags and attention files.
    seed
        Of the random patches; a patient's own do not depend on who else is drawn.

    Raises
    ------
    ImageError
        If an image can no longer be read.
    FileFormatError
        If a bag or attention file is missing, damaged, or does not match the other.
    """
    captions = {row["patient_id"]: _caption(row) for row in predictions.to_dict("records")}

    def draw(patient_id: str) -> str:
        slides = [_read(slide, bags, attention) for slide in cohort.slides_of(patient_id)]
        rng = np.random.default_rng([seed, *patient_id.encode()])
        picture = draw_patient(slides, captions[patient_id], rng)
        with whole_file(picture_path(folder, patient_id)) as partial:
            picture.save(partial, format="PNG", compress_level=3)
        return patient_id

    # Decoding and encoding run outside Python's lock, so threads draw side by side.
    with ThreadPoolExecutor(_THREADS) as pool:
        for patient_id in pool.map(draw, cohort.patients.index):
            on_patient(patient_id)


def _read(slide: Slide, bags: Path, attention: Path) -> ReadSlide:
    bag = read_bag(bag_path(bags, slide.slide_id))
    looked = attention_of_bag(attention, slide.slide_id, bag)
    if bag.images and bag.images != tuple(open_source(slide).names):
        raise FileFormatError(
            f'slide "{slide.slide_id}" (manifest row {slide.row}) holds other images than when its '
            "bag was made; run cmil extract again"
        )
    return ReadSlide(slide, bag, looked)


def _caption(row: Mapping[Hashable, Any]) -> str:
    words = {1: "metastasis", 0: "no metastasis"}
    truth = words.get(row["label"], "not known")
    return (
        f"{row['patient_id']}    score {row['score']:.2f}, decision: {words[row['decision']]}    "
        f"label: {truth}    {row['n_patches']} patches"
    )
