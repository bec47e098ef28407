"""Gather a patient's slides into one bag, and make sure all bags speak the same language."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.instances import Instances, MappedInstances
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

    @property
    def rows(self) -> Instances:
        """The instances, of which some can be taken without reading the others."""
        return self.instances

    @property
    def slides(self) -> tuple[NDArray[np.floating], ...]:
        """The instances as arrays, one or more."""
        return (self.instances.numpy(),)


class MappedPatientBag(PatientBag):
    """A patient's bag whose embeddings stay in the files of the slides."""

    _rows: MappedInstances

    def __init__(
        self, slides: Sequence[np.memmap], coords: Mapping[str, NDArray[np.int64]]
    ) -> None:
        object.__setattr__(self, "_rows", MappedInstances(slides))
        object.__setattr__(self, "coords", coords)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def instances(self) -> Tensor:
        """(N, D) instances; those of several slides are copied into memory to be one."""
        return self._rows[:]

    @property
    def rows(self) -> MappedInstances:
        """The instances, of which some can be taken without reading the others."""
        return self._rows

    @property
    def slides(self) -> tuple[np.memmap, ...]:
        """The maps, one a slide."""
        return self._rows.slides


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


def read_patient_bags(
    cohort: Cohort, folder: Path, *, memory_gb: float = math.inf, shared: bool = False
) -> PatientBags:
    """Read every slide's bag and join those of a patient.

    Parameters
    ----------
    cohort
        Whose bags.
    folder
        Where they lie.
    memory_gb
        If the files are larger together, embeddings stay in them, memory-mapped.
    shared
        Several processes are to read them: they stay in their files wherever they can be mapped.

    Raises
    ------
    FileFormatError
        If a bag is missing or damaged.
    DataError
        If two bags are of different encoders, preprocessing or width; the line names both.
    """
    if not cohort.slides:
        raise DataError("the cohort has no slide with a bag; run cmil extract")
    paths = {slide.slide_id: bag_path(folder, slide.slide_id) for slide in cohort.slides}
    too_large = _gigabytes(paths.values()) > memory_gb
    mapped = too_large or shared
    read = {slide_id: read_bag(path, mapped=mapped) for slide_id, path in paths.items()}
    if too_large:
        _check_all_mapped(read, memory_gb)
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


def _gigabytes(paths: Iterable[Path]) -> float:
    """Sizes of those files that are there; reading names those that are not."""
    return sum(path.stat().st_size for path in paths if path.exists()) / 1e9


def _check_all_mapped(read: Mapping[str, Bag], memory_gb: float) -> None:
    for slide_id, bag in read.items():
        if not isinstance(bag.features, np.memmap):
            raise DataError(
                f'bag "{slide_id}" is compressed or in chunks and cannot be memory-mapped, and the '
                f"bags are larger than memory_gb = {memory_gb:g}; raise it, or write the features "
                "contiguous and uncompressed"
            )


def _join(slides: Mapping[str, Bag]) -> PatientBag:
    coords = {slide_id: bag.coords for slide_id, bag in slides.items()}
    features = [bag.features for bag in slides.values()]
    maps = [rows for rows in features if isinstance(rows, np.memmap)]
    if len(maps) == len(features):
        return MappedPatientBag(maps, coords)
    return PatientBag(torch.from_numpy(np.concatenate(features)), coords)
