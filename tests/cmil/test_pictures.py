"""Every patient gets a picture of the bag the model saw."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cmil.attention import write_attention
from cmil.patient_bags import PatientBag, read_patient_bags
from cmil.pictures import picture_path, write_pictures
from cmil.prediction import PatientPrediction
from cohorts.errors import FileFormatError
from cohorts.manifest import Cohort, read_cohort
from cohorts.settings import CohortSettings
from feature_extraction.bags import Bag, bag_path, write_bag

PATIENTS = ("P1", "P2")


def said_of(bag: PatientBag) -> PatientPrediction:
    even = np.full(len(bag), 1 / len(bag), np.float32)
    return PatientPrediction(0.0, 0.5, 0.1, (), even, even * 0)


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Two patients of a noisy field each, with bags and attention."""
    rng = np.random.default_rng(0)
    coords = np.array([(x, y) for x in range(0, 300, 50) for y in range(0, 300, 50)])
    bag = Bag(
        np.zeros((len(coords), 2), np.float32),
        coords,
        attributes={"images_are": "fields"},
        grid={"patch_size_level0": 50},
    )
    rows = []
    for patient in PATIENTS:
        noise = rng.integers(0, 256, (300, 300, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{patient}.png")
        write_bag(bag_path(tmp_path / "bags", patient), bag)
        rows.append([patient, patient, f"{patient}.png", "Lund", 1])
    columns = ["patient_id", "slide_id", "path", "centre", "label"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "cohort.csv", index=False)
    read = read_cohort(CohortSettings(manifest=tmp_path / "cohort.csv"))
    for joined in read_patient_bags(read, tmp_path / "bags").bags.values():
        write_attention(tmp_path / "attention", joined, said_of(joined), "0")
    return read


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., list[str]]:
    predictions = pd.DataFrame(
        {"patient_id": PATIENTS, "score": 0.5, "decision": 1, "label": [1, np.nan], "n_patches": 36}
    )

    def write(cohort: Cohort, name: str = "heatmaps", seed: int = 0) -> list[str]:
        told: list[str] = []
        write_pictures(
            cohort,
            predictions,
            bags=tmp_path / "bags",
            attention=tmp_path / "attention",
            folder=tmp_path / name,
            seed=seed,
            on_patient=told.append,
        )
        return told

    return write


def test_every_patient_gets_a_picture(
    cohort: Cohort, draw: Callable[..., list[str]], tmp_path: Path
) -> None:
    assert draw(cohort) == list(PATIENTS)
    assert sorted(path.name for path in (tmp_path / "heatmaps").iterdir()) == ["P1.png", "P2.png"]


def test_picture_does_not_depend_on_who_else_is_drawn(
    cohort: Cohort, draw: Callable[..., list[str]], tmp_path: Path
) -> None:
    draw(cohort, "all")
    draw(cohort.restricted_to(["P2"]), "one")
    draw(cohort.restricted_to(["P2"]), "other", seed=1)
    among, alone, other = (
        picture_path(tmp_path / name, "P2").read_bytes() for name in ("all", "one", "other")
    )
    assert among == alone
    assert among != other


def test_attention_of_another_bag_is_refused(
    cohort: Cohort, draw: Callable[..., list[str]], tmp_path: Path
) -> None:
    bag = PatientBag(
        read_patient_bags(cohort, tmp_path / "bags").bags["P2"].instances,
        {"P2": np.zeros((36, 2), np.int64)},
    )
    write_attention(tmp_path / "attention", bag, said_of(bag), "0")
    with pytest.raises(FileFormatError, match=r"P2\.h5.* is of another bag"):
        draw(cohort)
