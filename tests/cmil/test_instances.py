"""Instances in files are those in memory, and are not read before they are asked for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cmil.instances import FileRows, MappedInstances, blocks_of, placed_in_files


def mapped(folder: Path, lengths: list[int]) -> tuple[MappedInstances, torch.Tensor]:
    rng = np.random.default_rng(0)
    slides = [rng.normal(size=(length, 3)).astype(np.float16) for length in lengths]
    rows = placed_in_files({"P": slides}, folder / "spill.bin")["P"]
    return MappedInstances([slide.mapped() for slide in rows]), torch.from_numpy(
        np.concatenate(slides)
    )


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    picks=st.lists(st.integers(0, 10**6), max_size=9),
)
def test_rows_across_slides(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], picks: list[int]
) -> None:
    instances, whole = mapped(tmp_path_factory.mktemp("rows"), lengths)
    assert instances.shape == whole.shape
    rows = torch.tensor([pick % len(whole) for pick in picks], dtype=torch.int64)
    assert torch.equal(instances[rows], whole[rows])
    assert torch.equal(instances[:], whole)
    joined = torch.cat([instances[block] for block in blocks_of(instances, 2)])
    assert torch.equal(joined, whole)


def test_what_lies_in_a_file_is_not_written_again(tmp_path: Path) -> None:
    np.arange(12, dtype=np.float32).tofile(tmp_path / "bag")
    there = FileRows(tmp_path / "bag", 8, (2, 5), "<f4").mapped()
    placed = placed_in_files({"P": [there]}, tmp_path / "spill")
    assert placed["P"] == [FileRows(tmp_path / "bag", 8, (2, 5), "<f4")]
    assert (tmp_path / "spill").stat().st_size == 0
    assert placed["P"][0].mapped().tolist() == there.tolist()
