"""Embeddings of a slide on their way to its bag: on disk, so that no slide is too large."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from cohorts.errors import EncoderError

_BLOCK_ROWS = 4096
_TORCH = {"float16": torch.float16, "float32": torch.float32}


class FeatureSpool:
    """Rows of features in a nameless file, which vanishes with the process.

    How many of them the rule keeps is known only at the end, but a contiguous dataset of HDF5
    cannot grow; held in memory, 200,000 patches of 2,048 numbers would take 1.6 GB.
    """

    def __init__(self, folder: Path, dtype: Literal["float16", "float32"]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 closed by __exit__
        self._dtype = np.dtype(dtype)
        self._width = 0
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, vectors: NDArray[np.float32]) -> None:
        """Add (n, D) rows.

        Raises
        ------
        EncoderError
            If a number is too large for the type they are kept in.
        """
        # torch rounds as numpy does, in an eighth of its time
        rows = torch.from_numpy(vectors).to(_TORCH[self._dtype.name])
        if rows.abs().max().isinf():
            raise EncoderError(
                'the encoder gave numbers too large for float16; set storage = "float32"'
            )
        self._width = rows.shape[1]
        self._rows += len(rows)
        self._file.write(rows.contiguous().numpy().data)

    def blocks(self, order: NDArray[np.intp]) -> Iterator[NDArray[np.floating]]:
        """Give the rows of `order` in blocks of (n, D)."""
        self._file.flush()
        for first in range(0, len(order), _BLOCK_ROWS):
            # Mapped anew for each block: pages of a lasting map would count as our memory.
            rows: NDArray[np.floating] = np.memmap(
                self._file, self._dtype, "r", shape=(self._rows, self._width)
            )
            yield np.asarray(rows[order[first : first + _BLOCK_ROWS]])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
