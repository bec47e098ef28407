from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from cohorts.manifest import Cohort, read_cohort
from cohorts.settings import CohortSettings
from feature_extraction import duplicates
from feature_extraction.duplicates import find_duplicates
from feature_extraction.failures import FAILURES


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 200, (6, 6, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (80, 80), interpolation=cv2.INTER_CUBIC))


@pytest.fixture
def cohort(tmp_path: Path) -> Callable[[Sequence[tuple[str, str]]], Cohort]:
    """A cohort of (patient, path) rows."""

    def of(rows: Sequence[tuple[str, str]]) -> Cohort:
        lines = ["patient_id,slide_id,path,centre"]
        lines += [f"{patient},S{row},{path},X" for row, (patient, path) in enumerate(rows)]
        (tmp_path / "cohort.csv").write_text("\n".join(lines), encoding="utf-8")
        return read_cohort(CohortSettings(manifest=tmp_path / "cohort.csv", label=""))

    return of


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    assert cv2.imwrite(str(path), image)


def test_copies_are_found_between_patients_and_counted_within(tmp_path: Path, cohort) -> None:
    for number in range(6):
        write(tmp_path / "a" / f"{number}.png", picture(number))
        write(tmp_path / "b" / f"{number}.png", picture(number + 50))
    write(tmp_path / "a" / "again.png", picture(0))
    write(tmp_path / "a" / "near.jpg", picture(5))  # of the same patient: no pair
    write(tmp_path / "b" / "exact.png", picture(0))
    write(tmp_path / "c" / "saved.jpg", picture(1))
    write(tmp_path / "c" / "turned.png", np.rot90(picture(2)).copy())
    write(tmp_path / "c" / "brighter.png", picture(3) + np.uint8(30))
    looked_at = []
    report = find_duplicates(
        cohort([("A", "a"), ("B", "b"), ("C", "c")]),
        on_slide=lambda slide: looked_at.append(slide.slide_id),
    )
    assert (report.images, report.repeated, report.unreadable) == (18, 1, ())
    assert looked_at == ["S0", "S1", "S2"]
    found = [(p.kind, p.first.name, p.second.slide.patient_id, p.second.name) for p in report.pairs]
    assert found == [
        ("exact", "0.png", "B", "exact.png"),
        ("near", "1.png", "C", "saved.jpg"),
        ("near", "2.png", "C", "turned.png"),
        ("near", "3.png", "C", "brighter.png"),
    ]
    assert all(0.92 <= pair.correlation <= 1 for pair in report.pairs)


def test_bare_glass_is_no_copy_of_bare_glass(tmp_path: Path, cohort) -> None:
    for number, patient in enumerate("ab"):
        write(tmp_path / patient / "1.png", np.full((60, 60, 3), 240 + number, dtype=np.uint8))
    assert find_duplicates(cohort([("A", "a"), ("B", "b")])).pairs == ()


def test_what_cannot_be_read_is_listed_and_the_rest_is_compared(tmp_path: Path, cohort) -> None:
    write(tmp_path / "a" / "1.png", picture(1))
    write(tmp_path / "b" / "1.png", picture(1))
    (tmp_path / "a" / "0.png").write_bytes(b"no image")
    (tmp_path / "empty").mkdir()
    (tmp_path / "slide.svs").write_bytes(b"no slide")
    rows = [("A", "a"), ("B", "b"), ("C", "empty"), ("D", "slide.svs")]
    report = find_duplicates(cohort(rows))
    assert [pair.kind for pair in report.pairs] == ["exact"]
    assert [line.split(":")[0] for line in report.unreadable] == [
        'slide "S0" (manifest row 2)',
        'slide "S2" (manifest row 4)',
        'slide "S3" (manifest row 5)',
    ]
    assert 'image "0.png" cannot be decoded' in report.unreadable[0]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("where", ["open_source", "looks_of"])
def test_no_failure_of_one_image_ends_the_search(
    tmp_path: Path, cohort, monkeypatch, failure: type[Exception], where: str
) -> None:
    for patient in "ab":
        write(tmp_path / patient / "1.png", picture(1))
        write(tmp_path / patient / "2.png", picture(2))
    genuine, calls = getattr(duplicates, where), []

    def failing_once(given: object) -> object:
        calls.append(given)
        if len(calls) == 1:
            raise failure("no\nmore")
        return genuine(given)

    monkeypatch.setattr(duplicates, where, failing_once)
    report = find_duplicates(cohort([("A", "a"), ("B", "b")]))
    assert report.unreadable == ('slide "S0" (manifest row 2): no more',)
    assert report.images == (2 if where == "open_source" else 3)


def test_whole_slides_are_compared_by_their_thumbnails(
    tmp_path: Path, cohort, pyramid: Callable[..., Path]
) -> None:
    large = cv2.resize(picture(7), (700, 500))
    pyramid(large, "one.tif")
    (tmp_path / "copy.tif").write_bytes((tmp_path / "one.tif").read_bytes())
    pyramid((large * 0.9).astype(np.uint8), "darker.tif")
    pyramid(cv2.resize(picture(8), (700, 500)), "other.tif")
    names = ("one", "copy", "darker", "other")
    report = find_duplicates(cohort([(name, f"{name}.tif") for name in names]))
    found = [(p.kind, p.first.slide.patient_id, p.second.slide.patient_id) for p in report.pairs]
    assert found == [("exact", "one", "copy"), ("near", "one", "darker")]
