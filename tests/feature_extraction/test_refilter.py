"""Another rule gives the bag that an extraction under that rule gives, and reads no slide."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cohorts.manifest import Cohort, Slide, SourceKind
from feature_extraction import ExtractionSettings, read_bag
from feature_extraction.bags import holds_patches
from feature_extraction.candidates import read_candidates
from feature_extraction.extract import extract
from feature_extraction.refilter import refilter
from feature_extraction.selection import PatchRule
from feature_extraction.slide_job import Extraction

LOOSE = PatchRule(min_stained=0, min_saturation=None, min_sharpness=None, max_overlap=None)
STRICT = LOOSE.model_copy(update={"min_stained": 0.12})
IMPOSSIBLE = LOOSE.model_copy(update={"min_stained": 1.0})


@pytest.fixture
def cohort(tmp_path: Path, smear, pyramid: Callable[..., Path]) -> Cohort:
    """Two slides with denser and sparser patches."""
    slides = tuple(
        Slide(f"S{i}", f"P{i}", pyramid(smear(320, 256, i, cells=25), f"{i}.tif"),
              SourceKind.SLIDE, None, i + 2)
        for i in range(2)
    )  # fmt: skip
    return Cohort(slides, pd.DataFrame(index=["P0", "P1"]), tmp_path / "cohort.csv")


@pytest.fixture
def settings(chosen: Callable[..., ExtractionSettings]) -> Callable[..., ExtractionSettings]:
    return lambda rule: chosen(min_stained=0.01, keep=rule)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.h5")}


def test_a_refiltered_bag_is_the_extracted_one_bit_for_bit(
    tmp_path: Path, cohort: Cohort, settings
) -> None:
    extract(cohort, Extraction(settings(STRICT), tmp_path / "fresh"))
    extract(cohort, Extraction(settings(LOOSE), tmp_path / "bags"))
    loose = bytes_of(tmp_path / "bags")
    outcomes = refilter(cohort.slides, STRICT, tmp_path / "bags")
    assert bytes_of(tmp_path / "bags") == bytes_of(tmp_path / "fresh") != loose
    assert [o.state for o in outcomes] == ["refiltered"] * 2
    assert all(o.patches and o.dropped for o in outcomes)
    for outcome in outcomes:
        bag = read_bag(tmp_path / "bags" / f"{outcome.slide_id}.h5")
        assert len(bag) == outcome.patches
        assert (bag.quality["stained"] >= np.float32(0.12)).all()
    refilter(cohort.slides, LOOSE, tmp_path / "bags")
    assert bytes_of(tmp_path / "bags") == loose


def test_extraction_applies_another_rule_without_reading_the_slides(
    tmp_path: Path, cohort: Cohort, settings
) -> None:
    extract(cohort, Extraction(settings(LOOSE), tmp_path))
    for slide in cohort.slides:  # spoilt, but by size and time of change the file it was
        before = slide.path.stat()
        slide.path.write_bytes(b"x" * before.st_size)
        os.utime(slide.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    outcomes = extract(cohort, Extraction(settings(STRICT), tmp_path))
    assert [o.state for o in outcomes] == ["refiltered"] * 2
    again = extract(cohort, Extraction(settings(STRICT), tmp_path))
    assert [o.state for o in again] == ["reused"] * 2


@pytest.mark.parametrize("by", ["extraction", "refilter"])
def test_a_rule_that_drops_everything_fails_the_slide_and_loses_nothing(
    tmp_path: Path, cohort: Cohort, settings, by: str
) -> None:
    extract(cohort, Extraction(settings(LOOSE), tmp_path))
    before = bytes_of(tmp_path)
    if by == "extraction":
        outcomes = extract(cohort, Extraction(settings(IMPOSSIBLE), tmp_path))
    else:
        outcomes = refilter(cohort.slides, IMPOSSIBLE, tmp_path)
    assert [o.state for o in outcomes] == ["failed"] * 2
    assert "no patch passes the rule (" in outcomes[0].reason
    assert "sparse" in outcomes[0].reason
    assert "kept and used" not in outcomes[0].reason
    assert not holds_patches(tmp_path / "S0.h5")
    assert not read_candidates(tmp_path / "S0.h5").kept.any()
    refilter(cohort.slides, LOOSE, tmp_path)
    assert bytes_of(tmp_path) == before


def test_a_slide_without_a_bag_is_listed(tmp_path: Path, cohort: Cohort, settings) -> None:
    extract(cohort, Extraction(settings(LOOSE), tmp_path))
    (tmp_path / "S0.h5").unlink()
    missing, other = refilter(cohort.slides, STRICT, tmp_path)
    assert (missing.state, other.state) == ("failed", "refiltered")
    assert missing.reason.startswith('slide "S0" (manifest row 2): ')
    assert "run cmil extract" in missing.reason


def test_a_bag_without_measures_is_refused(tmp_path: Path, cohort: Cohort, settings) -> None:
    import h5py

    extract(cohort, Extraction(settings(LOOSE), tmp_path))
    with h5py.File(tmp_path / "S0.h5", "r+") as file:
        del file["quality"]
    missing, _ = refilter(cohort.slides, STRICT, tmp_path)
    assert "holds no quality measures" in missing.reason
