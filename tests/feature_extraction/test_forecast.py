import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cohorts.manifest import Cohort, Slide, SourceKind
from feature_extraction.extract import extract
from feature_extraction.forecast import Forecast, forecast
from feature_extraction.selection import PatchRule
from feature_extraction.slide_job import Extraction

Draw = Callable[..., np.ndarray]

pytestmark = pytest.mark.usefixtures("hurried")


def folder_of(path: Path, *images: np.ndarray) -> Path:
    path.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(path / f"{number:03d}.png")
    return path


def cohort_of(*paths: Path, centres: str = "", patients: str = "") -> Cohort:
    """One slide a path; its name is the slide's, centres and patients are one letter each."""
    slides = tuple(
        Slide(
            path.stem,
            patients[number] if patients else f"patient of {path.stem}",
            path,
            SourceKind.FOLDER if path.is_dir() else SourceKind.SLIDE,
            None,
            number + 2,
        )
        for number, path in enumerate(paths)
    )
    of_patient = {s.patient_id: (centres or "N" * len(slides))[n] for n, s in enumerate(slides)}
    index = pd.Index(list(of_patient), name="patient_id")
    table = pd.DataFrame({"centre": list(of_patient.values())}, index=index)
    return Cohort(slides, table, paths[0].parent / "cohort.csv")


def two_stains(seed: int) -> np.ndarray:
    """Pink discs and purple ones on clear glass."""
    random = np.random.default_rng(seed)
    image = np.full((96, 128, 3), 245, dtype=np.uint8)
    for colour in ((215, 150, 175), (95, 60, 150)) * 8:
        centre = int(random.integers(8, 120)), int(random.integers(8, 88))
        cv2.circle(image, centre, 8, colour, -1, cv2.LINE_AA)
    return np.clip(image + random.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def states(expected: Forecast) -> dict[str, str]:
    return dict(zip(expected.slides["slide_id"], expected.slides["state"], strict=True))


@pytest.fixture
def cohort(tmp_path: Path, smear: Draw, pyramid: Callable[..., Path]) -> Cohort:
    """Two slides and a folder of three fields, in two centres."""
    slides = [pyramid(smear(300, 200, seed, cells=30), f"s{seed}.tif") for seed in (5, 6)]
    fields = folder_of(tmp_path / "fields", *(smear(96, 80, seed) for seed in (1, 2, 3)))
    return cohort_of(*slides, fields, centres="NSS")


def test_what_is_forecast_is_what_is_extracted(tmp_path: Path, cohort: Cohort, chosen) -> None:
    extraction = Extraction(chosen(storage="float32"), tmp_path / "bags")
    expected = forecast(cohort, extraction)
    assert not extraction.out.exists()
    assert states(expected) == {"s5": "make", "s6": "make", "fields": "make"}
    assert not expected.slides["estimated"].any()
    assert expected.rates is not None
    outcomes = extract(cohort, extraction)
    assert expected.slides["patches"].tolist() == [o.patches + o.dropped for o in outcomes]
    written = sum(file.stat().st_size for file in extraction.out.glob("*.h5"))
    bytes_of_patches = expected.slides["patches"].sum() * expected.bytes_per_patch
    assert 0 < written - bytes_of_patches < len(outcomes) * 40_000  # what HDF5 adds to a bag
    assert bytes_of_patches < expected.needed_bytes
    centres = expected.by_centre().set_index("centre")
    assert list(centres.index) == ["N", "S", "all"]
    assert centres["slides"].tolist() == [1, 2, 3]
    assert centres.loc["all", "patches"] == sum(o.patches + o.dropped for o in outcomes)
    assert centres.loc["all", "hours"] == pytest.approx(centres["hours"].iloc[:2].sum())
    json.dumps(expected.to_json(), allow_nan=False)


def test_what_is_there_is_seen(tmp_path: Path, cohort: Cohort, chosen) -> None:
    extraction = Extraction(chosen(), tmp_path / "bags")
    extract(cohort, extraction)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "bags").rglob("*")}
    done = forecast(cohort, extraction)
    assert set(states(done).values()) == {"up to date"}
    assert (done.rates, done.needed_bytes) == (None, 0)
    assert done.by_centre()["hours"].tolist() == [0, 0, 0]
    strict = PatchRule.model_validate({"min_sharpness": 0.5})
    other_rule = replace(extraction, settings=chosen(keep=strict))
    assert set(states(forecast(cohort, other_rule)).values()) == {"filter"}
    other_size = replace(extraction, settings=chosen(patch_px=48))
    assert set(states(forecast(cohort, other_size)).values()) == {"make"}
    path = cohort.slides[0].path
    path.write_bytes(path.read_bytes() + b"\0")
    assert states(forecast(cohort, extraction)) == {
        "s5": "make",
        "s6": "up to date",
        "fields": "up to date",
    }
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "bags").rglob("*")} == before


def test_a_shard_is_forecast_by_itself(tmp_path: Path, cohort: Cohort, chosen) -> None:
    extraction = Extraction(chosen(), tmp_path / "bags")
    parts = [forecast(cohort, extraction, shard=(part, 2)).slides for part in (1, 2)]
    assert [list(part["slide_id"]) for part in parts] == [["s5", "fields"], ["s6"]]


