"""How fast this machine reads and embeds patches, by timing a few."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from feature_extraction.encoders import Encoder
from feature_extraction.encoders.probe import draw_probe
from feature_extraction.patches import BlockReader, PatchBlock
from feature_extraction.reading_ahead import THREADS, cores_that_read

_SECONDS = 1.0
_FIRST_PATCHES = 8
_MOST_BATCHES = 64


@dataclass(frozen=True)
class Rates:
    """Of this machine, as it is loaded now.

    Attributes
    ----------
    embedding, reading
        Patches per second, each by itself; reading is None if nothing could be read.
    on_gpu
        Whether the encoder leaves the processor to the readers.
    cores
        Processor cores that this process may use.
    """

    embedding: float
    reading: float | None
    on_gpu: bool
    cores: int

    @property
    def together(self) -> float:
        """Patches per second of both at once.

        Beside a GPU the slower of the two decides. On the processor the readers take their cores
        from the encoder: a patch costs its embedding, and its reading by the share of the cores
        that read.
        """
        if self.reading is None:
            return self.embedding
        if self.on_gpu:
            return min(self.embedding, self.reading)
        share = min(1.0, THREADS / self.cores)
        return min(self.reading, 1 / (1 / self.embedding + share / self.reading))

    def to_json(self) -> dict[str, float | None]:
        """Give all rates as what JSON can hold."""
        return {"embedding": self.embedding, "reading": self.reading, "both": self.together}


def time_encoder(encoder: Encoder, patch_px: int, batch_size: int) -> float:
    """Embed drawn patches for about a second, after a warm-up; give patches per second."""
    few = draw_probe(_FIRST_PATCHES, patch_px)
    count = batch_size if encoder.device.type == "cuda" else min(_FIRST_PATCHES, batch_size)
    whole, rest = divmod(count, len(few))
    encoder(np.concatenate([few] * whole + [few[:rest]]))
    while True:
        sizes = [min(batch_size, count - first) for first in range(0, count, batch_size)]
        started = time.perf_counter()
        for _ in encoder.stream(np.resize(few, (size, *few.shape[1:])) for size in sizes):
            pass
        seconds = time.perf_counter() - started
        if seconds >= _SECONDS or count >= _MOST_BATCHES * batch_size:
            return count / seconds
        count *= 2


def time_reading(readers: Sequence[BlockReader], *, on_gpu: bool) -> tuple[list[PatchBlock], float]:
    """Read blocks as extraction does; give them without their pixels, and the seconds it took.

    Beside a GPU a process for each core reads: here one reads alone, and the seconds are those that
    all together would take.

    Raises
    ------
    ImageError
        If an image cannot be read.
    """

    def read(reader: BlockReader) -> PatchBlock:
        return reader().without_pixels()

    started = time.perf_counter()
    with ThreadPoolExecutor(1 if on_gpu else THREADS) as pool:
        blocks = list(pool.map(read, readers))
    seconds = time.perf_counter() - started
    return blocks, seconds / cores_that_read() if on_gpu else seconds
