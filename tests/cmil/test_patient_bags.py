"""A patient's slides become one bag; bags that do not compare are refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from cmil.patient_bags import digest_of_bags, read_patient_bags
from cohorts.errors import DataError, FileFormatError
from cohorts.manifest import Cohort, Slide, SourceKind
from feature_extraction.bags import Bag, bag_path, read_bag, write_bag

Toy = tuple[Cohort, Path]


@pytest.fixture
def small(
    write_toy: Callable[..., Toy], toy_patients: Callable[..., pd.DataFrame], tmp_path: Path
) -> Toy:
    """Two patients of three slides each, which a test may spoil."""
    return write_toy(tmp_path, toy_patients(2), slides=3)


@pytest.fixture
def new_bag(toy_bag: Callable[..., Bag]) -> Bag:
    return toy_bag(np.random.default_rng(9), 0)


def test_slides_are_joined_in_the_manifests_order(small: Toy) -> None:
    cohort, folder = small
    bags = read_patient_bags(cohort, folder)
    for patient in ("P00", "P01"):
        ids = [f"{patient}-{i}" for i in range(3)]
        slides = [read_bag(bag_path(folder, slide_id)) for slide_id in ids]
        joined = torch.from_numpy(np.concatenate([slide.features for slide in slides]))
        assert torch.equal(bags.bags[patient].instances, joined)
        assert len(bags.bags[patient]) == 5 + 6 + 7
        assert list(bags.bags[patient].coords) == ids
        for slide_id, slide in zip(ids, slides, strict=True):
            assert np.array_equal(bags.bags[patient].coords[slide_id], slide.coords)


def test_manifest_decides_the_order_and_not_the_names(small: Toy) -> None:
    cohort, folder = small
    turned = Cohort(cohort.slides[::-1], cohort.patients, cohort.manifest)
    assert list(read_patient_bags(turned, folder).bags["P00"].coords) == ["P00-2", "P00-1", "P00-0"]


def test_bags_of_a_part_of_the_cohort(small: Toy) -> None:
    bags = read_patient_bags(*small)
    (only,) = bags.of(small[0].restricted_to(["P01"]))
    assert only is bags.bags["P01"]


def test_encoding_is_what_makes_bags_comparable(small: Toy) -> None:
    bags = read_patient_bags(*small)
    assert bags.dimension == 4
    assert bags.encoding["encoder"] == "timm:resnet18"
    assert "made_by" not in bags.encoding


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder", "timm:vit"),
        ("mpp_used", 0.25),
        ("stain", "macenko"),
        ("stain_reference", "[1]"),
        ("min_stained", 0.2),
        ("rule", '{"focus": 1}'),
        ("max_patches", 500),
    ],
)
def test_mixed_encodings_are_refused_naming_both_slides(
    small: Toy, toy_bag: Callable[..., Bag], name: str, value: str | float
) -> None:
    write_bag(bag_path(small[1], "P01-1"), toy_bag(np.random.default_rng(0), 1, **{name: value}))
    with pytest.raises(DataError, match=f'"P00-0" and "P01-1" differ in {name} ') as refusal:
        read_patient_bags(*small)
    assert f"and {value})" in str(refusal.value)


def test_two_rules_are_told_apart_without_a_page_of_json(
    small: Toy, toy_bag: Callable[..., Bag]
) -> None:
    for number, limit in enumerate((1, 2)):
        rule = json.dumps({f"measure {i}": limit for i in range(100)})
        bag = toy_bag(np.random.default_rng(0), 1, rule=rule)
        write_bag(bag_path(small[1], f"P00-{number}"), bag)
    with pytest.raises(DataError, match=r"differ in rule \((\S+ \S+ \S+) and (.+?)\)") as refusal:
        read_patient_bags(*small)
    assert len(str(refusal.value)) < 250
    said = str(refusal.value).partition("(")[2].partition(")")[0].split(" and ")
    assert said[0] != said[1]


def test_mixed_widths_are_refused_naming_both_slides(small: Toy, new_bag: Bag) -> None:
    wide = Bag(np.ones((3, 9), np.float32), np.zeros((3, 2), np.int64), new_bag.attributes)
    write_bag(bag_path(small[1], "P01-1"), wide)
    with pytest.raises(DataError, match='"P01-1" holds vectors of 9 numbers, bag "P00-0" of 4'):
        read_patient_bags(*small)


def test_missing_bag_is_named(small: Toy) -> None:
    bag_path(small[1], "P01-2").unlink()
    with pytest.raises(FileFormatError, match=r"P01-2\.h5.*does not exist"):
        read_patient_bags(*small)


def test_cohort_without_a_bag_says_what_to_run(small: Toy) -> None:
    with pytest.raises(DataError, match="run cmil extract"):
        read_patient_bags(small[0].with_slides([]), small[1])


def test_digest_follows_the_recipe_and_not_the_place(
    small: Toy, new_bag: Bag, tmp_path: Path
) -> None:
    cohort, folder = small
    before = digest_of_bags(cohort, folder)
    assert read_patient_bags(cohort, folder).digest == before
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert digest_of_bags(cohort, copy) == before
    write_bag(bag_path(copy, "P00-1"), new_bag)
    assert digest_of_bags(cohort, copy) != before


def write_foreign(path: Path, features: np.ndarray) -> None:
    """A bag as CLAM writes it: two arrays and nothing said of them."""
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=features)
        file.create_dataset("coords", data=np.zeros((len(features), 2), np.int64))


def test_bags_of_another_program_work(small: Toy) -> None:
    cohort, folder = small
    rng = np.random.default_rng(0)
    for slide in cohort.slides:
        write_foreign(bag_path(folder, slide.slide_id), rng.normal(size=(2, 3)).astype(np.float32))

    bags = read_patient_bags(cohort, folder)

    assert bags.encoding == {}
    assert bags.dimension == 3
    assert len(bags.bags["P00"]) == 6
    write_foreign(bag_path(folder, "P00-0"), np.zeros((2, 3), np.float32))
    assert digest_of_bags(cohort, folder) != bags.digest


def test_bags_of_two_encoders_of_trident_are_refused(small: Toy) -> None:
    cohort, folder = small
    for number, slide in enumerate(cohort.slides):
        path = bag_path(folder, slide.slide_id)
        write_foreign(path, np.ones((2, 3), np.float32))
        with h5py.File(path, "r+") as file:
            file["features"].attrs["encoder"] = "uni_v1" if number < 4 else "uni_v2"
    with pytest.raises(DataError, match=r"differ in encoder \(uni_v1 and uni_v2\)"):
        read_patient_bags(cohort, folder)


def test_foreign_bag_beside_our_own_is_refused(small: Toy) -> None:
    write_foreign(bag_path(small[1], "P00-2"), np.zeros((2, 4), np.float32))
    with pytest.raises(DataError, match='"P00-0" and "P00-2" differ in encoder'):
        read_patient_bags(*small)


def test_another_rule_is_another_set_of_bags(tmp_path: Path) -> None:
    """Training and scoring are done anew when the rule took patches away, or gave them back."""
    bag = Bag(
        np.ones((3, 4), np.float16), np.zeros((3, 2), np.int64), {"made_by": "0", "rule": "loose"}
    )
    cohort = Cohort(
        (Slide("S1", "P1", tmp_path, SourceKind.FOLDER, None, 2),),
        pd.DataFrame(index=pd.Index(["P1"], name="patient_id")),
        tmp_path / "cohort.csv",
    )
    write_bag(tmp_path / "S1.h5", bag)
    loose = digest_of_bags(cohort, tmp_path)
    write_bag(tmp_path / "S1.h5", replace(bag, attributes={"made_by": "0", "rule": "strict"}))
    assert digest_of_bags(cohort, tmp_path) != loose


@pytest.mark.parametrize("how", [{"memory_gb": 0.0}, {"shared": True}])
def test_mapped_bags_are_those_in_memory(small: Toy, how: dict[str, float]) -> None:
    here, mapped = read_patient_bags(*small), read_patient_bags(*small, **how)
    assert mapped.digest == here.digest
    for patient, bag in here.bags.items():
        other = mapped.bags[patient]
        assert all(isinstance(slide, np.memmap) for slide in other.slides)
        assert torch.equal(other.instances, bag.instances)
        assert len(other) == len(bag)
        assert list(other.coords) == list(bag.coords)
        rows = torch.tensor([1, 4, 9])
        assert torch.equal(other.rows[rows], bag.rows[rows])


def test_mapped_bag_with_nan_is_refused(small: Toy, new_bag: Bag) -> None:
    features = new_bag.features.copy()
    features[-1, -1] = np.nan
    write_bag(bag_path(small[1], "P01-1"), replace(new_bag, features=features))
    with pytest.raises(FileFormatError, match=r'"P01-1\.h5" holds NaN'):
        read_patient_bags(*small, memory_gb=0)


def test_bag_in_chunks_that_does_not_fit_is_refused(small: Toy) -> None:
    path = bag_path(small[1], "P00-1")
    bag = read_bag(path)
    with h5py.File(path, "r+") as file:
        del file["features"]
        file.create_dataset("features", data=bag.features, chunks=(1, 4))
    with pytest.raises(
        DataError, match='"P00-1" is compressed or in chunks and cannot be memory-mapped'
    ):
        read_patient_bags(*small, memory_gb=0)
    # With room enough it is read, and the others are shared as files.
    assert len(read_patient_bags(*small, shared=True).bags["P00"]) == 18
