from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.errors import FileFormatError
from feature_extraction.bags import (
    FORMAT_VERSION,
    Bag,
    bag_path,
    read_bag,
    read_bag_attributes,
    write_bag,
)

GRID = {
    "patch_size": 32,
    "patch_size_level0": 64,
    "level0_magnification": 40.0,
    "target_magnification": 20.0,
    "overlap": 0,
    "name": "S1",
    "level0_width": 640,
    "level0_height": 480,
}


def made(dtype: str = "float16", rows: int = 5) -> Bag:
    random = np.random.default_rng(3)
    return Bag(
        features=random.normal(size=(rows, 7)).astype(dtype),
        coords=random.integers(0, 10**10, (rows, 2)),
        attributes={"slide_id": "S1", "encoder": "µ:net", "patches": rows, "mpp_used": 0.5},
        grid=GRID,
        image_index=np.arange(rows, dtype=np.int32) % 2,
        images=("a.png", "Zoë/b.png"),
        quality={"stained": random.random(rows).astype(np.float32)},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_bag(tmp_path / "S1.h5", made())
    return tmp_path / "S1.h5"


def refusal_of(path: Path) -> str:
    with pytest.raises(FileFormatError) as refusal:
        read_bag(path)
    assert len(str(refusal.value).splitlines()) == 1
    assert path.name in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_bag_is_read_back(tmp_path: Path, dtype: str) -> None:
    bag = made(dtype)
    path = bag_path(tmp_path, "S1")
    write_bag(path, bag)
    read = read_bag(path)
    assert read.features.dtype == dtype
    assert read.coords.dtype == np.int64
    np.testing.assert_array_equal(read.features, bag.features)
    np.testing.assert_array_equal(read.coords, bag.coords)
    np.testing.assert_array_equal(read.image_index, bag.image_index)
    assert read.images == bag.images
    assert list(read.quality) == ["stained"]
    np.testing.assert_array_equal(read.quality["stained"], bag.quality["stained"])
    assert dict(read.grid) == GRID
    expected = {**bag.attributes, "format": "cmil-bag", "format_version": FORMAT_VERSION}
    assert dict(read.attributes) == expected
    assert dict(read_bag_attributes(path)) == expected
    assert len(read) == 5


def test_a_bag_of_a_slide_names_no_images(tmp_path: Path) -> None:
    write_bag(tmp_path / "a.h5", Bag(made().features, made().coords))
    read = read_bag(tmp_path / "a.h5")
    assert read.image_index is None
    assert read.images == ()
    assert dict(read.quality) == {}


def test_the_layout_is_tridents_contiguous_and_uncompressed(path: Path) -> None:
    with h5py.File(path) as file:
        for name in ("features", "coords", "image_index", "images", "quality/stained"):
            assert file[name].chunks is None
            assert file[name].compression is None
        assert file["features"].attrs["encoder"] == "µ:net"
        assert set(file["coords"].attrs) == set(GRID)
        assert file["coords"].attrs["patch_size_level0"] == 64
        assert file["coords"].dtype == np.int64
        assert file.attrs["format"] == "cmil-bag"


def test_names_of_images_are_read_as_earlier_bags_held_them(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["images"]
        names = ["a.png", "Zoë/b.png"]
        file.create_dataset("images", data=names, dtype=h5py.string_dtype())
    assert read_bag(path).images == ("a.png", "Zoë/b.png")


def test_the_same_bag_has_the_same_bytes(tmp_path: Path, path: Path) -> None:
    write_bag(tmp_path / "again.h5", made())
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_a_writing_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    unwritable = Bag(made().features, made().coords, quality={"odd": np.array([object()])})
    with pytest.raises(TypeError):
        write_bag(tmp_path / "a.h5", unwritable)
    assert list(tmp_path.iterdir()) == []


def test_a_bag_like_tridents_is_read(tmp_path: Path) -> None:
    bag = made("float32")
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file.create_dataset(
            "features", data=bag.features, chunks=(2, 7), maxshape=(None, 7), compression="gzip"
        )
        coords = file.create_dataset("coords", data=bag.coords, chunks=(2, 2), maxshape=(None, 2))
        coords.attrs["patch_size"] = np.int64(256)
        coords.attrs["name"] = np.bytes_("S1")
        coords.attrs["levels"] = np.arange(3)
    read = read_bag(tmp_path / "S1.h5")
    np.testing.assert_array_equal(read.features, bag.features)
    np.testing.assert_array_equal(read.coords, bag.coords)
    assert dict(read.attributes) == {"patch_px": 256}
    assert dict(read.grid) == {"patch_size": 256, "name": "S1"}


def write_trident(path: Path, **grid: object) -> None:
    """As TRIDENT does: one row a chunk, the encoder at `features`, the grid at `coords`."""
    bag = made("float32")
    with h5py.File(path, "w") as file:
        features = file.create_dataset(
            "features", data=bag.features, chunks=(1, 7), maxshape=(None, 7)
        )
        features.attrs.update({"name": "S1", "savetodir": "/data/job", "encoder": "uni_v1"})
        coords = file.create_dataset("coords", data=bag.coords, chunks=(1, 2), maxshape=(None, 2))
        coords.attrs.update({**GRID, **grid})


@pytest.mark.parametrize("magnification", [20, 20.0, np.float32(20)])
def test_what_trident_states_goes_by_our_names(tmp_path: Path, magnification: object) -> None:
    write_trident(tmp_path / "S1.h5", target_magnification=magnification)
    stated = {"encoder": "uni_v1", "patch_px": 32, "mpp_used": 0.5}
    assert dict(read_bag(tmp_path / "S1.h5").attributes) == stated
    assert dict(read_bag_attributes(tmp_path / "S1.h5")) == stated


@pytest.mark.parametrize("magnification", ["None", 0, -20.0, np.nan, np.inf])
def test_a_magnification_that_is_none_is_not_taken_for_one(
    tmp_path: Path, magnification: object
) -> None:
    write_trident(tmp_path / "S1.h5", target_magnification=magnification, patch_size="None")
    assert dict(read_bag(tmp_path / "S1.h5").attributes) == {"encoder": "uni_v1"}


def test_a_leading_axis_of_one_is_dropped(tmp_path: Path) -> None:
    bag = made("float32")
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["features"], file["coords"] = bag.features[None], bag.coords[None]
    read = read_bag(tmp_path / "S1.h5")
    np.testing.assert_array_equal(read.features, bag.features)
    np.testing.assert_array_equal(read.coords, bag.coords)


def test_stamps_bags_are_refused_saying_why(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["feats"] = made().features
        file["coords"] = made().coords.astype(np.float32)
        file.attrs.update({"unit": "um", "tile_size_um": 256.0, "tile_size_px": 224})
    assert "STAMP's: its coords are microns" in refusal_of(tmp_path / "S1.h5")


@pytest.mark.parametrize("kind", ["<f8", ">f4"])
def test_a_bag_like_clams_is_read(tmp_path: Path, kind: str) -> None:
    features = made("float32").features
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["features"] = features.astype(kind)
        file["coords"] = np.arange(10, dtype=np.int32).reshape(5, 2)
    read = read_bag(tmp_path / "S1.h5")
    assert read.features.dtype == np.float32
    np.testing.assert_array_equal(read.features, features)
    assert read.coords.dtype == np.int64
    assert read.coords.tolist()[4] == [8, 9]


def test_an_absent_bag_and_what_is_no_bag_are_refused(tmp_path: Path) -> None:
    assert "does not exist; run cmil extract" in refusal_of(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("patient_id,score\n")
    assert "not HDF5" in refusal_of(tmp_path / "text.h5")
    assert "not HDF5" in refusal_of(tmp_path)


@pytest.mark.parametrize("left", [0, 7, 100, 0.5, 0.99])
def test_a_truncated_bag_is_refused(path: Path, left: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left if left >= 1 else left * len(whole))])
    assert "truncated" in refusal_of(path)
    with pytest.raises(FileFormatError, match="truncated"):
        read_bag_attributes(path)


def test_damage_anywhere_in_the_structure_is_one_line(path: Path) -> None:
    """The structure is what lies about the arrays; a changed number in an array is a number."""
    bag = made()
    write_bag(path, Bag(bag.features, bag.coords, bag.attributes, bag.grid, quality=bag.quality))
    whole = path.read_bytes()
    refused = 0
    for start in range(8, 1600, 16):
        path.write_bytes(whole[:start] + b"\xa5" * 8 + whole[start + 8 :])
        try:
            read_bag(path)
        except FileFormatError as error:
            assert path.name in str(error)
            assert len(str(error).splitlines()) == 1
            refused += 1
    assert refused > 10


def spoil(path: Path, change: Callable[[h5py.File], None]) -> str:
    with h5py.File(path, "r+") as file:
        change(file)
    return refusal_of(path)


def replace(name: str, values: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = values

    return change


@pytest.mark.parametrize("number", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("row", [0, 69_999])
def test_numbers_that_are_none_are_refused(
    tmp_path: Path, number: float, kind: str, row: int
) -> None:
    """Also in the last of several blocks, and with either sign."""
    features = np.random.default_rng(0).normal(size=(70_000, 12)).astype(kind)
    features[row, 11] = number
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["features"], file["coords"] = features, np.zeros((70_000, 2), np.int64)
    assert "NaN or infinity" in refusal_of(tmp_path / "S1.h5")


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_the_largest_smallest_and_negative_zero_are_numbers(tmp_path: Path, kind: str) -> None:
    limits = np.finfo(kind)
    row = [limits.max, limits.min, limits.smallest_subnormal, -limits.smallest_subnormal, -0.0, 0]
    features = np.array([row], dtype=kind)
    write_bag(tmp_path / "S1.h5", Bag(features, np.zeros((1, 2), np.int64)))
    read = read_bag(tmp_path / "S1.h5").features
    assert read.tobytes() == features.tobytes()


def test_a_bag_behind_a_user_block_is_read(tmp_path: Path) -> None:
    bag = made("float32")
    with h5py.File(tmp_path / "S1.h5", "w", userblock_size=1024) as file:
        file["features"], file["coords"] = bag.features, bag.coords
    np.testing.assert_array_equal(read_bag(tmp_path / "S1.h5").features, bag.features)


def test_a_number_too_large_for_32_bits_is_refused(path: Path) -> None:
    features = made().features.astype(np.float64)
    features[3, 2] = 1e300
    assert "NaN or infinity" in spoil(path, replace("features", features))


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("features", np.ones((5, 7), np.int32), '"features" has type int32'),
        ("features", np.array([b"a"] * 5), '"features" has type'),
        ("features", np.ones((0, 7), np.float32), "holds no patch"),
        ("features", np.ones((5, 0), np.float32), "holds no patch"),
        ("features", np.ones(5, np.float32), "holds no patch"),
        ("features", np.ones((4, 7), np.float32), "(5, 2) do not match features (4, 7)"),
        ("coords", np.ones((5, 2), np.float32), '"coords" has type float32'),
        ("coords", np.ones((6, 2), np.int64), "do not match"),
        ("coords", np.ones((5, 3), np.int64), "do not match"),
        ("image_index", np.ones(4, np.int32), '"image_index" (4,) for 5 patches'),
        ("image_index", np.ones(5, np.float32), '"image_index" has type float32'),
        ("image_index", np.full(5, 2, np.int32), "image_index names none of its images"),
        ("image_index", np.full(5, 2**32 + 1), "image_index names none of its images"),
        ("image_index", np.full(5, -1, np.int32), 'impossibly large number in "image_index"'),
        ("coords", np.full((5, 2), -1), 'negative or impossibly large number in "coords"'),
        ("coords", np.full((5, 2), 2**63, np.uint64), 'impossibly large number in "coords"'),
        ("images", np.ones(2, np.int32), '"images" (2,) has type int32'),
        ("images", b"a.png", '"images" () has type'),
        ("quality/stained", np.ones(6, np.float32), '"quality/stained" (6,) for 5 patches'),
        ("quality/stained", np.ones(5, np.int32), '"quality/stained" has type int32'),
        ("quality/stained", np.full(5, np.nan, np.float32), 'NaN or infinity in "quality/stained"'),
        ("quality", np.ones(5, np.float32), '"quality" is not a group'),
    ],
)
def test_arrays_of_a_wrong_type_or_length_are_refused(
    path: Path, name: str, values: np.ndarray | bytes, said: str
) -> None:
    assert said in spoil(path, replace(name, values))


@pytest.mark.parametrize("name", ["features", "coords"])
def test_a_bag_without_its_arrays_is_refused(path: Path, name: str) -> None:
    def remove(file: h5py.File) -> None:
        del file[name]

    assert f'has no dataset "{name}"' in spoil(path, remove)


def test_a_group_in_place_of_an_array_is_refused(path: Path) -> None:
    def change(file: h5py.File) -> None:
        del file["features"]
        file.create_group("features")

    assert '"features" is not a dataset' in spoil(path, change)


NAMES = ["features", "coords", "image_index", "images", "quality", "quality/stained"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["soft", "external"])
def test_a_link_to_elsewhere_is_refused(tmp_path: Path, path: Path, name: str, kind: str) -> None:
    """It would let a bag that was sent in name any other HDF5 file on this machine."""
    write_bag(tmp_path / "other.h5", made())

    def link(file: h5py.File) -> None:
        file.move(name, "moved")
        soft = h5py.SoftLink("/moved")
        file[name] = soft if kind == "soft" else h5py.ExternalLink("other.h5", f"/{name}")

    assert f'"{name}" is a link to elsewhere; refused' in spoil(path, link)


def test_storage_in_another_file_is_refused(tmp_path: Path, path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(5 * 7 * 4))

    def change(file: h5py.File) -> None:
        del file["features"]
        outside = [(str(tmp_path / "secret"), 0, 5 * 7 * 4)]
        file.create_dataset("features", (5, 7), "f4", external=outside)

    assert '"features" keeps its data elsewhere; refused' in spoil(path, change)


def test_a_virtual_dataset_is_refused(tmp_path: Path, path: Path) -> None:
    write_bag(tmp_path / "other.h5", made("float32"))

    def change(file: h5py.File) -> None:
        del file["features"]
        layout = h5py.VirtualLayout((5, 7), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "features", (5, 7))
        file.create_virtual_dataset("features", layout)

    assert '"features" keeps its data elsewhere; refused' in spoil(path, change)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, "2", 1.5])
