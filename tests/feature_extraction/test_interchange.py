"""Bags written for other programs, read back by stand-ins for their readers."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from cohorts.errors import DataError, FileFormatError, SettingsError
from feature_extraction.bags import Bag, bag_path, read_bag, write_bag
from feature_extraction.candidates import Candidates, write_candidates
from feature_extraction.coordinates import coordinates_path, read_coordinates
from feature_extraction.interchange import Layout, export_bags

GRID = {
    "patch_size": 224,
    "patch_size_level0": 448,
    "level0_magnification": 40.0,
    "target_magnification": 20.0,
    "overlap": 0,
    "name": "S1",
    "level0_width": 9000,
    "level0_height": 8000,
}
SAID = {"encoder": "timm:resnet18", "encoder_digest": "e" * 64, "made_by": "m1", "dimension": 6}


def bag_of(seed: int, rows: int = 4, **changes: object) -> Bag:
    rng = np.random.default_rng(seed)
    coords = rng.integers(0, 8000, (rows, 2))
    features = rng.normal(size=(rows, 6)).astype(np.float16)
    return Bag(features, coords, {**SAID, "slide_id": f"S{seed}", **changes}, GRID)


@pytest.fixture
def bags(tmp_path: Path) -> Path:
    folder = tmp_path / "bags"
    for number in (1, 2):
        write_bag(bag_path(folder, f"S{number}"), bag_of(number))
    (folder / ".S3.h5.abc.part").write_bytes(b"half")
    (folder / "slides.csv").write_text("slide_id\n")
    return folder


def as_trident_reads(job: Path, slide_id: str) -> tuple[Mapping[str, object], np.ndarray]:
    """TRIDENT: the attributes of `coords` and the array, from the file of patches."""
    with h5py.File(job / "patches" / f"{slide_id}_patches.h5") as file:
        return dict(file["coords"].attrs), file["coords"][:]


def as_torchmil_reads(job: Path, encoder: str, slide_id: str) -> tuple[torch.Tensor, np.ndarray]:
    """torchmil: features of one folder, and the patches beside it under the same slide."""
    with h5py.File(job / f"features_{encoder}" / f"{slide_id}.h5") as file:
        features = torch.from_numpy(file["features"][:])
    coords = as_trident_reads(job, slide_id)[1]
    assert len(coords) == len(features)
    return features, coords


def as_clam_reads(data_dir: Path, slide_id: str) -> tuple[torch.Tensor, np.ndarray]:
    """CLAM: `h5_files` below its data folder, two datasets and no attribute."""
    with h5py.File(data_dir / "h5_files" / f"{slide_id}.h5") as file:
        return torch.from_numpy(file["features"][:]), file["coords"][:]


def test_tridents_and_torchmils_readers_find_everything(bags: Path, tmp_path: Path) -> None:
    seen = export_bags(bags, tmp_path / "job", layout="trident")
    assert [(one.slide_id, one.state, one.note) for one in seen] == [
        ("S1", "made", ""),
        ("S2", "made", ""),
    ]
    job = tmp_path / "job" / "20x_224px_0px_overlap"
    for number in (1, 2):
        bag = bag_of(number)
        features, coords = as_torchmil_reads(job, "timm_resnet18", f"S{number}")
        assert features.dtype == torch.float32
        np.testing.assert_array_equal(features.numpy(), bag.features.astype(np.float32))
        np.testing.assert_array_equal(coords, bag.coords)
        attributes, _ = as_trident_reads(job, f"S{number}")
        expected = {**GRID, "name": f"S{number}", "savetodir": "patches"}
        assert attributes == expected
    assert seen[0].path == job / "features_timm_resnet18" / "S1.h5"
    with h5py.File(seen[0].path) as file:
        assert dict(file["coords"].attrs) == {**GRID, "savetodir": "patches"}
        assert dict(file["features"].attrs) == {
            "name": "S1",
            "savetodir": "features_timm_resnet18",
            "encoder": "timm:resnet18",
        }


def test_what_is_exported_comes_back_as_a_bag_and_as_coordinates(
    bags: Path, tmp_path: Path
) -> None:
    (first, _) = export_bags(bags, tmp_path / "job", layout="trident", dtype="float16")
    read = read_bag(first.path)
    np.testing.assert_array_equal(read.features, bag_of(1).features)
    assert read.features.dtype == np.float16
    assert read.attributes["encoder"] == "timm:resnet18"
    assert (read.attributes["patch_px"], read.attributes["mpp_used"]) == (224, 0.5)
    found = read_coordinates(coordinates_path(first.path.parents[1], "S1"))
    np.testing.assert_array_equal(found.coords, bag_of(1).coords)
    assert (found.side_level0, found.made_by) == (448, "TRIDENT")


def test_clams_reader_finds_everything(bags: Path, tmp_path: Path) -> None:
    export_bags(bags, tmp_path / "clam", layout="clam")
    features, coords = as_clam_reads(tmp_path / "clam", "S2")
    assert features.dtype == torch.float32
    assert coords.dtype == np.int32
    np.testing.assert_array_equal(features.numpy(), bag_of(2).features.astype(np.float32))
    np.testing.assert_array_equal(coords, bag_of(2).coords)
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize("layout", ["trident", "clam"])
def test_only_bags_that_changed_are_written_again(
    bags: Path, tmp_path: Path, layout: Layout
) -> None:
    before = export_bags(bags, tmp_path / "out", layout=layout)
    stamps = {one.path: one.path.stat().st_mtime_ns for one in before}
    write_bag(bag_path(bags, "S2"), bag_of(2, rows=3, made_by="m2"))
    after = export_bags(bags, tmp_path / "out", layout=layout)
    assert [one.state for one in after] == ["reused", "made"]
    assert before[0].path.stat().st_mtime_ns == stamps[before[0].path]
    assert len(read_bag(after[1].path)) == 3
    before[0].path.write_bytes(b"cut short")
    again = export_bags(bags, tmp_path / "out", layout=layout)
    assert [one.state for one in again] == ["made", "reused"]
    in_halves = export_bags(bags, tmp_path / "out", layout=layout, dtype="float16")
    assert [one.state for one in in_halves] == ["made", "made"]


def test_dropped_patches_are_not_exported(tmp_path: Path) -> None:
    made = Candidates(
        np.arange(10).reshape(5, 2),
        np.array([0, 1, 0, 1, 0], np.uint8),
        ("kept", "blurred"),
        attributes=SAID,
        grid=GRID,
    )
    features = np.arange(30, dtype=np.float32).reshape(5, 6)
    write_candidates(tmp_path / "bags" / "S1.h5", made, [features])
    export_bags(tmp_path / "bags", tmp_path / "out", layout="clam")
    with h5py.File(tmp_path / "out" / "h5_files" / "S1.h5") as file:
        assert set(file) == {"features", "coords"}
        np.testing.assert_array_equal(file["features"][:], features[::2])


@pytest.mark.parametrize("layout", ["trident", "clam"])
def test_a_bag_that_the_rule_emptied_is_passed_over(
    bags: Path, tmp_path: Path, layout: Layout
) -> None:
    none = Candidates(
        np.zeros((2, 2), np.int64),
        np.ones(2, np.uint8),
        ("kept", "blurred"),
        attributes=SAID,
        grid=GRID,
    )
    write_candidates(bag_path(bags, "S1"), none, [np.ones((2, 6), np.float16)])
    emptied, other = export_bags(bags, tmp_path / "out", layout=layout)
    assert (emptied.slide_id, emptied.state) == ("S1", "passed over")
    assert "no patch passes the rule" in emptied.note
    assert other.state == "made"
    assert {path.stem.partition("_")[0] for path in (tmp_path / "out").rglob("*.h5")} == {"S2"}


def test_patches_of_several_images_keep_saying_so(tmp_path: Path) -> None:
    index = np.array([0, 0, 1, 1], np.int32)
    bag = bag_of(1)
    several = Bag(bag.features, bag.coords, bag.attributes, GRID, index, ("a.png", "b.png"))
    write_bag(tmp_path / "bags" / "S1.h5", several)
    for layout in ("trident", "clam"):
        (one,) = export_bags(tmp_path / "bags", tmp_path / layout, layout=layout)
        assert "several images" in one.note
        read = read_bag(one.path)
        assert read.images == ("a.png", "b.png")
        np.testing.assert_array_equal(read.image_index, index)
        assert "several images" in str(read.attributes["note"])


def test_bags_of_another_program_are_exported_too(tmp_path: Path) -> None:
    (tmp_path / "bags").mkdir()
    with h5py.File(tmp_path / "bags" / "S1.h5", "w") as file:
        file["features"], file["coords"] = np.ones((3, 2)), np.zeros((3, 2), np.int32)
    (one,) = export_bags(tmp_path / "bags", tmp_path / "out", layout="clam")
    assert as_clam_reads(tmp_path / "out", "S1")[0].dtype == torch.float32
    assert one.state == "made"
    with pytest.raises(DataError, match='"S1" does not state patch_size, patch_size_level0'):
        export_bags(tmp_path / "bags", tmp_path / "job", layout="trident")


@pytest.mark.parametrize("inside", ["bags", "bags/out", "bags/../bags/out"])
def test_the_folder_of_bags_is_not_written_to(bags: Path, tmp_path: Path, inside: str) -> None:
    with pytest.raises(SettingsError, match="lies in the folder of bags"):
        export_bags(bags, tmp_path / inside, layout="clam")


def test_a_folder_without_bags_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no bag"):
        export_bags(tmp_path / "none", tmp_path / "out", layout="clam")


@pytest.mark.parametrize(
    "change", [{"encoder": "other"}, {"encoder_digest": "f" * 64}, {"dimension": 7}]
)
def test_bags_of_two_encoders_are_not_mixed(
    bags: Path, tmp_path: Path, change: Mapping[str, object]
) -> None:
    write_bag(bag_path(bags, "S2"), bag_of(2, **change))
    with pytest.raises(DataError, match=f'"S1" and "S2" differ in {next(iter(change))};'):
        export_bags(bags, tmp_path / "out", layout="clam")
    assert not (tmp_path / "out").exists()


def test_numbers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    large = Bag(np.full((1, 2), 1e5, np.float32), np.full((1, 2), 2**31), SAID, GRID)
    write_bag(tmp_path / "bags" / "S1.h5", large)
    with pytest.raises(DataError, match="too large for float16"):
        export_bags(tmp_path / "bags", tmp_path / "a", layout="trident", dtype="float16")
    with pytest.raises(DataError, match="coords beyond 32 bits"):
        export_bags(tmp_path / "bags", tmp_path / "b", layout="clam")
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_bag_is_named(bags: Path, tmp_path: Path) -> None:
    whole = (bags / "S2.h5").read_bytes()
    (bags / "S2.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match=r'"S2\.h5" is truncated'):
        export_bags(bags, tmp_path / "out", layout="trident")


@pytest.mark.parametrize("layout", ["trident", "clam"])
def test_coordinates_behind_a_link_are_not_followed(tmp_path: Path, layout: Layout) -> None:
    """The error would tell of a file that the bag has no right to name."""
    write_bag(tmp_path / "other.h5", bag_of(0))
    write_bag(bag_path(tmp_path / "bags", "S1"), bag_of(1))
    with h5py.File(bag_path(tmp_path / "bags", "S1"), "r+") as file:
        del file["coords"]
        file["coords"] = h5py.ExternalLink("../other.h5", "/coords")
    with pytest.raises(FileFormatError, match='"coords" is a link to elsewhere; refused'):
        export_bags(tmp_path / "bags", tmp_path / "out", layout=layout)
