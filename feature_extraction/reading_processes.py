"""Processes that read blocks of patches ahead of a GPU.

Threads of one process take turns at Python's lock and at the process's memory: sixteen of them
read hardly more than four.
"""

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from queue import LifoQueue
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cohorts.errors import AccessError
from cohorts.manifest import Slide
from feature_extraction.patch_reading import OpenedSource, opened, patches_of_block
from feature_extraction.patches import FieldPart, Part, PatchBlock, Reading
from feature_extraction.reading_ahead import (
    FIELD_THREADS,
    read_in_threads,
    readers_of_slide,
    slides_at_once,
)
from feature_extraction.settings import ExtractionSettings
from feature_extraction.sources import open_source
from feature_extraction.sources.canvas import Rgb

# Of a reader: one block that is written, one that waits, one that the encoder takes.
_BLOCKS = 3
# Of a slide, for one reader: to open it takes as long as to read two or three.
_LEAST_PARTS = 8
_GONE = (EOFError, OSError)


class ReadingCrews:
    """A crew of processes for each slide that is worked at; the next slide takes it over."""

    def __init__(self, settings: ExtractionSettings) -> None:
        self._settings = settings
        self._free: LifoQueue[ReadingCrew | None] = LifoQueue()  # the last one is warm
        for _ in range(slides_at_once(on_gpu=True)):
            self._free.put(None)  # made when a slide wants it

    def read(
        self, source: OpenedSource, parts: Sequence[Part]
    ) -> Generator[PatchBlock, None, None]:
        """Read parts of a source in processes; fields, whose blocks may be of any size, in threads.

        Raises
        ------
        ImageError
            As `OpenedSource.read`.
        AccessError
            If a process dies.
        """
        if readers_of_slide() == 1 or any(isinstance(part, FieldPart) for part in parts):
            yield from read_in_threads(source, parts, FIELD_THREADS)
            return
        crew = self._free.get()
        if crew and not crew.is_whole:
            crew.close()
            crew = None
        try:
            crew = crew or ReadingCrew(readers_of_slide(), self._settings)
            with closing(crew.read(source, parts)) as blocks:
                yield from blocks
        finally:
            self._free.put(crew)

    def close(self) -> None:
        """Stop all processes, once no slide is read any more."""
        while not self._free.empty():
            crew = self._free.get()
            if crew:
                crew.close()