def test_slides_that_will_fail_are_named_as_extraction_names_them(
    tmp_path: Path, smear: Draw, pyramid, chosen
) -> None:
    good = pyramid(smear(200, 200), "good.tif")
    cut_short = pyramid(smear(200, 200), "cut.tif")
    cut_short.write_bytes(cut_short.read_bytes()[:300])
    empty = pyramid(np.full((200, 200, 3), 245, dtype=np.uint8), "empty.tif")
    fields = folder_of(tmp_path / "fields", smear(96, 80, 2), smear(96, 80, 3))
    (fields / "001.png").write_bytes((fields / "001.png").read_bytes()[:200])
    unscaled = folder_of(tmp_path / "unscaled", smear(96, 80, 4), smear(96, 80, 5))
    paths = (good, cut_short, empty, fields, unscaled, tmp_path / "missing.tif")
    extraction = Extraction(chosen(mpp=0.25), tmp_path / "bags")
    expected = forecast(cohort_of(*paths), extraction)
    outcomes = extract(cohort_of(*paths), extraction)
    assert expected.failing == [o.reason for o in outcomes if o.state == "failed"]
    assert len(expected.failing) == 5
    # Remembered, until one asks to try again.
    again = forecast(cohort_of(*paths), extraction)
    assert again.failing == expected.failing
    assert states(again)["good"] == "up to date"
    assert forecast(cohort_of(*paths), replace(extraction, retry_failed=True)).failing


def test_a_bag_that_the_rule_empties_is_forecast_to_fail(
    tmp_path: Path, cohort: Cohort, chosen
) -> None:
    impossible = Extraction(chosen(keep=PatchRule(min_stained=1)), tmp_path / "bags")
    extract(cohort, Extraction(chosen(), impossible.out))
    before = forecast(cohort, impossible)  # the rule is still to be applied
    reasons = [o.reason for o in extract(cohort, impossible)]
    after = forecast(cohort, impossible)  # it was applied
    assert before.failing == after.failing == reasons
    assert "no patch passes the rule (" in reasons[0]
    assert set(states(forecast(cohort, Extraction(chosen(), impossible.out))).values()) == {
        "filter"
    }


def test_a_large_folder_is_estimated_from_a_sample(tmp_path: Path, smear: Draw, chosen) -> None:
    pictures = [smear(96, 80, seed) for seed in range(45)]
    cohort = cohort_of(folder_of(tmp_path / "many", *pictures))
    fields = forecast(cohort, Extraction(chosen(min_stained=0), tmp_path / "bags")).slides
    assert (fields.loc[0, "patches"], fields.loc[0, "estimated"]) == (45 * 9, True)
    cells = forecast(cohort, Extraction(chosen(images="cells"), tmp_path / "bags")).slides
    assert (cells.loc[0, "patches"], cells.loc[0, "estimated"]) == (45, False)
    real = extract(cohort, Extraction(chosen(), tmp_path / "bags"))[0]
    guessed = forecast(cohort, Extraction(chosen(), tmp_path / "other")).slides.loc[0, "patches"]
    assert guessed == pytest.approx(real.patches + real.dropped, rel=0.25)


def test_a_sample_bounds_the_patches(tmp_path: Path, cohort: Cohort, chosen) -> None:
    extraction = Extraction(chosen(max_patches=7, min_stained=0), tmp_path / "bags")
    assert forecast(cohort, extraction).slides["patches"].tolist() == [7, 7, 7]
    one = replace(extraction, settings=chosen(max_patches=10**6, min_stained=0))
    every = replace(extraction, settings=chosen(min_stained=0))
    assert forecast(cohort, one).slides.equals(forecast(cohort, every).slides)


def test_copies_are_known_once_they_were_read(tmp_path: Path, smear: Draw, pyramid, chosen) -> None:
    slide = pyramid(smear(200, 200), "first.tif")
    copied = tmp_path / "second.tif"
    copied.write_bytes(slide.read_bytes())
    cohort = cohort_of(slide, copied, patients="PP")
    extraction = Extraction(chosen(), tmp_path / "bags")
    assert states(forecast(cohort, extraction)) == {"first": "make", "second": "make"}
    extract(cohort, extraction)
    assert states(forecast(cohort, extraction)) == {"first": "up to date", "second": "copy"}


@pytest.mark.parametrize("stain", ["grey-world", "reinhard", "macenko"])
def test_a_reference_that_is_still_to_be_fitted_stops_nothing(
    tmp_path: Path, chosen, stain: str
) -> None:
    stained = folder_of(tmp_path / "stained", *(two_stains(seed) for seed in range(3)))
    extraction = Extraction(chosen(stain=stain), tmp_path / "bags")
    expected = forecast(cohort_of(stained), extraction)
    assert (expected.failing, states(expected)) == ([], {"stained": "make"})
    assert expected.rates is not None
    assert not extraction.out.exists()
