"""On a GPU; skipped where there is none."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cohorts.manifest import Cohort, Slide, SourceKind
from feature_extraction import ExtractionSettings, read_bag
from feature_extraction.encoders import load_encoder
from feature_extraction.encoders.probe import draw_probe, lowest_cosine
from feature_extraction.extract import extract
from feature_extraction.selection import KEEP_ALL
from feature_extraction.slide_job import Extraction

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
PATCHES = draw_probe(70, 96)


def settings_of(precision: str, **named: object) -> ExtractionSettings:
    usual = {"encoder": "untrained:timm:resnet18", "mpp": "native", "precision": precision}
    return ExtractionSettings.model_validate(
        {**usual, "batch_size": 32, "patch_px": 96, "min_stained": 0, "keep": KEEP_ALL, **named}
    )


@pytest.fixture(scope="module")
def by_processor() -> np.ndarray:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: False)
        return load_encoder(settings_of("float32", backend="torch"))(PATCHES)


@pytest.mark.parametrize(("precision", "cosine"), [("float32", 0.99999), ("bfloat16", 0.98)])
def test_vectors_are_those_of_the_processor(
    by_processor: np.ndarray, precision: str, cosine: float
) -> None:
    encoder = load_encoder(settings_of(precision))
    assert encoder.device.type == "cuda"
    assert lowest_cosine(by_processor, encoder(PATCHES)) > cosine


def test_a_patch_gives_the_same_in_any_batch_and_from_any_thread() -> None:
    encoder = load_encoder(settings_of("auto"))
    whole = encoder(PATCHES)
    np.testing.assert_array_equal(encoder(PATCHES[:1]), whole[:1])
    parts = [PATCHES[first : first + 10] for first in range(0, 70, 10)] * 10
    with ThreadPoolExecutor(8) as pool:
        found = np.concatenate(list(pool.map(encoder, parts)))
    np.testing.assert_allclose(found, np.concatenate([whole] * 10), rtol=1e-2, atol=1e-2)


def test_bags_are_the_same_again(tmp_path: Path, smear, pyramid) -> None:
    paths = [tmp_path / f"{number}.tif" for number in range(5)]
    for number, path in enumerate(paths):
        pyramid(smear(700, 500, number)).rename(path)
    slides = tuple(
        Slide(path.stem, path.stem, path, SourceKind.SLIDE, None, row)
        for row, path in enumerate(paths, start=2)
    )
    index = pd.Index([path.stem for path in paths], name="patient_id")
    cohort = Cohort(slides, pd.DataFrame(index=index), tmp_path / "cohort.csv")
    for folder in ("once", "again"):
        outcomes = extract(cohort, Extraction(settings_of("auto"), tmp_path / folder))
        assert [(o.slide_id, o.state) for o in outcomes] == [(p.stem, "made") for p in paths]
    for path in paths:
        once, again = (read_bag(tmp_path / f / f"{path.stem}.h5") for f in ("once", "again"))
        assert len(once.coords) > 10
        np.testing.assert_array_equal(once.features, again.features)
        np.testing.assert_array_equal(once.coords, again.coords)