class ReadingCrew:
    """Processes that read one slide at a time together.

    Each reads a stretch of its own, so that a tile that two blocks share is decoded once, and
    writes pixels where this process sees them: through a pipe each would be copied twice more.

    Parameters
    ----------
    size
        How many.
    settings
        Of the study; they say how large a block is.
    """

    def __init__(self, size: int, settings: ExtractionSettings) -> None:
        method = (
            "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        )
        context = multiprocessing.get_context(method)
        if method == "forkserver":  # what is imported there, each process has from its start
            context.set_forkserver_preload(["__main__", __name__])
        self._readers = [_Reader(context, settings) for _ in range(size)]

    @property
    def is_whole(self) -> bool:
        """Whether all processes live."""
        return all(reader.process.is_alive() for reader in self._readers)

    def read(
        self, source: OpenedSource, parts: Sequence[Part]
    ) -> Generator[PatchBlock, None, None]:
        """Read parts of a source, of which each process opens its own.

        The order of the blocks depends on nothing but the parts and the number of processes; where
        a sample is asked for, it is that of the parts. The pixels of a block are valid until the
        next is asked for.

        Raises
        ------
        ImageError
            As `OpenedSource.read`.
        AccessError
            If a process dies.
        """
        busy = self._readers[: -(-len(parts) // _LEAST_PARTS)]
        if not source.reading.settings.max_patches:
            parts = in_stretches(parts, len(busy))
        reading = replace(source.reading, given=None)
        try:
            for number, reader in enumerate(busy):
                reader.begin(_Task(source.slide, reading, parts[number :: len(busy)]))
            for number in range(len(parts)):
                yield from busy[number % len(busy)].next_block()
        finally:
            for reader in busy:
                reader.end()

    def close(self) -> None:
        """Stop the processes, whatever they are at."""
        for reader in self._readers:
            reader.close()


def _context() -> BaseContext:
    """Give what processes are made by: by a server that has imported all they need, if it can."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])
    return context


def in_stretches(parts: Sequence[Part], readers: int) -> Sequence[Part]:
    """Order parts for readers who take turns, so that each gets one stretch of them."""
    stretches = np.array_split(np.arange(len(parts)), readers or 1)
    turns = range(len(stretches[0]))
    return [parts[stretch[turn]] for turn in turns for stretch in stretches if turn < len(stretch)]


@dataclass(frozen=True)
class _Task:
    slide: Slide
    reading: Reading
    parts: Sequence[Part]


class _Reader:
    """One process, the line to it, and the memory it writes pixels to."""

    def __init__(self, context: BaseContext, settings: ExtractionSettings) -> None:
        side = settings.patch_px
        shape = (_BLOCKS, patches_of_block(settings), side, side, 3)
        # In memory, unless a container has too little of it that processes may share.
        memory = context.RawArray("B", int(np.prod(shape)))
        self._places = np.frombuffer(memory, dtype=np.uint8).reshape(shape)
        self._line, theirs = context.Pipe()
        self._at_work = False
        # BaseContext's stubs lack what every context has
        make: Any = context
        self.process = make.Process(target=_serve, args=(theirs, memory, shape), daemon=True)
        self.process.start()
        theirs.close()  # what is not held here too ends when the process dies

    def begin(self, task: _Task) -> None:
        """Hand over what is to be read."""
        try:
            self._line.send(task)
        except _GONE as error:
            raise self._died() from error
        self._at_work = True

    def next_block(self) -> Iterator[PatchBlock]:
        """Give the block of the next part; its place is free again when it has been taken."""
        try:
            said = self._line.recv()
        except _GONE as error:
            raise self._died() from error
        if isinstance(said, Exception):
            raise said
        place, block = said
        yield replace(block, pixels=self._places[place, : len(block)])
        with suppress(*_GONE):  # the next block will tell
            self._line.send(place)

    def end(self) -> None:
        """Let it leave off, and hear it out."""
        if not self._at_work:
            return
        self._at_work = False
        with suppress(*_GONE):
            self._line.send(None)
            while self._line.recv() is not None:
                pass

    def close(self) -> None:
        """Stop the process."""
        self._line.close()
        self.process.terminate()
        self.process.join()

    def _died(self) -> AccessError:
        self.process.join()
        return AccessError(
            f"a process that read its patches died (exit code {self.process.exitcode}), probably "
            "for want of memory; free memory and run again"
        )


def _serve(line: "Connection[Any, Any]", memory: Any, shape: tuple[int, ...]) -> None:
    """Read what is asked for, until the asking process ends the line or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks ends this process, too
    cv2.setNumThreads(1)
    places = np.frombuffer(memory, dtype=np.uint8).reshape(shape)
    with suppress(*_GONE):
        while True:
            task = line.recv()
            if isinstance(task, _Task):  # else it was said to a task that is over
                _work_off(task, line, places)
                line.send(None)


def _work_off(task: _Task, line: "Connection[Any, Any]", places: NDArray[np.uint8]) -> None:
    free = deque(range(len(places)))
    source = open_source(task.slide, icc=task.reading.settings.icc)
    try:
        with opened(task.slide, source, task.reading) as at_hand:
            for part in task.parts:
                while not free:
                    place = line.recv()
                    if place is None:
                        return
                    free.append(place)
                room = places[free[0]]
                block = at_hand.read(part, partial(_first_of, room))
                if not np.shares_memory(block.pixels, room):  # in other colours
                    room[: len(block)] = block.pixels
                line.send((free.popleft(), block.without_pixels()))
    except Exception as error:  # whatever it is, the asking process raises it
        error.add_note(traceback.format_exc())
        line.send(error)


def _first_of(room: Rgb, patches: int) -> Rgb:
    return room[:patches]
