"""Processes that read for a GPU, tried on a processor: the same blocks, and nothing left behind."""

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cohorts.errors import AccessError, ImageError
from cohorts.manifest import Slide, SourceKind
from feature_extraction import ExtractionSettings, reading_processes
from feature_extraction.colour.grey_world import GreyWorldColour
from feature_extraction.patch_reading import opened
from feature_extraction.patches import CellsPart, PatchBlock, Reading
from feature_extraction.reading_ahead import read_in_threads
from feature_extraction.reading_processes import ReadingCrew, ReadingCrews, in_stretches
from feature_extraction.sources import open_source


def slide_of(path: Path) -> Slide:
    kind = SourceKind.FOLDER if path.is_dir() else SourceKind.SLIDE
    return Slide("S", "P", path, kind, None, 2)


@pytest.fixture
def slide(smear, pyramid) -> Slide:
    return slide_of(pyramid(smear(900, 700, 3), "slide.tif"))


@pytest.fixture
def many(chosen) -> ExtractionSettings:
    """Cut into more blocks than the processes have places for."""
    return chosen(patch_px=16, min_stained=0)


@pytest.fixture
def crew(many: ExtractionSettings) -> Iterator[ReadingCrew]:
    with closing(ReadingCrew(2, many)) as made:
        yield made


@pytest.fixture
def cells(tmp_path: Path, smear) -> Path:
    folder = tmp_path / "cells"
    folder.mkdir()
    for number in range(70):
        Image.fromarray(smear(40, 36, number)).save(folder / f"{number:02}.png")
    return folder


def held(blocks: Iterable[PatchBlock]) -> dict[tuple[int, ...], tuple[bytes, bytes]]:
    """By image and place, the pixels and the quality of each patch."""
    found = {}
    for block in blocks:
        for row, (x, y) in enumerate(block.coords.tolist()):
            quality = np.array([values[row] for values in block.quality.values()])
            place = int(block.image_index[row]), x, y
            assert place not in found
            found[place] = block.pixels[row].tobytes(), quality.tobytes()
    return found


def test_patches_are_those_that_threads_read(
    slide: Slide, cells: Path, many: ExtractionSettings, crew: ReadingCrew
) -> None:
    grey = Reading(many, colour=GreyWorldColour(mean=(180.0, 160.0, 200.0)))
    of_cells = Reading(many.model_copy(update={"images": "cells"}), left_out=frozenset({3}))
    for of, reading in ((slide, Reading(many)), (slide, grey), (slide_of(cells), of_cells)):
        with opened(of, open_source(of), reading) as source:
            parts = source.parts()
            assert len(parts) > 2
            expected = held(read_in_threads(source, parts))
            assert held(crew.read(source, parts)) == expected


def test_a_sample_comes_in_its_order_and_may_end_early(
    slide: Slide, many: ExtractionSettings, crew: ReadingCrew
) -> None:
    sample = Reading(many.model_copy(update={"max_patches": 10}), seed=(1,))
    with opened(slide, open_source(slide), sample) as source:
        parts = source.parts()
        for blocks in (1, 9):  # fewer than are read ahead, and more
            expected = [block.coords for block in islice(read_in_threads(source, parts), blocks)]
            with closing(crew.read(source, parts)) as read:
                found = [block.coords for block in islice(read, blocks)]
            np.testing.assert_array_equal(found, expected)
    assert crew.is_whole


def test_an_image_that_cannot_be_read_is_named_and_the_crew_goes_on(
    slide: Slide, cells: Path, many: ExtractionSettings, crew: ReadingCrew
) -> None:
    (cells / "40.png").write_bytes(b"no image")
    broken = Reading(many.model_copy(update={"images": "cells"}))
    for _ in range(2):
        with (
            opened(slide_of(cells), open_source(slide_of(cells)), broken) as source,
            pytest.raises(ImageError, match=r"40\.png"),
        ):
            held(crew.read(source, source.parts()))
    with opened(slide, open_source(slide), Reading(many)) as source:
        assert held(crew.read(source, source.parts()))


def test_a_process_that_dies_is_told_and_replaced(
    slide: Slide, many: ExtractionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_processes, "readers_of_slide", lambda: 2)
    before = set(multiprocessing.active_children())
    with (
        closing(ReadingCrews(many)) as crews,
        opened(slide, open_source(slide), Reading(many)) as source,
    ):
        parts = source.parts()
        with closing(crews.read(source, parts)) as blocks:
            next(blocks)
            ours = set(multiprocessing.active_children()) - before
            assert len(ours) == 2
            os.kill(min(ours, key=lambda process: process.pid).pid, signal.SIGKILL)
            with pytest.raises(AccessError, match=r"died \(exit code -9\)"):
                held(blocks)
        for _ in range(2):  # the first is to have the crew that lost a process
            assert held(crews.read(source, parts)) == held(read_in_threads(source, parts))
        assert len(set(multiprocessing.active_children()) - before) == 2
    assert set(multiprocessing.active_children()) == before


@given(st.integers(0, 60), st.integers(1, 9))
def test_each_reader_gets_a_stretch_of_its_own(count: int, readers: int) -> None:
    parts = [CellsPart([number]) for number in range(count)]
    dealt = [part.images[0] for part in in_stretches(parts, readers)]
    assert sorted(dealt) == list(range(count))
    taking_turns = min(readers, count)
    shares = [dealt[first::taking_turns] for first in range(taking_turns)]
    assert list(chain.from_iterable(shares)) == list(range(count))
