"""Gather a patient's slides into one bag, and make sure all bags speak the same language."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cohorts.errors import DataError
from cohorts.files import digest_of, digest_of_file
from cohorts.manifest import Cohort
from feature_extraction.bags import Attribute, Bag, bag_path, read_bag, read_bag_attributes

_LONGEST_VALUE = 64

# What makes embeddings of two bags comparable. Bags of other programs state fewer of these.
_COMPARABLE = (
    "encoder",
    "encoder_digest",
    "images_are",
    "patch_px",
    "mpp_used",
    "colours",
    "stain",
    "stain_reference",
    "min_stained",
    "rule",
    "max_patches",
)


@dataclass(frozen=True)
class PatientBag:
    """All instances of one patient.

    Attributes
    ----------
    instances
        (N, D), the patient's slides one after another, in the precision they are stored in.
    coords
        slide_id -> (n, 2) top-left corners of its instances in level-0 px, in the same order.
    """

    instances: Tensor
    coords: Mapping[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.instances)


@dataclass(frozen=True)
class PatientBags:
    """The bags of a cohort, all of one encoder.

    Attributes
    ----------
    bags
        patient_id -> bag, in the cohort's order.
    encoding
        What all bags state of encoder and preprocessing; a model serves no other.
    digest
        SHA-256 over the source and recipe of every slide's bag.
    """

    bags: Mapping[str, PatientBag]
    encoding: Mapping[str, Attribute]
    dimension: int
    digest: str

    def of(self, cohort: Cohort) -> list[PatientBag]:
        """Bags of a cohort's patients, in its order."""
        return [self.bags[patient] for patient in cohort.patients.index]


def read_patient_bags(cohort: Cohort, folder: Path) -> PatientBags:
    """Read every slide's bag and join those of a patient.

    Raises
    ------
    FileFormatError
        If a bag is missing or damaged.
    DataError
        If two bags are of different encoders, preprocessing or width; the line names both.
    """
    if not cohort.slides:
        raise DataError("the cohort has no slide with a bag; run cmil extract")
    read = {slide.slide_id: read_bag(bag_path(folder, slide.slide_id)) for slide in cohort.slides}
    first_id, first = next(iter(read.items()))
    encoding = encoding_of(first)
    for slide_id, bag in read.items():
        _check_same_encoding(first_id, encoding, first.features.shape[1], slide_id, bag)
    bags = {
        patient: _join({s.slide_id: read[s.slide_id] for s in cohort.slides_of(patient)})
        for patient in cohort.patients.index
    }
    return PatientBags(bags, encoding, first.features.shape[1], digest_of_bags(cohort, folder))


def digest_of_bags(cohort: Cohort, folder: Path) -> str:
    """SHA-256 over what made each slide's bag, without reading the embeddings.

    A bag that another program wrote does not say what made it; of it all bytes are read.

    Raises
    ------
    FileFormatError
        If a bag is missing or damaged.
    """
    identities = {}
    for slide in cohort.slides:
        path = bag_path(folder, slide.slide_id)
        said = read_bag_attributes(path)
        # Another rule divides a bag anew; it is not in the recipe that the bag was made by.
        identities[slide.slide_id] = (
            [said["made_by"], said.get("rule")] if "made_by" in said else digest_of_file(path)
        )
    return digest_of(identities)


def encoding_of(bag: Bag) -> dict[str, Attribute]:
    """Collect what a bag states of its encoder and preprocessing."""
    return {name: bag.attributes[name] for name in _COMPARABLE if name in bag.attributes}


def _check_same_encoding(
    first_id: str, encoding: Mapping[str, Attribute], width: int, slide_id: str, bag: Bag
) -> None:
    if bag.features.shape[1] != width:
        raise DataError(
            f'bag "{slide_id}" holds vectors of {bag.features.shape[1]} numbers, bag "{first_id}" '
            f"of {width}: extract all slides with one encoder"
        )
    other = encoding_of(bag)
    differing = [name for name in _COMPARABLE if encoding.get(name) != other.get(name)]
    if differing:
        name = differing[0]
        raise DataError(
            f'bags "{first_id}" and "{slide_id}" differ in {name} '
            f"({shortened(encoding.get(name))} and {shortened(other.get(name))}): extract all "
            "slides with one encoder and one set of settings"
        )


def shortened(value: Attribute | None) -> str:
    """Say a value in a line; a rule or reference is a page of JSON, told apart by its digest."""
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:12]}... {digest_of(text)[:8]}"


def _join(slides: Mapping[str, Bag]) -> PatientBag:
    features = np.concatenate([bag.features for bag in slides.values()])
    coords = {slide_id: bag.coords for slide_id, bag in slides.items()}
    return PatientBag(torch.from_numpy(features), coords)
