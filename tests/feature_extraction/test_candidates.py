"""Bags that hold kept and dropped patches: nothing is lost, nobody else sees what was dropped."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.errors import FileFormatError
from feature_extraction.bags import read_bag
from feature_extraction.candidates import (
    Candidates,
    candidate_features,
    read_candidates,
    write_candidates,
)

REASONS = ("kept", "blurred", "thick")


def drawn(patches: int, *, reason: list[int] | None = None, images: int = 0) -> Candidates:
    rng = np.random.default_rng(patches)
    across = max(1, patches // 3)
    order = np.arange(patches)
    index = (order * images // patches).astype(np.int32) if images else None
    return Candidates(
        coords=np.stack([order % across * 48, order // across * 48], axis=1),
        reason=np.array(reason or rng.integers(0, 3, patches), dtype=np.uint8),
        reasons=REASONS,
        quality={"sharpness": rng.random(patches, dtype=np.float32)},
        image_index=index,
        images=tuple(f"field {i}.png" for i in range(images)),
        attributes={"slide_id": "S1", "encoder": "e"},
        grid={"patch_size_level0": 48},
    )


def rows_of(patches: int) -> np.ndarray:
    return np.random.default_rng(1).random((patches, 5)).astype(np.float16)


@settings(deadline=None)
@given(
    reason=st.lists(st.integers(0, 2), min_size=1, max_size=40).filter(lambda r: 0 in r),
    block=st.integers(1, 9),
)
def test_what_is_written_in_blocks_comes_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, reason: list[int], block: int
) -> None:
    path = tmp_path_factory.mktemp("bag") / "S1.h5"
    features = rows_of(len(reason))
    made = drawn(len(reason), reason=reason)
    write_candidates(path, made, (features[i : i + block] for i in range(0, len(reason), block)))
    read = read_candidates(path)
    np.testing.assert_array_equal(read.coords, made.coords)
    np.testing.assert_array_equal(read.reason, made.reason)
    np.testing.assert_array_equal(read.quality["sharpness"], made.quality["sharpness"])
    np.testing.assert_array_equal(np.concatenate(list(candidate_features(path))), features)
    np.testing.assert_array_equal(read_bag(path).features, features[made.reason == 0])


def test_a_bag_shows_kept_patches_only_and_says_how_many_were_dropped(tmp_path: Path) -> None:
    made = drawn(12, reason=[0, 1, 2] * 4, images=4)
    write_candidates(tmp_path / "S1.h5", made, [rows_of(12)])
    bag = read_bag(tmp_path / "S1.h5")
    np.testing.assert_array_equal(bag.coords, made.coords[::3])
    assert bag.image_index is not None
    assert bag.image_index.tolist() == [0, 1, 2, 3]
    assert (bag.attributes["patches"], bag.attributes["dropped"]) == (4, 8)
    assert read_candidates(tmp_path / "S1.h5").counts() == {"kept": 4, "blurred": 4, "thick": 4}


def test_a_bag_does_not_depend_on_how_its_features_were_blocked(tmp_path: Path) -> None:
    made, features = drawn(30), rows_of(30)
    write_candidates(tmp_path / "a.h5", made, [features])
    write_candidates(tmp_path / "b.h5", made, [features[:7], features[7:29], features[29:]])
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_features_that_do_not_match_leave_no_bag(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="11 rows of features for 12"):
        write_candidates(tmp_path / "S1.h5", drawn(12), [rows_of(11)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.__delitem__("dropped/reason"), 'no dataset "dropped/reason"'),
        (lambda file: file["dropped/reason"].write_direct(np.full(8, 3, np.uint8)), "no reason"),
        (lambda file: file["dropped/reason"].attrs.modify("names", "nonsense"), "no list"),
        (lambda file: file.__delitem__("dropped/coords"), 'no dataset "dropped/coords"'),
        (lambda file: file.move("dropped/features", "dropped/f"), 'no dataset "dropped/features"'),
    ],
)
def test_a_spoilt_group_of_dropped_patches_is_one_error(tmp_path: Path, spoil, said: str) -> None:
    path = tmp_path / "S1.h5"
    write_candidates(path, drawn(12, reason=[0, 1, 2] * 4), [rows_of(12)])
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(FileFormatError, match=said):
        read_candidates(path)
    assert len(read_bag(path)) == 4


def test_dropped_patches_that_link_elsewhere_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "S1.h5"
    made = drawn(12, reason=[0, 1, 2] * 4)
    write_candidates(path, made, [rows_of(12)])
    write_candidates(tmp_path / "other.h5", replace(made), [rows_of(12)])
    with h5py.File(path, "r+") as file:
        del file["dropped"]
        file["dropped"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "dropped")
    with pytest.raises(FileFormatError, match="link to elsewhere"):
        read_candidates(path)
