"""Several slides at a time in one process, as beside a GPU: the same bags, and it can stop."""

import multiprocessing
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from cohorts.manifest import Cohort, Slide, SourceKind
from feature_extraction import ExtractionSettings, reading_processes
from feature_extraction import extract as stage
from feature_extraction.encoders import Encoder, load_encoder
from feature_extraction.encoders.runtime import Pixels, Runtime, Vectors
from feature_extraction.extract import extract, extract_here, jobs_of
from feature_extraction.slide_job import Extraction
from feature_extraction.slide_lock import slide_lock


@pytest.fixture
def three_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "slides_at_once", lambda *, on_gpu: 3)


def slide_of(name: str, patient: str, path: Path, row: int) -> Slide:
    kind = SourceKind.FOLDER if path.is_dir() else SourceKind.SLIDE
    return Slide(name, patient, path, kind, None, row)


@pytest.fixture
def cohort(tmp_path: Path, smear, pyramid) -> Cohort:
    """Six slides of four patients, one of them broken, and two folders that share an image."""
    slides = []
    for number in range(5):
        path = pyramid(smear(300, 200, number), f"{number}.tif")
        slides.append(slide_of(f"S{number}", f"P{number % 3}", path, len(slides) + 2))
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"not a slide")
    slides.insert(2, slide_of("broken", "P2", broken, 7))
    for name, seeds in (("F1", (10, 11)), ("F2", (11, 12))):
        folder = tmp_path / name
        folder.mkdir()
        for seed in seeds:
            Image.fromarray(smear(64, 64, seed)).save(folder / f"{seed}.png")
        slides.append(slide_of(name, "P3", folder, len(slides) + 2))
    index = pd.Index(["P0", "P1", "P2", "P3"], name="patient_id")
    return Cohort(tuple(slides), pd.DataFrame(index=index), tmp_path / "cohort.csv")


def bags_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.h5")}


class AsOnGpu:
    """A runtime that is said to be a GPU's: it copies a batch when it is given one."""

    device, in_flight = torch.device("cuda"), 2

    def __init__(self, runtime: Runtime) -> None:
        self.backend, self.precision = runtime.backend, runtime.precision
        self._runtime = runtime

    def start(self, patches: Pixels) -> Callable[[], Vectors]:
        return self._runtime.start(patches.copy())


def as_beside_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(settings: ExtractionSettings) -> Encoder:
        encoder = load_encoder(settings)
        return replace(encoder, runtime=AsOnGpu(encoder.runtime))

    monkeypatch.setattr(stage, "load_encoder", load)
    monkeypatch.setattr(reading_processes, "readers_of_slide", lambda: 2)


@pytest.mark.parametrize("on_gpu", [False, True])
def test_bags_and_outcomes_are_those_of_one_after_another(
    tmp_path: Path, cohort: Cohort, chosen, monkeypatch: pytest.MonkeyPatch, on_gpu: bool
) -> None:
    settings = chosen(min_stained=0, batch_size=23)
    alone = extract(cohort, Extraction(settings, tmp_path / "alone"))
    monkeypatch.setattr(stage, "slides_at_once", lambda *, on_gpu: 3)
    if on_gpu:
        as_beside_gpu(monkeypatch)
    told: list[str] = []
    together = extract(
        cohort,
        Extraction(settings, tmp_path / "together"),
        on_slide=lambda outcome: told.append(outcome.slide_id),
    )
    assert together == alone
    assert [outcome.duplicates for outcome in together[-2:]] == [0, 1]
    assert told == [slide.slide_id for slide in cohort.slides]
    assert len(bags_in(tmp_path / "alone")) == 7
    assert bags_in(tmp_path / "together") == bags_in(tmp_path / "alone")


@pytest.mark.usefixtures("three_at_once")
def test_a_slide_that_another_process_is_at_is_waited_for(
    tmp_path: Path, cohort: Cohort, chosen
) -> None:
    extraction = Extraction(chosen(min_stained=0), tmp_path / "bags")
    with closing(extract_here()(jobs_of(cohort), extraction)) as work:
        with slide_lock("S1", extraction.out, wait=False):
            first = [next(work).slide_id for _ in range(7)]
        assert "S1" not in first
        assert [outcome.slide_id for outcome in work] == ["S1"]


@pytest.mark.usefixtures("three_at_once")
@pytest.mark.parametrize("on_gpu", [False, True])
def test_stopping_ends_slides_under_way_and_loses_nothing(
    tmp_path: Path, cohort: Cohort, chosen, monkeypatch: pytest.MonkeyPatch, on_gpu: bool
) -> None:
    if on_gpu:
        as_beside_gpu(monkeypatch)
    before = set(multiprocessing.active_children())
    extraction = Extraction(chosen(min_stained=0), tmp_path / "bags")
    told = []

    def stop_at_the_first(slide_id: str, _done: int, _all: int) -> None:
        told.append(slide_id)
        if len(told) == 1:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        closing(extract_here(stop_at_the_first)(jobs_of(cohort), extraction)) as work,
    ):
        list(work)
    assert set(multiprocessing.active_children()) == before
    made = bags_in(extraction.out)
    assert len(made) < 7
    extract(cohort, extraction)
    extract(cohort, Extraction(extraction.settings, tmp_path / "undisturbed"))
    assert bags_in(extraction.out) == bags_in(tmp_path / "undisturbed")
    assert made.items() <= bags_in(extraction.out).items()
