"""A toy study: bags in which one planted instance makes a patient positive."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cmil.bundle import ModelBundle
from cmil.patient_bags import PatientBags, read_patient_bags
from cmil.settings import MilSettings
from cmil.study import Study
from cmil.study_settings import StudySettings
from cmil.training.cross_validation import train
from cohorts.files import digest_of
from cohorts.manifest import Cohort, read_cohort
from cohorts.settings import CohortSettings
from feature_extraction.bags import Attribute, Bag, bag_path, write_bag

WIDTH = 4
ENCODING: Mapping[str, Attribute] = {
    "encoder": "timm:resnet18",
    "encoder_digest": "e" * 64,
    "images_are": "fields",
    "patch_px": 224,
    "mpp_used": 0.5,
    "stain": "none",
}

Toy = tuple[Cohort, Path]


def _toy_bag(
    rng: np.random.Generator,
    label: int,
    *,
    instances: int = 6,
    **attributes: Attribute,
) -> Bag:
    """Noise, and for a positive patient one instance far from it; the bag says what made it."""
    features = rng.normal(size=(instances, WIDTH)).astype(np.float32)
    if label:
        features[rng.integers(instances), 0] += 8
    coords = np.stack([224 * np.arange(instances), np.zeros(instances)], axis=1).astype(np.int64)
    made_by = digest_of([features.tolist(), attributes])
    return Bag(features, coords, attributes={**ENCODING, "made_by": made_by, **attributes})


def _write_toy(folder: Path, patients: pd.DataFrame, *, slides: int = 1, seed: int = 0) -> Toy:
    """Write a manifest and bags for `patients` (patient_id, centre, split, label), and read it."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in patients.to_dict("records"):
        for number in range(slides):
            slide_id = f"{patient['patient_id']}-{number}"
            (folder / f"{slide_id}.svs").parent.mkdir(parents=True, exist_ok=True)
            (folder / f"{slide_id}.svs").touch()
            label = int(patient["label"]) if number == 0 else 0
            bag = _toy_bag(rng, label, instances=5 + number)
            write_bag(bag_path(folder / "bags", slide_id), bag)
            rows.append({**patient, "slide_id": slide_id, "path": f"{slide_id}.svs"})
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    return read_cohort(CohortSettings(manifest=folder / "cohort.csv")), folder / "bags"


def _toy_patients(development: int, external: int = 0) -> pd.DataFrame:
    """Patients whose labels alternate, of two development centres and one external."""
    total = development + external
    return pd.DataFrame(
        {
            "patient_id": [f"P{i:02d}" for i in range(total)],
            "centre": [("Lund" if i < development // 2 else "Oslo") for i in range(development)]
            + ["Bern"] * external,
            "split": ["development"] * development + ["external"] * external,
            "label": [i % 2 for i in range(total)],
        }
    )


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are multiplied faster by one thread than they are shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def toy_bag() -> Callable[..., Bag]:
    return _toy_bag


@pytest.fixture(scope="session")
def write_toy() -> Callable[..., Toy]:
    return _write_toy


@pytest.fixture(scope="session")
def toy_patients() -> Callable[..., pd.DataFrame]:
    return _toy_patients


@pytest.fixture(scope="session")
def quick() -> MilSettings:
    """Settings that learn the toy study in a second."""
    return MilSettings(
        folds=3, epochs=20, hidden=8, attention_width=4, dropout=0.1, learning_rate=0.01
    )


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """18 development and 6 external patients of two slides each; read only."""
    return _write_toy(tmp_path_factory.mktemp("toy"), _toy_patients(18, 6), slides=2)


@pytest.fixture(scope="session")
def toy_bags(toy: Toy) -> PatientBags:
    return read_patient_bags(*toy)


@pytest.fixture(scope="session")
def trained(
    toy: Toy,
    toy_bags: PatientBags,
    quick: MilSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[ModelBundle, Path]:
    """The bundle of the toy study, undisturbed, and its folder; read only."""
    folder = tmp_path_factory.mktemp("model")
    cohort = toy[0].development
    return train(cohort, toy_bags, quick, folder, label="metastasis", seed=1), folder


@pytest.fixture(scope="session")
def toy_study(
    toy: Toy, toy_bags: PatientBags, quick: MilSettings, tmp_path_factory: pytest.TempPathFactory
) -> Study:
    """The toy study as if it had been run with a `study.toml`; not to be changed."""
    out = tmp_path_factory.mktemp("study")
    train(toy[0].development, toy_bags, quick, out / "model", label="label", seed=1)
    settings = StudySettings.model_validate(
        {
            "seed": 1,
            "cohort": {"manifest": toy[0].manifest},
            "extraction": {"encoder": "timm:resnet18", "mpp": 0.5},
            "mil": quick,
        }
    )
    return Study.at(out, settings, bags=toy[1])


@pytest.fixture
def copied_study(toy_study: Study, tmp_path: Path) -> Study:
    """The toy study with a bundle of its own."""
    shutil.copytree(toy_study.model, tmp_path / "study" / "model")
    return Study.at(tmp_path / "study", toy_study.settings, bags=toy_study.bags)


@pytest.fixture
def reference() -> Callable[[str], Path]:
    """Finds a reference file; its licence keeps it out of the repository."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "reference"

    def find(name: str) -> Path:
        if not (folder / name).is_file():
            pytest.skip(f"reference data {name} does not lie beside this checkout")
        return folder / name

    return find
