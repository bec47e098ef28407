import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import openslide
import pytest

from cohorts.errors import SettingsError, StudyError
from cohorts.simulate import SimulatedStudy, _draw_survival, read_truth, simulate_study

SMALL = (640, 512)


def simulate_small(out: Path, *, workers: int = 2, seed: int = 3) -> SimulatedStudy:
    return simulate_study(out, patients=24, seed=seed, workers=workers, slide_size=SMALL)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> SimulatedStudy:
    return simulate_small(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def rows(study: SimulatedStudy) -> list[dict[str, str]]:
    with study.manifest.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_of(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_same_seed_gives_the_same_bytes_whatever_the_number_of_workers(
    study: SimulatedStudy, tmp_path: Path
) -> None:
    again = simulate_small(tmp_path, workers=1)
    assert files_of(again.out) == files_of(study.out)


def test_slides_open_with_their_resolution_and_levels(
    study: SimulatedStudy, rows: list[dict[str, str]]
) -> None:
    expected = {"Alder": 0.25, "Birch": 0.2425, "Cedar": 0.27}
    for row in rows:
        with openslide.OpenSlide(study.out / row["path"]) as slide:
            assert slide.level_dimensions == ((640, 512), (160, 128), (40, 32))
            assert slide.properties["openslide.vendor"] == "generic-tiff"
            for axis in "xy":
                mpp = float(slide.properties[f"openslide.mpp-{axis}"])
                assert mpp == pytest.approx(expected[row["centre"]], rel=1e-6)
            assert not slide.associated_images


def test_patient_columns_agree_and_centres_have_their_shares(rows: list[dict[str, str]]) -> None:
    assert list(rows[0]) == [
        "patient_id", "slide_id", "path", "centre", "split", "metastasis",
        "age_months", "mycn_amplified", "os_months", "os_event",
    ]  # fmt: skip
    assert len({row["slide_id"] for row in rows}) == len(rows)
    patients: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for row in rows:
        patients[row["patient_id"]].add(
            tuple(value for name, value in row.items() if name not in {"slide_id", "path"})
        )
    assert all(len(versions) == 1 for versions in patients.values())
    one_each = [next(iter(versions)) for versions in patients.values()]
    centres = [values[1:3] for values in one_each]
    assert {centre: centres.count(centre) for centre in set(centres)} == {
        ("Alder", "development"): 13,
        ("Birch", "external"): 5,
        ("Cedar", "external"): 6,
    }
    assert sum(values[3] == "1" for values in one_each) == 11
    assert all(float(values[6]) > 0 and float(values[4]) > 0 for values in one_each)


def test_positive_patients_have_a_clump_and_negative_ones_no_tumour(
    study: SimulatedStudy, rows: list[dict[str, str]]
) -> None:
    tumour_cells: dict[str, int] = defaultdict(int)
    label = {}
    for row in rows:
        truth = read_truth(study.truth / f"{row['slide_id']}.json")
        assert (truth.width, truth.height) == SMALL
        x, y, _ = truth.tumour_cells.T
        assert ((x >= 0) & (x < truth.width) & (y >= 0) & (y < truth.height)).all()
        tumour_cells[row["patient_id"]] += len(x)
        label[row["patient_id"]] = row["metastasis"]
    positive = [tumour_cells[patient] for patient in label if label[patient] == "1"]
    negative = [tumour_cells[patient] for patient in label if label[patient] == "0"]
    assert min(positive) >= 6
    assert max(positive) > 5 * min(positive)
    assert max(negative) == 0


def test_a_broken_off_study_is_finished_without_drawing_again(
    study: SimulatedStudy, tmp_path: Path
) -> None:
    whole = files_of(study.out)
    for name, content in whole.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    kept, lost = sorted((tmp_path / "slides").iterdir())[:2]
    kept.write_bytes(b"kept as it is")
    lost.unlink()
    (tmp_path / "cohort.csv").unlink()
    seen: list[tuple[int, int]] = []
    simulate_study(
        tmp_path,
        patients=24,
        seed=3,
        workers=1,
        slide_size=SMALL,
        progress=lambda done, slides: seen.append((done, slides)),
    )
    slides = len(list((tmp_path / "slides").iterdir()))
    assert seen == [(slides - 1, slides), (slides, slides)]
    assert kept.read_bytes() == b"kept as it is"
    assert lost.read_bytes() == whole[f"slides/{lost.name}"]
    assert (tmp_path / "cohort.csv").read_bytes() == whole["cohort.csv"]


def test_another_study_in_the_folder_is_refused(study: SimulatedStudy, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="other settings") as refusal:
        simulate_small(study.out, seed=4)
    assert str(study.out) in str(refusal.value)
    (tmp_path / "cohort.csv").write_text("patient_id\n")
    with pytest.raises(StudyError, match="not simulated here"):
        simulate_small(tmp_path)
    assert (tmp_path / "cohort.csv").read_text() == "patient_id\n"


@pytest.mark.parametrize(
    ("patients", "seed", "workers", "size", "message"),
    [
        (23, 0, 2, SMALL, "24 or more"),
        (24, -1, 2, SMALL, "0 or more"),
        (24, 0, 0, SMALL, "1 or more"),
        (24, 0, 2, (640, 511), "512 or more"),
    ],
)
def test_settings_out_of_range_are_refused(
    tmp_path: Path, patients: int, seed: int, workers: int, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        simulate_study(
            tmp_path / "out", patients=patients, seed=seed, workers=workers, slide_size=size
        )
    assert not (tmp_path / "out").exists()


def test_survival_falls_with_the_tumour_load() -> None:
    rng = np.random.default_rng(0)

    def deaths(load: int) -> float:
        drawn = [_draw_survival(rng, load, mycn=False, older=False) for _ in range(2000)]
        return float(np.mean([died for _, died in drawn]))

    none, low, high = deaths(0), deaths(40), deaths(600)
    assert none + 0.2 < low
    assert low + 0.1 < high
