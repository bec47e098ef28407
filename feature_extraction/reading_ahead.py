"""Read blocks of patches ahead of the encoder: who does, and how far ahead."""

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from feature_extraction.patch_reading import OpenedSource
from feature_extraction.patches import FieldPart, Part, PatchBlock

ReadBlocks = Callable[[OpenedSource, Sequence[Part]], Generator[PatchBlock, None, None]]
"""Reads parts of a source; the pixels of a block are valid until the next is asked for."""

# Beside an encoder on the same processor more would take its cores.
THREADS = 2
_BLOCKS_WAITING = 10
# A field is read whole, and many times larger than a block of a slide.
FIELD_THREADS, _FIELDS_WAITING = 6, 2
# While one is opened, or its bag written, the GPU has the others' patches.
_SLIDES_BESIDE_GPU = 3
_MOST_READERS = 16
# Of each slide: while one of them is opened or written, the readers of the others have its cores.
_READERS_FOR_A_CORE = 2


def slides_at_once(*, on_gpu: bool) -> int:
    """Count the slides that are worth working at, at a time."""
    return _SLIDES_BESIDE_GPU if on_gpu else 1


def cores_that_read() -> int:
    """Count the cores that read beside a GPU, for all slides together."""
    return min(_MOST_READERS, usable_cores())


def readers_of_slide() -> int:
    """Count the processes that read one slide beside a GPU; 1 means that threads do."""
    cores = cores_that_read()
    return 1 if cores <= THREADS else -(-cores * _READERS_FOR_A_CORE // _SLIDES_BESIDE_GPU)


def read_in_threads(
    source: OpenedSource, parts: Sequence[Part], threads: int = THREADS
) -> Generator[PatchBlock, None, None]:
    """Read parts in parallel and give them in order, a bounded number ahead of who takes them."""
    fields = any(isinstance(part, FieldPart) for part in parts)
    ahead = threads + (_FIELDS_WAITING if fields else _BLOCKS_WAITING)
    waiting: deque[Future[PatchBlock]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(partial(source.read, part)))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def usable_cores() -> int:
    """Count the cores that this process may use, which Slurm and taskset make fewer.

    A quota of the container, in which cores are shared by time, is not seen here.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