def test_a_newer_format_says_what_to_upgrade(path: Path, version: object) -> None:
    def change(file: h5py.File) -> None:
        file.attrs["format_version"] = version

    message = spoil(path, change)
    assert f"format version {version}" in message
    assert "upgrade cmil" in message
    with pytest.raises(FileFormatError, match="upgrade cmil"):
        read_bag_attributes(path)


def declared(path: Path, dtype: object = "f4", **storage: object) -> str:
    """What is said of a bag whose features state a shape and hold no numbers."""
    with h5py.File(path, "r+") as file:
        del file["features"]
        file.create_dataset("features", dtype=dtype, **storage)
    return refusal_of(path)


@pytest.mark.parametrize(
    "storage",
    [
        {"shape": (10**12, 7)},
        {"shape": (10**12, 7), "chunks": (512, 7)},
        {"shape": (10**12, 7), "chunks": (512, 7), "compression": "gzip"},
        {"shape": (10**12, 2**20), "chunks": (1, 7), "maxshape": (None, None)},
    ],
)
def test_a_shape_the_file_cannot_hold_is_not_allocated(
    path: Path, storage: dict[str, object]
) -> None:
    assert "states more than the file holds" in declared(path, **storage)


def test_rows_that_were_never_written_are_refused(path: Path) -> None:
    """A program that was killed after it had made room for a batch leaves them as zeros."""
    storage = {"shape": (5, 7), "chunks": (1, 7), "compression": "gzip"}
    assert "rows that were never written" in declared(path, **storage)


