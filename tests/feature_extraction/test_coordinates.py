"""Coordinate files as TRIDENT and CLAM write them."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest

from cohorts.errors import FileFormatError, ImageError
from feature_extraction.bags import Bag, write_bag
from feature_extraction.coordinates import coordinates_path, read_coordinates
from feature_extraction.geometry import Geometry
from feature_extraction.units import Level0Px

CORNERS = np.array([[0, 0], [512, 0], [1024, 1536]])
TRIDENT: Mapping[str, object] = {
    "patch_size": 256,
    "patch_size_level0": 512,
    "level0_magnification": 40,
    "target_magnification": 20,
    "overlap": 0,
    "name": "S1",
    "savetodir": "/data/job",
    "level0_width": 2000,
    "level0_height": 1700,
}
CLAM: Mapping[str, object] = {
    "patch_size": 256,
    "patch_level": 1,
    "downsample": (4.0, 4.0003),
    "downsampled_level_dim": np.array([500, 425]),
    "level_dim": (500, 425),
    "name": "S1",
    "save_path": "/data/patches",
}


def written(path: Path, attributes: Mapping[str, object], coords: np.ndarray = CORNERS) -> Path:
    with h5py.File(path, "w") as file:
        chunks = (1, 2) if len(coords) and coords.shape[1:] == (2,) else None
        dataset = file.create_dataset("coords", data=coords, chunks=chunks)
        dataset.attrs.update(attributes)
    return path


def without(attributes: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in attributes.items() if name not in names}


@pytest.mark.parametrize("kind", ["int64", "int32"])
def test_tridents_file_is_read(tmp_path: Path, kind: str) -> None:
    read = read_coordinates(written(tmp_path / "S1_patches.h5", TRIDENT, CORNERS.astype(kind)))
    np.testing.assert_array_equal(read.coords, CORNERS)
    assert read.coords.dtype == np.int64
    assert (read.side_level0, read.patch_px, read.made_by) == (512, 256, "TRIDENT")
    assert (read.level0_width, read.level0_height) == (2000, 1700)
    assert len(read) == 3


def test_an_older_file_of_trident_states_magnifications_only(tmp_path: Path) -> None:
    older = {**without(TRIDENT, "patch_size_level0", "level0_width"), "level0_height": "None"}
    read = read_coordinates(written(tmp_path / "S1.h5", {**older, "target_magnification": 15}))
    assert read.side_level0 == 256 * 40 // 15
    assert read.level0_width is None


def test_clams_file_is_read(tmp_path: Path) -> None:
    read = read_coordinates(written(tmp_path / "S1.h5", CLAM))
    assert (read.side_level0, read.patch_px, read.made_by) == (1024, 256, "CLAM")
    assert read.level0_width is None, "level_dim is of another level"
    at_level0 = {**CLAM, "patch_level": 0, "downsample": 1.0, "level_dim": (2000, 1700)}
    read = read_coordinates(written(tmp_path / "S1.h5", at_level0))
    assert (read.side_level0, read.level0_width, read.level0_height) == (256, 2000, 1700)


def test_coordinates_of_our_own_bag_are_read_but_not_of_several_images(tmp_path: Path) -> None:
    features = np.ones((3, 2), np.float32)
    grid = {"patch_size": 256, "patch_size_level0": 512}
    write_bag(tmp_path / "a.h5", Bag(features, CORNERS, grid=grid))
    read = read_coordinates(tmp_path / "a.h5")
    assert (read.made_by, read.side_level0) == ("cMIL", 512)
    index = np.zeros(3, np.int32)
    write_bag(tmp_path / "b.h5", Bag(features, CORNERS, {}, grid, index, ("x.png",)))
    with pytest.raises(FileFormatError, match="several images"):
        read_coordinates(tmp_path / "b.h5")


@pytest.mark.parametrize(
    ("attributes", "coords", "said"),
    [
        ({}, CORNERS, "does not state the size of a patch"),
        (without(TRIDENT, "patch_size_level0", "patch_size"), CORNERS, "does not state the size"),
        ({**TRIDENT, "patch_size_level0": 0}, CORNERS, "patches of 0 level-0 px"),
        ({**TRIDENT, "patch_size_level0": -512}, CORNERS, "patches of -512 level-0 px"),
        ({**TRIDENT, "patch_size_level0": 1e30}, CORNERS, r"patches of 1e\+30 level-0 px"),
        (
            {**without(TRIDENT, "patch_size"), "patch_size_level0": np.nan},
            CORNERS,
            "does not state the size",
        ),
        ({**TRIDENT, "level0_width": 1024}, CORNERS, "beyond the 1024 x 1700 px it states"),
        (TRIDENT, CORNERS - 1, "negative"),
        (TRIDENT, CORNERS.astype(np.uint64) + np.uint64(2**63), "impossibly large"),
        (TRIDENT, CORNERS.astype(float), '"coords" has type float64'),
        (TRIDENT, CORNERS[:, :1], r"coords \(3, 1\)"),
        (TRIDENT, CORNERS.ravel(), r"coords \(6,\)"),
        (TRIDENT, CORNERS[:0], r"coords \(0, 2\)"),
        (without(CLAM, "downsample"), CORNERS, "does not state patch_size, patch_level and"),
        ({**CLAM, "downsample": (4.0, np.inf)}, CORNERS, "does not state patch_size, patch"),
        ({**CLAM, "downsample": (4.0, -4.0)}, CORNERS, "no patch is square"),
        ({**CLAM, "downsample": (4.0, 8.0)}, CORNERS, "no patch is square"),
        ({**CLAM, "patch_size": "256"}, CORNERS, "does not state patch_size, patch_level"),
    ],
)
def test_what_no_slide_can_have_is_refused(
    tmp_path: Path, attributes: Mapping[str, object], coords: np.ndarray, said: str
) -> None:
    path = written(tmp_path / "S1_patches.h5", attributes, coords)
    with pytest.raises(FileFormatError, match=said) as refusal:
        read_coordinates(path)
    assert len(str(refusal.value).splitlines()) == 1
    assert "S1_patches.h5" in str(refusal.value)


def test_a_file_without_coords_and_no_file_at_all_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["features"] = np.ones((3, 2))
    with pytest.raises(FileFormatError, match='no dataset "coords"'):
        read_coordinates(tmp_path / "S1.h5")
    with pytest.raises(FileFormatError, match="does not exist"):
        read_coordinates(tmp_path / "S2.h5")


def test_coordinates_lie_within_the_slide_they_were_made_of(tmp_path: Path) -> None:
    read = read_coordinates(written(tmp_path / "S1.h5", TRIDENT))
    read.within(Level0Px(2000), Level0Px(1700))
    with pytest.raises(ImageError, match="slide of 2000 x 1700 px, this one has 1700 x 2000"):
        read.within(Level0Px(1700), Level0Px(2000))
    clam = read_coordinates(written(tmp_path / "S2.h5", CLAM))
    clam.within(Level0Px(1025), Level0Px(1537))
    with pytest.raises(
        ImageError, match=r"1 patches beyond the slide, the first at \(1024, 1536\)"
    ):
        clam.within(Level0Px(1025), Level0Px(1536))


def test_patches_are_given_inside_the_image_at_the_settings_side(tmp_path: Path) -> None:
    read = read_coordinates(written(tmp_path / "S1.h5", TRIDENT))

    def geometry(side: int) -> Geometry:
        return Geometry(Level0Px(2000), Level0Px(1700), Level0Px(side), None, None)

    assert read.of(geometry(500)).tolist() == [[0, 0], [512, 0], [1024, 1200]]
    with pytest.raises(ImageError, match="patches of 512 level-0 px, the settings ask for 448"):
        read.of(geometry(448))


def test_the_digest_is_of_the_patches_and_not_of_the_file(tmp_path: Path) -> None:
    first = read_coordinates(written(tmp_path / "S1.h5", TRIDENT))
    same = read_coordinates(written(tmp_path / "S2.h5", {**TRIDENT, "savetodir": "/elsewhere"}))
    other = read_coordinates(written(tmp_path / "S3.h5", TRIDENT, CORNERS[:2]))
    assert first.digest == same.digest != other.digest


def test_a_slides_file_is_found_by_either_name(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r'neither "S1_patches\.h5" nor "S1\.h5"'):
        coordinates_path(tmp_path, "S1")
    (tmp_path / "patches").mkdir()
    for found in (tmp_path / "patches" / "S1.h5", tmp_path / "S1.h5", tmp_path / "S1_patches.h5"):
        found.touch()
        assert coordinates_path(tmp_path, "S1") == found
