"""Threads that read blocks of patches ahead of the encoder."""

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from feature_extraction.patches import BlockReader, PatchBlock

# Beside an encoder on the same processor more would take its cores.
_BESIDE_PROCESSOR = 2
_MOST_BESIDE_GPU = 16
# While one is opened, or its bag written, the GPU has the other's patches.
_SLIDES_BESIDE_GPU = 2
# A field is read whole, and many times larger than a block of a slide.
_BLOCKS_WAITING, _FIELDS_WAITING = 10, 2
_MOST_FIELDS = 6


@dataclass(frozen=True)
class Ahead:
    """How much is read at a time.

    Attributes
    ----------
    threads
        That read.
    blocks
        That are being read, or are read and wait for the encoder.
    """

    threads: int
    blocks: int


def reading_threads(*, on_gpu: bool) -> int:
    """Count the threads that read beside an encoder, of all slides together."""
    if not on_gpu:
        return _BESIDE_PROCESSOR
    return max(_BESIDE_PROCESSOR, min(_MOST_BESIDE_GPU, usable_cores()))


def slides_at_once(*, on_gpu: bool) -> int:
    """Count the slides that are worth working at, at a time."""
    return _SLIDES_BESIDE_GPU if on_gpu else 1


def reading_ahead(*, on_gpu: bool, fields: bool) -> Ahead:
    """Say how much of one slide is read ahead of the encoder.

    Parameters
    ----------
    on_gpu
        Whether the encoder leaves the processor to the readers.
    fields
        Whether a block is an image that is read whole.
    """
    threads = -(-reading_threads(on_gpu=on_gpu) // slides_at_once(on_gpu=on_gpu))
    if fields:
        threads = min(threads, _MOST_FIELDS)
    return Ahead(threads, threads + (_FIELDS_WAITING if fields else _BLOCKS_WAITING))


def read_in_order(
    readers: Sequence[BlockReader], ahead: Ahead
) -> Generator[PatchBlock, None, None]:
    """Read blocks in parallel and give them in order, a bounded number ahead of who takes them."""
    waiting: deque[Future[PatchBlock]] = deque()
    with ThreadPoolExecutor(ahead.threads) as pool:
        try:
            for reader in readers:
                waiting.append(pool.submit(reader))
                if len(waiting) >= ahead.blocks:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def usable_cores() -> int:
    """Count the cores that this process may use; Slurm and `taskset` give it fewer than there are.

    A quota of the container, in which cores are shared by time, is not seen here.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
