"""Heaps of texts that would send HDF5 round in circles are refused; sound ones pass."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohorts.errors import FileFormatError
from cohorts.hdf5 import Hdf5Format, opened
from cohorts.hdf5_heaps import check_heaps

KIND = Hdf5Format("bag", 1, "cmil extract")
LOOKS_LIKE_A_HEAP = b"GCOL\x01\0\0\0" + (4096).to_bytes(8, "little") + bytes(4080)


def written(path: Path, texts: list[str]) -> bytes:
    with h5py.File(path, "w") as file:
        file.attrs["slide_id"] = "S1"
        file.create_dataset("images", data=texts, dtype=h5py.string_dtype())
        file.create_group("dropped").attrs["why"] = "blurred"
    return path.read_bytes()


@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=300))
def test_sound_heaps_pass(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("heaps") / "S1.h5"
    written(path, [*texts, "x" * 9000])
    with opened(path, KIND) as file:
        assert file["images"].asstr()[()].tolist() == [*texts, "x" * 9000]


@pytest.mark.parametrize("length", [0, 15, 72, 5000, 2**63, 2**64 - 1])
def test_an_object_that_leads_nowhere_is_refused(tmp_path: Path, length: int) -> None:
    """With 72 the walk steps on zeros: HDF5 2.0 reads there until it is killed."""
    content = bytearray(written(tmp_path / "S1.h5", ["a"]))
    heap = content.index(b"GCOL")
    objects = heap + 16
    if length < 16:  # of what is left over at the end, which is object 0
        while int.from_bytes(content[objects : objects + 2], "little"):
            size = int.from_bytes(content[objects + 8 : objects + 16], "little")
            objects += 16 + -(-size // 8) * 8
    content[objects + 8 : objects + 16] = length.to_bytes(8, "little")
    (tmp_path / "S1.h5").write_bytes(content)
    with (
        pytest.raises(FileFormatError, match=r'bag "S1\.h5" is truncated, damaged'),
        opened(tmp_path / "S1.h5", KIND),
    ):
        pass


def test_numbers_that_look_like_a_heap_are_numbers(tmp_path: Path) -> None:
    values = np.frombuffer(LOOKS_LIKE_A_HEAP * 20, dtype=np.float32)
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file.create_dataset("features", data=values)
        file["elsewhere"] = h5py.ExternalLink("missing.h5", "/a")
        file["again"] = file["/"]  # a group that holds itself
    with h5py.File(tmp_path / "S1.h5") as file:
        check_heaps(file)
