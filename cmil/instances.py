"""Rows of embeddings that are too many for memory: read where they lie, when they are asked for."""

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Rows between two clearances. Of a row that is touched, the system maps up to a megabyte around it.
_AT_ONCE = 64
_BLOCK = 4096


class Instances(Protocol):
    """All instances of a patient, (N, D), of which some can be taken; a Tensor is one."""

    @property
    def shape(self) -> torch.Size:
        """N and D."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor | slice, /) -> Tensor: ...


class MappedInstances:
    """Instances of several slides that stay in their files.

    What is taken is copied; nothing else of the files stays in this process's memory.
    """

    def __init__(self, slides: Sequence[np.memmap]) -> None:
        """Take (n, D) float16 or float32 maps of one width."""
        self.slides = tuple(slides)
        self._starts = np.cumsum([0, *(len(slide) for slide in slides)])

    @property
    def shape(self) -> torch.Size:
        """N and D."""
        return torch.Size((int(self._starts[-1]), self.slides[0].shape[1]))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: Tensor | slice, /) -> Tensor:
        """Copy rows, (n,) numbers or a range without gaps; all of a single slide stay mapped."""
        if isinstance(rows, slice) and rows == slice(None) and len(self.slides) == 1:
            return torch.from_numpy(self.slides[0])
        whole = np.result_type(*(slide.dtype for slide in self.slides))
        if isinstance(rows, slice):
            first, last, _ = rows.indices(len(self))
            taken = np.empty((max(last - first, 0), self.shape[1]), dtype=whole)
            self._copy_range(first, last, taken)
        else:
            taken = np.empty((len(rows), self.shape[1]), dtype=whole)
            self._copy_rows(rows.numpy(), taken)
        return torch.from_numpy(taken)

    def _copy_range(self, first: int, last: int, into: NDArray[np.floating]) -> None:
        for slide, start in zip(self.slides, self._starts, strict=False):
            begin, end = max(first, start), min(last, start + len(slide))
            for at in range(begin, end, _BLOCK):
                some = slice(at, min(at + _BLOCK, end))
                into[some.start - first : some.stop - first] = slide[
                    some.start - start : some.stop - start
                ]
                _forget(slide)

    def _copy_rows(self, rows: NDArray[np.int64], into: NDArray[np.floating]) -> None:
        of_slide = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(of_slide):
            here = np.flatnonzero(of_slide == number)
            for first in range(0, len(here), _AT_ONCE):
                some = here[first : first + _AT_ONCE]
                into[some] = self.slides[number][rows[some] - self._starts[number]]
                _forget(self.slides[number])


def _forget(slide: np.memmap) -> None:
    """Take the pages that were read out of this process; the system may keep or drop them."""
    mapped = slide._mmap  # type: ignore[attr-defined]  # numpy offers no other way to it
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def drawn_from(instances: Instances, size: int, rng: np.random.Generator) -> Tensor:
    """Draw `size` instances of a patient without replacement; if that is all, without drawing.

    They keep their order: read from a file, neighbours cost one access.
    """
    if size >= len(instances):
        return instances[:]
    rows = np.sort(rng.choice(len(instances), size=size, replace=False))
    return instances[torch.from_numpy(rows)]


def blocks_of(instances: Instances, rows: int) -> list[slice]:
    """Divide the instances of a patient into ranges of at most `rows`."""
    return [slice(first, first + rows) for first in range(0, len(instances), rows)]


@dataclass(frozen=True)
class FileRows:
    """Where the embeddings of a slide lie, uncompressed, so that another process can map them."""

    path: Path
    offset: int
    shape: tuple[int, int]
    dtype: str

    def mapped(self) -> np.memmap:
        """Map them; writing to the map would not change the file."""
        return np.memmap(self.path, self.dtype, "c", self.offset, self.shape)


def placed_in_files(
    slides: Mapping[str, Sequence[NDArray[np.floating]]], spill: Path
) -> dict[str, list[FileRows]]:
    """Say in which file the embeddings of each slide lie, writing those that are in memory only.

    Parameters
    ----------
    slides
        patient_id -> (n, D) arrays, mapped or in memory.
    spill
        Written if there are any of the latter.
    """
    placed: dict[str, list[FileRows]] = {}
    spill.parent.mkdir(parents=True, exist_ok=True)
    with spill.open("wb") as file:
        for patient, arrays in slides.items():
            placed[patient] = []
            for rows in arrays:
                if isinstance(rows, np.memmap):
                    path, offset = Path(str(rows.filename)), int(rows.offset)
                else:
                    path, offset = spill, file.tell()
                    file.write(np.ascontiguousarray(rows).data)
                placed[patient].append(FileRows(path, offset, rows.shape, rows.dtype.str))
    return placed