def test_what_compresses_too_well_is_refused(path: Path) -> None:
    zeros = np.zeros((2**24, 7), np.float16)
    with h5py.File(path, "r+") as file:
        del file["features"]
        file.create_dataset("features", data=zeros, chunks=(2**18, 7), compression="gzip")
    assert "states more than the file holds" in refusal_of(path)


def test_a_filter_that_is_not_at_hand_is_named(path: Path) -> None:
    recipe = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    recipe.set_chunk((5, 7))
    recipe.set_filter(32_099, h5py.h5z.FLAG_OPTIONAL, ())
    with h5py.File(path, "r+") as file:
        del file["features"]
        space = h5py.h5s.create_simple((5, 7))
        h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F32LE, space, recipe)
    assert "compressed by filter 32099" in refusal_of(path)


@pytest.mark.parametrize("kind", [h5py.string_dtype(), [("x", "f4")], bool, "c8", "V4"])
def test_features_of_another_type_are_refused(path: Path, kind: object) -> None:
    refused = declared(path, kind, shape=(5, 7), chunks=(5, 7), fillvalue=None)
    assert '"features"' in refused


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bags to damage: our layout, and chunked and compressed as others write."""
    folder = tmp_path_factory.mktemp("sound")
    write_bag(folder / "ours.h5", made())
    bag = made("float32")
    with h5py.File(folder / "chunked.h5", "w") as file:
        storage = {"chunks": (2, 7), "maxshape": (None, 7), "compression": "gzip"}
        file.create_dataset("features", data=bag.features, shuffle=True, **storage)
        file.create_dataset("coords", data=bag.coords, chunks=(1, 2), maxshape=(None, 2))
    return folder


@settings(max_examples=300, deadline=None)
@given(
    layout=st.sampled_from(["ours", "chunked"]),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=4),
    left=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_whatever_bytes_change_a_bag_is_read_or_refused_in_one_line(
    sound: Path, layout: str, flips: list[tuple[float, int]], left: float
) -> None:
    whole = (sound / f"{layout}.h5").read_bytes()
    damaged = bytearray(whole)
    for place, change in flips:
        damaged[int(place * len(damaged))] ^= change
    path = sound / "damaged.h5"
    path.write_bytes(damaged[: int(left * len(damaged))])
    try:
        read = read_bag(path)
    except FileFormatError as refusal:
        assert len(str(refusal).splitlines()) == 1
        assert "damaged.h5" in str(refusal)
        assert bytes(damaged) != whole or left < 1
    else:
        assert np.isfinite(read.features).all()
        assert read.coords.shape == (len(read.features), 2)
