"""The reference of a study's colours: kept as long as its images are, and fitted anew with them."""

from pathlib import Path

import cv2

from cmil.extraction_stage import colour_reference
from cmil.study import Study
from cmil.study_settings import read_study_settings


def study_of(small_study) -> Study:
    text = small_study.settings.read_text()
    small_study.settings.write_text(
        text.replace("[extraction]\n", '[extraction]\nstain = "reinhard"\n')
    )
    settings = read_study_settings(small_study.settings)
    return Study.at(small_study.folder / "runs", settings)


def darken(image: Path) -> None:
    cv2.imwrite(str(image), cv2.imread(str(image)) // 2)


def test_a_changed_development_image_gives_another_reference(small_study) -> None:
    study = study_of(small_study)
    first = colour_reference(study)
    assert colour_reference(study) == first
    for image in small_study.images_of("B00"):  # external: it has no say
        darken(image)
    assert colour_reference(study) == first
    for patient in ("A00", "A01", "A02", "A03", "A04", "A05", "A06", "A07"):
        for image in small_study.images_of(patient):
            darken(image)
    resumed = colour_reference(study)
    assert resumed != first
    (study.bags / "colour_reference.json").unlink()
    assert colour_reference(study) == resumed


def test_archived_images_do_not_undo_a_reference(small_study) -> None:
    study = study_of(small_study)
    first = colour_reference(study)
    (small_study.folder / "images" / "A00").rename(small_study.folder / "archive")
    assert colour_reference(study) == first


def test_a_mended_image_takes_part_from_then_on(small_study) -> None:
    study = study_of(small_study)
    image = small_study.images_of("A00")[0]
    sound = image.read_bytes()
    image.write_bytes(sound[:100])
    without = colour_reference(study)
    image.write_bytes(sound)
    mended = colour_reference(study)
    assert mended.slides == without.slides + 1
