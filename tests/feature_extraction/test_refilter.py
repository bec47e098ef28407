"""Another rule gives the bag that an extraction under that rule gives, and reads no slide."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from cohorts.errors import AccessError
from cohorts.manifest import Cohort, Slide, SourceKind
from feature_extraction import ExtractionSettings, read_bag
from feature_extraction.bags import holds_patches
from feature_extraction.candidates import read_candidates, write_candidates
from feature_extraction.extract import extract
from feature_extraction.refilter import refilter
from feature_extraction.selection import PatchRule
from feature_extraction.slide_job import Extraction
from feature_extraction.slide_lock import InWorkElsewhere, slide_lock
from feature_extraction.slide_record import SlideOutcome, SlideRecord, read_record
from feature_extraction.sources.opening import SlideSource

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
    tmp_path: Path, cohort: Cohort, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(cohort, Extraction(settings(LOOSE), tmp_path))

    def opened(source: SlideSource, index: int) -> None:
        raise AssertionError(f"{source.names[index]} was opened")

    monkeypatch.setattr(SlideSource, "open", opened)
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
    extract(cohort, Extraction(settings(LOOSE), tmp_path))
    with h5py.File(tmp_path / "S0.h5", "r+") as file:
        del file["quality"]
    missing, _ = refilter(cohort.slides, STRICT, tmp_path)
    assert "holds no quality measures" in missing.reason


def records_of(cohort: Cohort, folder: Path) -> list[SlideOutcome]:
    return [read_record(folder, slide).outcome for slide in cohort.slides]


def test_a_copy_is_passed_over(tmp_path: Path, cohort: Cohort, settings) -> None:
    first, second = (slide for slide in cohort.slides)
    second.path.write_bytes(first.path.read_bytes())
    twins = replace(cohort, slides=(first, replace(second, patient_id=first.patient_id)))
    extract(twins, Extraction(settings(LOOSE), tmp_path))
    outcomes = refilter(twins.slides, STRICT, tmp_path)
    assert [o.state for o in outcomes] == ["refiltered", "duplicate"]
    assert records_of(twins, tmp_path) == outcomes
    assert pd.read_csv(tmp_path / "slides.csv")["state"].tolist() == ["refiltered", "duplicate"]


@pytest.mark.parametrize("rule", [LOOSE, STRICT, IMPOSSIBLE])
def test_slides_are_listed_as_extraction_lists_them(
    tmp_path: Path, cohort: Cohort, settings, rule: PatchRule
) -> None:
    for folder in (tmp_path / "extracted", tmp_path / "refiltered"):
        extract(cohort, Extraction(settings(LOOSE), folder))
    for _ in range(2):  # the second finds the bags up to date
        extract(cohort, Extraction(settings(rule), tmp_path / "extracted"))
        refilter(cohort.slides, rule, tmp_path / "refiltered")
        expected, got = (
            pd.read_csv(tmp_path / name / "slides.csv").drop(columns=["attempts", "seconds"])
            for name in ("extracted", "refiltered")
        )
        pd.testing.assert_frame_equal(got, expected)


def test_a_slide_that_failed_keeps_its_reason(tmp_path: Path, cohort: Cohort, settings) -> None:
    cohort.slides[0].path.write_bytes(b"no slide")
    why = extract(cohort, Extraction(settings(LOOSE), tmp_path))[0].reason
    before = read_record(tmp_path, cohort.slides[0])
    failed, other = refilter(cohort.slides, STRICT, tmp_path)
    assert (failed.state, failed.reason, other.state) == ("failed", why, "refiltered")
    assert read_record(tmp_path, cohort.slides[0]) == before


@pytest.mark.parametrize(
    "trouble", [AccessError("the share is away"), MemoryError(), OSError(5, "x")]
)
def test_trouble_with_one_bag_stops_no_other(
    tmp_path: Path, cohort: Cohort, settings, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    extract(cohort, Extraction(settings(LOOSE), tmp_path))

    def write(path: Path, *rest: object) -> None:
        if path.name == "S0.h5":
            raise trouble
        write_candidates(path, *rest)

    monkeypatch.setattr("feature_extraction.refilter.write_candidates", write)
    outcomes = refilter(cohort.slides, STRICT, tmp_path)
    assert [o.state for o in outcomes] == ["failed", "refiltered"]
    assert records_of(cohort, tmp_path) == outcomes
    assert not outcomes[0].reason.endswith(": ")


def test_a_sample_that_ended_by_another_rule_is_not_taken_for_one_of_this(
    tmp_path: Path, cohort: Cohort, chosen
) -> None:
    sampled = chosen(min_stained=0.01, keep=LOOSE, max_patches=5)
    extract(cohort, Extraction(sampled, tmp_path))
    before = bytes_of(tmp_path)
    assert [o.state for o in refilter(cohort.slides, LOOSE, tmp_path)] == ["reused"] * 2
    outcomes = refilter(cohort.slides, STRICT, tmp_path)
    assert [o.state for o in outcomes] == ["failed"] * 2
    assert "max_patches = 5 under another rule; run cmil extract" in outcomes[0].reason
    assert bytes_of(tmp_path) == before
    other = sampled.model_copy(update={"keep": STRICT})
    assert [o.state for o in extract(cohort, Extraction(other, tmp_path))] == ["made"] * 2


def test_a_slide_is_locked_until_its_record_is_written(
    tmp_path: Path, cohort: Cohort, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(cohort, Extraction(settings(LOOSE), tmp_path))
    written = []

    def write(folder: Path, record: SlideRecord) -> None:
        with (
            pytest.raises(InWorkElsewhere),
            slide_lock(record.outcome.slide_id, folder, wait=False),
        ):
            pass
        written.append(record.outcome.state)

    monkeypatch.setattr("feature_extraction.refilter.write_record", write)
    refilter(cohort.slides, STRICT, tmp_path)
    assert written == ["refiltered"] * 2
