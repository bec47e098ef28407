"""Images the tests draw themselves, and the real slides beside a development checkout."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cohorts.manifest import Slide, SourceKind
from cohorts.pyramid_tiff import write_pyramid
from feature_extraction import ExtractionSettings
from feature_extraction.selection import KEEP_ALL

Rgb = NDArray[np.uint8]

PURPLE = (110, 60, 150)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """These networks are too small to share; threads that wait for each other cost seconds."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def smear() -> Callable[..., Rgb]:
    """Draws stained discs on clear glass, the same for the same seed."""

    def draw(width: int, height: int, seed: int = 0, cells: int = 12) -> Rgb:
        random = np.random.default_rng(seed)
        image = np.full((height, width, 3), 245, dtype=np.uint8)
        for _ in range(cells):
            centre = int(random.integers(0, width)), int(random.integers(0, height))
            colour = [int(c) for c in random.integers(-20, 20, 3) + PURPLE]
            cv2.circle(image, centre, int(random.integers(6, 14)), colour, -1, cv2.LINE_AA)
        return image

    return draw


@pytest.fixture(scope="session")
def checkerboard() -> Callable[[int, int, int], Rgb]:
    """Draws squares of `side` px, black where their column and row add up to an even number."""

    def draw(width: int, height: int, side: int) -> Rgb:
        y, x = np.mgrid[0:height, 0:width] // side
        grey = np.where((x + y) % 2, 255, 0).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)

    return draw


@pytest.fixture
def pyramid(tmp_path: Path) -> Callable[..., Path]:
    """Writes an image as a slide that OpenSlide opens."""

    def write(image: Rgb, name: str = "slide.tif", mpp: float = 0.25) -> Path:
        write_pyramid(tmp_path / name, image, mpp=mpp, quality=98)
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def slide_at() -> Callable[..., Slide]:
    """The manifest's row of a path."""

    def row(path: Path, mpp: float | None = None, slide_id: str = "S1") -> Slide:
        kinds = {".tif": SourceKind.SLIDE, ".svs": SourceKind.SLIDE, ".dcm": SourceKind.SLIDE}
        kinds |= {".tiff": SourceKind.SLIDE, ".txt": SourceKind.LIST, "": SourceKind.FOLDER}
        kind = kinds.get(path.suffix, SourceKind.IMAGE)
        return Slide(slide_id, f"patient of {slide_id}", path, kind, mpp, 2)

    return row


@pytest.fixture(scope="session")
def chosen() -> Callable[..., ExtractionSettings]:
    """Settings of a small extraction of all that is stained; every processor computes the same."""

    def choose(**named: object) -> ExtractionSettings:
        usual = {"encoder": "stain-filters", "mpp": "native", "patch_px": 32, "keep": KEEP_ALL}
        plain = {"precision": "float32", "backend": "torch"}
        return ExtractionSettings.model_validate({**usual, **plain, **named})

    return choose


@pytest.fixture(scope="session")
def real_slide() -> Callable[[str], Path]:
    """Finds a real file; their licences keep them out of the repository."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "slides"

    def find(name: str) -> Path:
        if not (folder / name).is_file():
            pytest.skip(f"real slide {name} does not lie beside this checkout")
        return folder / name

    return find
